-- What the pages of an operator are made of, in the DuckDB file only. `hours`, `used` and `used_tags`
-- need two variables of the connection that asks (`herd/logd/rollup.py`): requests received after
-- `tail_seq`, whose ids begin at `tail_id`, are not in `rolled` yet and are counted now.

CREATE OR REPLACE VIEW request_hours AS
SELECT
    received_seq,
    request_id,
    status,
    date_trunc('hour', received_at) AS hour,
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
    coalesce(queue_s, 0) AS queue_s,
    (ttft_s IS NOT NULL)::BIGINT AS begun,
    coalesce(ttft_s, 0) AS ttft_s,
    (status = 'completed' AND service_s IS NOT NULL)::BIGINT AS timed,
    CASE WHEN status = 'completed' THEN coalesce(service_s, 0) ELSE 0 END AS service_s,
    CASE WHEN status = 'completed' THEN service_s END AS least_service_s,
    CASE WHEN status = 'completed' THEN service_s END AS most_service_s,
    received_at AS first_at,
    received_at AS last_at
FROM requests
WHERE received_seq IS NOT NULL;

CREATE OR REPLACE VIEW hours AS
SELECT * EXCLUDE (last_seq)
FROM rolled
UNION ALL BY NAME
SELECT * EXCLUDE (received_seq, request_id, status, app)
FROM request_hours
WHERE received_seq > getvariable('tail_seq') AND request_id >= getvariable('tail_id');

-- The same with the days whose events were dropped, each as one hour; their averages are of what
-- was completed.
CREATE OR REPLACE VIEW used AS
FROM hours
UNION ALL BY NAME
SELECT
    * EXCLUDE (last_seq, day, app),
    day::TIMESTAMP AS hour,
    completed AS begun,
    completed AS timed,
    day::TIMESTAMP AS first_at,
    day::TIMESTAMP AS last_at
FROM kept_totals;

-- The tags of each request; its application is one of them.
CREATE OR REPLACE VIEW all_tags AS
SELECT seq AS received_seq, request_id, coalesce(payload ->> 'app', '') AS tag, true AS is_app
FROM events
WHERE kind = 'request_received'
UNION ALL BY NAME
SELECT *, false AS is_app
FROM further_tags;

-- A request is in here once for each of its tags.
CREATE OR REPLACE VIEW used_tags AS
SELECT * EXCLUDE (last_seq)
FROM rolled_tags
UNION ALL BY NAME
SELECT
    hour, tag, is_app, requests, completed, failed, cancelled, rejected, prompt_tokens,
    completion_tokens, begun, ttft_s, timed, service_s, first_at, last_at
FROM request_hours
JOIN all_tags USING (received_seq, request_id)
WHERE received_seq > getvariable('tail_seq') AND request_id >= getvariable('tail_id')
UNION ALL BY NAME
SELECT
    day::TIMESTAMP AS hour,
    app AS tag,
    true AS is_app,
    requests,
    completed,
    failed,
    cancelled,
    rejected,
    prompt_tokens,
    completion_tokens,
    completed AS begun,
    ttft_s,
    completed AS timed,
    service_s,
    day::TIMESTAMP AS first_at,
    day::TIMESTAMP AS last_at
FROM kept_totals
UNION ALL BY NAME
SELECT
    * EXCLUDE (last_seq, day),
    false AS is_app,
    day::TIMESTAMP AS hour,
    completed AS begun,
    completed AS timed,
    day::TIMESTAMP AS first_at,
    day::TIMESTAMP AS last_at
FROM kept_tags;
