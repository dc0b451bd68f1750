-- What was done to the fleet, or happened to it, oldest first.
WITH starts AS (
    SELECT seq, recorded_at, value, lag(value) OVER (ORDER BY seq) AS before
    FROM settings
    WHERE key = 'policy'
)
SELECT seq, epoch(recorded_at - $began) / 60 AS minute, what, node_id
FROM (
    SELECT
        seq,
        recorded_at,
        'policy ' || value || coalesce(', before ' || before, '') AS what,
        NULL AS node_id
    FROM starts
    WHERE before IS DISTINCT FROM value
    UNION ALL
    SELECT seq, recorded_at, what, node_id
    FROM health_events
    WHERE kind IN (
        'node_became_healthy', 'node_degraded', 'node_went_offline', 'node_forgotten',
        'node_drained', 'node_undrained', 'node_paused', 'node_resumed', 'node_slept'
    )
)
ORDER BY seq
