-- Every event that would make somebody look, oldest first.
SELECT
    seq,
    epoch(recorded_at - $began) / 60 AS minute,
    CASE kind
        WHEN 'request_rejected' THEN 'rejected: ' || replace(payload ->> 'reason', '_', ' ')
        WHEN 'request_cancelled' THEN 'the client left'
        WHEN 'attempt_failed' THEN 'an attempt failed'
        WHEN 'request_failed' THEN 'a request failed'
        WHEN 'request_reaped' THEN 'no progress'
        WHEN 'request_interrupted' THEN 'interrupted'
        WHEN 'node_degraded' THEN 'a node degraded'
        WHEN 'node_went_offline' THEN 'a node offline'
        WHEN 'circuit_opened' THEN 'a circuit opened'
        ELSE replace(kind, '_', ' ')
    END AS alarm,
    request_id,
    model,
    node_id
FROM events
WHERE kind IN (
    'request_rejected', 'request_cancelled', 'attempt_failed', 'request_failed', 'request_reaped',
    'request_interrupted', 'node_degraded', 'node_went_offline', 'circuit_opened',
    'actor_failed', 'recording_resumed'
)
ORDER BY seq
