-- One row a streamed answer: how fast it came.
SELECT
    request_id,
    epoch(ended_at - $began) / 60 AS minute,
    model,
    node_id,
    completion_tokens,
    completion_tokens / (service_s - ttft_s) AS tokens_per_s
FROM requests
WHERE
    status = 'completed' AND stream AND service_s > ttft_s AND completion_tokens >= $least_tokens
ORDER BY ended_at, request_id
