-- What the log says of nodes, and of herd itself.

CREATE OR REPLACE TEMP VIEW nodes AS
SELECT
    node_id,
    arg_max(payload ->> 'url', seq) FILTER (
        kind IN ('node_configured', 'node_discovered', 'node_moved')
    ) AS url,
    arg_max(payload ->> 'origin', seq) FILTER (kind = 'node_discovered') AS origin,
    CASE arg_max(kind, seq) FILTER (
        kind IN ('node_became_healthy', 'node_degraded', 'node_went_offline', 'node_slept')
    )
        WHEN 'node_became_healthy' THEN 'online'
        WHEN 'node_degraded' THEN 'degraded'
        WHEN 'node_went_offline' THEN 'offline'
        WHEN 'node_slept' THEN 'sleeping'
        ELSE 'unknown'
    END AS status,
    coalesce(
        arg_max(kind, seq) FILTER (kind IN ('node_drained', 'node_undrained')) = 'node_drained',
        false
    ) AS draining,
    coalesce(
        arg_max(kind, seq) FILTER (kind IN ('node_paused', 'node_resumed')) = 'node_paused',
        false
    ) AS paused,
    min(recorded_at) AS first_seen_at,
    max(recorded_at) AS last_event_at,
    count(*) FILTER (kind = 'request_dispatched') AS dispatched,
    count(*) FILTER (kind = 'request_completed') AS completed,
    count(*) FILTER (
        kind = 'attempt_failed' OR (kind = 'request_failed' AND payload ->> 'lease' IS NOT NULL)
    ) AS failed,
    coalesce(sum(completion_tokens) FILTER (kind = 'request_completed'), 0)::BIGINT
        AS completion_tokens
FROM events
WHERE node_id IS NOT NULL
GROUP BY node_id;
COMMENT ON VIEW nodes IS 'One row a node: what the log last said of it, and its work so far.';

CREATE OR REPLACE TEMP VIEW health_events AS
SELECT
    seq,
    recorded_at,
    kind,
    CASE
        WHEN kind IN ('node_went_offline', 'actor_failed', 'recording_resumed', 'front_lost')
            THEN 'error'
        WHEN kind IN ('node_degraded', 'circuit_opened') THEN 'warning'
        ELSE 'info'
    END AS severity,
    CASE kind
        WHEN 'node_became_healthy' THEN node_id || ' is online'
        WHEN 'node_degraded' THEN node_id || ' is degraded' || why
        WHEN 'node_went_offline' THEN node_id || ' is offline' || why
        WHEN 'node_slept' THEN node_id || ' sleeps' || why
        WHEN 'wake_planned' THEN concat(
            node_id, ' is woken, ',
            CASE payload ->> 'reason'
                WHEN 'asked' THEN 'as somebody asked for it'
                WHEN 'only' THEN 'since nobody else has ' || model
                ELSE concat('since ', payload ->> 'in_line', ' wait for ', model)
            END
        )
        WHEN 'node_forgotten' THEN node_id || ' left the fleet' || why
        WHEN 'node_drained' THEN node_id || ' takes no new work'
        WHEN 'node_undrained' THEN node_id || ' takes work again'
        WHEN 'node_paused' THEN node_id || ' is paused by its owner' || why
        WHEN 'node_resumed' THEN node_id || ' is lent again'
        WHEN 'circuit_opened' THEN CASE payload ->> 'reason'
            WHEN 'slow' THEN concat(
                node_id, ' is asked last for ', model, ': it answers at ',
                round(100 * (payload ->> 'pace_share')::DOUBLE, 1), ' % of its usual pace'
            )
            ELSE concat(
                node_id, ' gets no ', model, ' for ', payload ->> 'open_s', ' s after ',
                payload ->> 'failures', ' failures in a row'
            )
        END
        WHEN 'circuit_half_opened' THEN concat(node_id, ' may try ', model, ' again')
        WHEN 'circuit_closed' THEN concat(node_id, ' serves ', model, ' again')
        WHEN 'actor_failed' THEN concat(
            payload ->> 'actor', ' failed on event ', payload ->> 'failed_seq', ': ',
            payload ->> 'error'
        )
        WHEN 'recording_resumed' THEN concat(
            payload ->> 'lost_events', ' events from ', payload ->> 'lost_from',
            ' on were not recorded', why
        )
        WHEN 'front_lost' THEN (payload ->> 'front_src') || ' was lost with its connections'
    END AS what,
    node_id,
    model
FROM (
    SELECT
        *, coalesce(': ' || coalesce(payload ->> 'reason', payload ->> 'error'), '') AS why
    FROM events
    WHERE kind IN (
        'node_became_healthy', 'node_degraded', 'node_went_offline', 'node_forgotten',
        'node_drained', 'node_undrained', 'node_paused', 'node_resumed', 'circuit_opened',
        'circuit_half_opened', 'circuit_closed', 'actor_failed', 'recording_resumed', 'front_lost',
        'node_slept', 'wake_planned'
    )
);
COMMENT ON VIEW health_events IS 'What went wrong and came right again: nodes, circuits, herd itself.';

CREATE OR REPLACE TEMP VIEW settings AS
WITH started AS (
    SELECT seq, recorded_at, payload -> 'settings' AS told, unnest(json_keys(told)) AS key
    FROM events
    WHERE kind = 'configuration_loaded'
)
SELECT seq, recorded_at, key, json_extract_string(told, '$."' || key || '"') AS value, '' AS changed_by
FROM started
UNION ALL
SELECT
    seq,
    recorded_at,
    payload ->> 'key' AS key,
    payload ->> 'new' AS value,
    coalesce(payload ->> 'by', '') AS changed_by
FROM events
WHERE kind = 'settings_changed';
COMMENT ON VIEW settings IS 'One row a setting at each start, and one a change: its value from then on.';
