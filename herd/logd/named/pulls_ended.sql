-- Pulls that ended lately: who watches one sees how it ended.
SELECT
    payload->>'pull_id' AS pull_id,
    node_id,
    model,
    payload->>'outcome' AS outcome,
    coalesce(payload->>'error', '') AS error
FROM events
WHERE kind = 'pull_ended' AND recorded_at >= make_timestamp($from_us)
ORDER BY seq DESC
LIMIT 20
