-- One row a request whose receipt is in the log.
SELECT
    request_id,
    epoch(received_at - $began) / 60 AS minute,
    epoch(ended_at - $began) / 60 AS ended_minute,
    model,
    coalesce(app, '') AS app,
    status,
    node_id,
    attempts,
    queue_s,
    ttft_s,
    service_s,
    prompt_tokens,
    completion_tokens,
    error
FROM requests
WHERE received_seq IS NOT NULL
ORDER BY received_seq
