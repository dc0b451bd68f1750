-- What went wrong since $from_us, with its newest events: at most the newest 500,000 events are read.
SELECT
    recorded_at >= make_timestamp($recent_us::BIGINT) AS recent,
    kind,
    coalesce(node_id, '') AS node_id,
    coalesce(model, '') AS model,
    coalesce(payload ->> 'phase', payload ->> 'reason', '') AS phase,
    coalesce(payload ->> 'fault', '') AS fault,
    coalesce(status, 0) AS status,
    count(*) AS events,
    count(*) FILTER (
        status >= 500 AND coalesce(service_s, (payload ->> 'elapsed_s')::DOUBLE, 0) < 1
    ) AS quick,
    max(seq, 5) AS seqs
FROM (
    SELECT * FROM events
    WHERE recorded_at >= make_timestamp($from_us::BIGINT)
    AND seq > (SELECT max(seq) - 500000 FROM events)
    AND kind IN (
        'attempt_failed', 'request_failed', 'request_cancelled', 'request_rejected',
        'request_reaped', 'request_interrupted', 'request_stalled', 'circuit_opened',
        'circuit_closed', 'node_degraded', 'node_went_offline', 'actor_failed',
        'recording_resumed', 'front_lost', 'load_finished'
    )
    AND NOT (kind = 'load_finished' AND coalesce(payload ->> 'error', '') = '')
    AND NOT (kind = 'front_lost' AND coalesce((payload ->> 'told')::BOOLEAN, false))
)
GROUP BY ALL
ORDER BY events DESC, kind, node_id, model
LIMIT 2000
