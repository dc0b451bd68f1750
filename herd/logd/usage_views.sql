-- What was used, by whom. Days are UTC, those of the receipt.

CREATE OR REPLACE TEMP VIEW apps AS
SELECT
    coalesce(app, '') AS app,
    count(*) AS requests,
    count(*) FILTER (status = 'completed') AS completed,
    count(*) FILTER (status IN ('failed', 'reaped', 'interrupted')) AS failed,
    coalesce(sum(prompt_tokens), 0)::BIGINT AS prompt_tokens,
    coalesce(sum(completion_tokens), 0)::BIGINT AS completion_tokens,
    min(received_at) AS first_seen_at,
    max(received_at) AS last_seen_at,
    avg(queue_s) AS mean_queue_s,
    avg(ttft_s) AS mean_ttft_s,
    avg(service_s) AS mean_service_s
FROM requests
WHERE received_seq IS NOT NULL
GROUP BY ALL;
COMMENT ON VIEW apps IS 'One row an application: how much it asked for, and how it fared.';

CREATE OR REPLACE TEMP VIEW request_usage AS
SELECT
    received_seq,
    request_id,
    received_at::DATE AS day,
    model,
    coalesce(node_id, '') AS node_id,
    coalesce(app, '') AS app,
    1 AS requests,
    (status = 'completed')::BIGINT AS completed,
    (status IN ('failed', 'reaped', 'interrupted'))::BIGINT AS failed,
    (status = 'cancelled')::BIGINT AS cancelled,
    (status = 'rejected')::BIGINT AS rejected,
    retries,
    cold::BIGINT AS cold,
    coalesce(prompt_tokens, 0) AS prompt_tokens,
    coalesce(completion_tokens, 0) AS completion_tokens,
    coalesce(try_cast(queue_s AS DECIMAL(18, 6)), 0) AS queue_s,
    coalesce(try_cast(ttft_s AS DECIMAL(18, 6)), 0) AS ttft_s,
    coalesce(try_cast(service_s AS DECIMAL(18, 6)), 0) AS service_s
FROM requests
WHERE received_seq IS NOT NULL;
COMMENT ON VIEW request_usage IS 'One row a request whose events are there: what it adds to daily.';

CREATE OR REPLACE TEMP VIEW daily AS
WITH kept AS MATERIALIZED (
    FROM kept_totals
),
used AS (
    SELECT * EXCLUDE (last_seq) FROM kept
    UNION ALL BY NAME
    SELECT * EXCLUDE (received_seq, request_id)
    FROM request_usage
    WHERE received_seq > (SELECT coalesce(max(last_seq), 0) FROM kept)
)
SELECT
    day,
    model,
    node_id,
    app,
    sum(COLUMNS([
        'requests', 'completed', 'failed', 'cancelled', 'rejected', 'retries', 'cold',
        'prompt_tokens', 'completion_tokens'
    ]))::BIGINT,
    sum(COLUMNS(['queue_s', 'ttft_s', 'service_s']))::DOUBLE
FROM used
GROUP BY day, model, node_id, app;
COMMENT ON VIEW daily IS 'One row a day, model, node and application, of all time: it outlives the events.';
