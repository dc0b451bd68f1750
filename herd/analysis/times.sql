-- One row a completed request: where its seconds went. The four parts add up to total_s.
WITH told AS (
    SELECT request_id, max((payload ->> 'load_s')::DOUBLE) AS told_s
    FROM events
    WHERE kind = 'request_completed'
    GROUP BY request_id
)
SELECT
    requests.request_id,
    epoch(received_at - $began) / 60 AS minute,
    model,
    node_id,
    app,
    stream,
    cold,
    coalesce(queue_s, 0) AS line_s,
    least(coalesce(told_s, 0), if(stream, ttft_s, service_s)) AS load_s,
    if(stream, ttft_s - load_s, 0) AS prompt_s,
    service_s - load_s - prompt_s AS answer_s,
    line_s + service_s AS total_s
FROM requests
LEFT JOIN told USING (request_id)
WHERE status = 'completed'
ORDER BY received_at, requests.request_id
