-- What was used, by whom. Days are UTC, those of the receipt.

CREATE OR REPLACE TEMP VIEW apps AS
SELECT
    coalesce(app, '') AS app,
    count(*) AS requests,
    count(*) FILTER (status = 'completed') AS completed,
    count(*) FILTER (status IN ('failed', 'reaped', 'interrupted')) AS failed,
    count(*) FILTER (status = 'cancelled') AS cancelled,
    count(*) FILTER (status = 'rejected') AS rejected,
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

CREATE OR REPLACE TEMP VIEW further_tags AS
SELECT
    seq AS received_seq,
    request_id,
    unnest(
        list_filter(
            list_distinct((payload -> 'tags')::VARCHAR[]),
            lambda tag: tag <> coalesce(payload ->> 'app', '')
        )
    ) AS tag
FROM events
WHERE kind = 'request_received' AND (payload -> 'tags') IS NOT NULL;
COMMENT ON VIEW further_tags IS 'One row a request and tag of it, but for the one that is its application.';

CREATE OR REPLACE TEMP VIEW request_tags AS
SELECT seq AS received_seq, request_id, coalesce(payload ->> 'app', '') AS tag
FROM events
WHERE kind = 'request_received'
UNION ALL
FROM further_tags;
COMMENT ON VIEW request_tags IS 'One row a request and tag of it; without one, its application is its tag.';

CREATE OR REPLACE TEMP VIEW tags AS
SELECT
    tag,
    count(*) AS requests,
    count(*) FILTER (status = 'completed') AS completed,
    count(*) FILTER (status IN ('failed', 'reaped', 'interrupted')) AS failed,
    count(*) FILTER (status = 'cancelled') AS cancelled,
    count(*) FILTER (status = 'rejected') AS rejected,
    coalesce(sum(prompt_tokens), 0)::BIGINT AS prompt_tokens,
    coalesce(sum(completion_tokens), 0)::BIGINT AS completion_tokens,
    min(received_at) AS first_seen_at,
    max(received_at) AS last_seen_at,
    avg(queue_s) AS mean_queue_s,
    avg(ttft_s) AS mean_ttft_s,
    avg(service_s) AS mean_service_s
FROM request_tags
JOIN requests USING (received_seq, request_id)
GROUP BY ALL;
COMMENT ON VIEW tags IS 'One row a tag: the requests that have it count here, each under all its tags.';

CREATE OR REPLACE TEMP VIEW key_usage AS
SELECT
    received_at::DATE AS day,
    key_name,
    count(*) AS requests,
    count(*) FILTER (status = 'completed') AS completed,
    count(*) FILTER (status IN ('failed', 'reaped', 'interrupted')) AS failed,
    count(*) FILTER (status = 'rejected') AS rejected,
    coalesce(sum(prompt_tokens), 0)::BIGINT AS prompt_tokens,
    coalesce(sum(completion_tokens), 0)::BIGINT AS completion_tokens,
    min(received_at) AS first_seen_at,
    max(received_at) AS last_seen_at
FROM requests
WHERE received_seq IS NOT NULL AND key_name <> ''
GROUP BY ALL;
COMMENT ON VIEW key_usage IS 'One row a day and API key: how much was asked for with it, and how it fared.';

CREATE OR REPLACE TEMP VIEW api_keys AS
SELECT
    payload ->> 'key_name' AS key_name,
    recorded_at AS added_at,
    coalesce((payload ->> 'models')::VARCHAR[], []) AS models,
    (payload ->> 'per_minute')::BIGINT AS requests_per_minute,
    (payload ->> 'tokens_a_day')::BIGINT AS tokens_per_day,
    coalesce(payload ->> 'priority', 'normal') AS priority,
    (
        SELECT min(revoked.recorded_at)
        FROM events AS revoked
        WHERE revoked.kind = 'key_revoked'
            AND revoked.payload ->> 'key_name' = added.payload ->> 'key_name'
            AND revoked.seq > added.seq
    ) AS revoked_at
FROM events AS added
WHERE kind = 'key_added';
COMMENT ON VIEW api_keys IS 'One row an API key whose making is in the log: what it is for, and until when.';

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
    completed * coalesce(try_cast(ttft_s AS DECIMAL(18, 6)), 0) AS ttft_s,
    completed * coalesce(try_cast(service_s AS DECIMAL(18, 6)), 0) AS service_s
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
COMMENT ON VIEW daily IS 'One row a day, model, node and application, of all time: it outlives the events. ttft_s and service_s are sums over what was completed.';

CREATE OR REPLACE TEMP VIEW daily_tags AS
WITH kept AS MATERIALIZED (
    FROM kept_totals
),
used AS (
    SELECT * EXCLUDE (last_seq) FROM kept_tags
    UNION ALL BY NAME
    SELECT day, app AS tag, requests, completed, failed, prompt_tokens, completion_tokens, ttft_s, service_s
    FROM kept
    UNION ALL BY NAME
    SELECT
        day, tag, requests, completed, failed, prompt_tokens, completion_tokens, ttft_s, service_s
    FROM request_usage
    JOIN request_tags USING (received_seq, request_id)
    WHERE received_seq > (SELECT coalesce(max(last_seq), 0) FROM kept)
)
SELECT
    day,
    tag,
    sum(COLUMNS(['requests', 'completed', 'failed', 'prompt_tokens', 'completion_tokens']))::BIGINT,
    sum(COLUMNS(['ttft_s', 'service_s']))::DOUBLE
FROM used
GROUP BY day, tag;
COMMENT ON VIEW daily_tags IS 'One row a day and tag, of all time: it outlives the events.';
