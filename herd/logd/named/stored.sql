-- A model on a node: what was asked of it there in those days, and when last.
SELECT
    node_id,
    model,
    sum(completed)::BIGINT AS total_requests,
    epoch(max(last_at)) AS last_used
FROM used
WHERE hour >= make_timestamp($from_us) AND hour < make_timestamp($to_us) AND node_id <> ''
GROUP BY ALL
LIMIT 10000
