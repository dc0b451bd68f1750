-- One row a load that a request waited for, where the node said how long it took.
SELECT
    epoch(recorded_at - $began) / 60 AS minute,
    request_id,
    model,
    node_id,
    predicted_wait_s AS predicted_s,
    load_s
FROM model_loads
WHERE load_s > 0
ORDER BY seq
