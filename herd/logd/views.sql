-- What the log says, as tables. Durations are seconds; only `request_traces` speaks ollama-herd's
-- units.

CREATE OR REPLACE TEMP VIEW requests AS
WITH parts AS (
    SELECT
        *,
        kind IN ('request_received', 'attempt_failed', 'lease_voided') AS waits,
        kind IN ('request_dispatched', 'lease_adopted') AS runs,
        kind IN (
            'request_completed', 'request_failed', 'request_cancelled', 'request_rejected',
            'request_reaped', 'request_interrupted'
        ) AS ends
    FROM events
    WHERE request_id IS NOT NULL
)
SELECT
    request_id,
    any_value(model) AS model,
    max(payload ->> 'asked_model') FILTER (kind = 'request_received') AS asked_model,
    coalesce(max(payload ->> 'route') FILTER (kind = 'request_received'), '/api/chat') AS route,
    coalesce(max((payload ->> 'stream')::BOOLEAN) FILTER (kind = 'request_received'), true)
        AS stream,
    max(payload ->> 'client') FILTER (kind = 'request_received') AS client,
    max(payload ->> 'app') FILTER (kind = 'request_received') AS app,
    min(recorded_at) AS received_at,
    max(recorded_at) FILTER (ends) AS ended_at,
    CASE
        WHEN bool_or(ends) THEN replace(arg_max(kind, seq) FILTER (ends), 'request_', '')
        WHEN arg_max(runs, seq) FILTER (runs OR waits) THEN 'in_flight'
        ELSE 'waiting'
    END AS status,
    arg_max(node_id, seq) AS node_id,
    count(*) FILTER (kind = 'request_dispatched') AS attempts,
    count(*) FILTER (kind = 'attempt_failed') AS retries,
    arg_max(queue_s, seq) FILTER (kind = 'request_dispatched') AS queue_s,
    arg_max(ttft_s, seq) FILTER (kind IN ('stream_started', 'request_completed', 'request_failed'))
        AS ttft_s,
    arg_max(service_s, seq) FILTER (ends) AS service_s,
    arg_max(status, seq) FILTER (ends) AS http_status,
    arg_max(prompt_tokens, seq) FILTER (ends) AS prompt_tokens,
    arg_max(completion_tokens, seq) FILTER (ends) AS completion_tokens,
    arg_max(payload ->> 'usage_source', seq) FILTER (kind = 'request_completed') AS usage_source,
    arg_max(payload ->> 'finish', seq) FILTER (kind = 'request_completed') AS finish,
    coalesce(
        max((payload ->> 'cold')::BOOLEAN) FILTER (kind = 'request_dispatched'), false
    ) AS cold,
    arg_max(payload ->> 'phase', seq) FILTER (ends) AS phase,
    arg_max(payload ->> 'fault', seq) FILTER (ends) AS fault,
    arg_max(
        coalesce(
            payload ->> 'error',
            payload ->> 'reason',
            'no progress for ' || (payload ->> 'idle_s') || ' s'
        ),
        seq
    ) FILTER (ends) AS error
FROM parts
GROUP BY request_id;
COMMENT ON VIEW requests IS 'One row a request: how it came, where it ran, how it ended.';

CREATE OR REPLACE TEMP VIEW decisions AS
SELECT
    seq,
    recorded_at,
    request_id,
    model,
    node_id,
    coalesce((payload ->> 'attempt')::INTEGER, 1) AS attempt,
    queue_s,
    (list_filter(terms, lambda term: term ->> 0 = node_id)[1] ->> 5)::DOUBLE AS score,
    list_filter(terms, lambda term: term ->> 0 <> node_id)[1] ->> 0 AS runner_up,
    (list_filter(terms, lambda term: term ->> 0 <> node_id)[1] ->> 5)::DOUBLE AS runner_up_score,
    len(terms) + coalesce((payload ->> 'more')::INTEGER, 0) AS candidates,
    coalesce((payload ->> 'cold')::BOOLEAN, false) AS cold,
    coalesce((payload ->> 'probing')::BOOLEAN, false) AS probing,
    coalesce(payload ->> 'policy', 'resident-first/1') AS policy,
    terms
FROM (
    SELECT *, coalesce((payload -> 'terms')::JSON[], []) AS terms
    FROM events
    WHERE kind = 'request_dispatched'
);
COMMENT ON VIEW decisions IS 'One row a placement: the node, its score, and who came second.';

CREATE OR REPLACE TEMP VIEW request_traces AS
WITH outcomes AS (
    SELECT
        *,
        payload ->> 'lease' AS lease,
        coalesce(
            list(node_id) FILTER (kind = 'attempt_failed') OVER earlier, []
        ) AS excluded_nodes
    FROM events
    WHERE kind IN (
        'attempt_failed', 'request_completed', 'request_failed', 'request_cancelled',
        'request_rejected', 'request_reaped', 'request_interrupted'
    )
    WINDOW earlier AS (
        PARTITION BY request_id ORDER BY seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    )
    QUALIFY kind = 'attempt_failed'
        OR row_number() OVER (PARTITION BY request_id, kind = 'attempt_failed' ORDER BY seq DESC) = 1
),
admissions AS (
    SELECT
        request_id,
        payload ->> 'asked_model' AS asked_model,
        coalesce(payload ->> 'route', '/api/chat') AS route,
        payload ->> 'client' AS client,
        payload ->> 'app' AS app
    FROM events
    WHERE kind = 'request_received'
),
placements AS (
    SELECT
        request_id,
        payload ->> 'lease' AS lease,
        recorded_at AS dispatched_at,
        list_filter(
            coalesce((payload -> 'terms')::JSON[], []), lambda term: term ->> 0 = node_id
        )[1] AS term
    FROM events
    WHERE kind = 'request_dispatched'
)
SELECT
    seq AS id,
    request_id,
    model,
    coalesce(asked_model, model) AS original_model,
    coalesce(node_id, '') AS node_id,
    (term ->> 5)::DOUBLE AS score,
    CASE WHEN term IS NOT NULL THEN json_object(
        'resident', term -> 1, 'in_flight', term -> 2, 'slots', term -> 3, 'wait_s', term -> 4,
        'total', term -> 5
    ) END AS scores_breakdown,
    CASE
        WHEN kind = 'attempt_failed' THEN 'retried'
        WHEN kind = 'request_cancelled' THEN 'client_disconnected'
        WHEN kind = 'request_rejected' THEN 'rejected'
        WHEN kind = 'request_completed' AND completion_tokens = 0 AND route NOT LIKE '%embed%'
            THEN 'no_output'
        WHEN kind = 'request_completed' THEN 'completed'
        WHEN payload ->> 'phase' = 'stream' THEN 'incomplete'
        ELSE 'failed'
    END AS status,
    1000 * coalesce(
        service_s, (payload ->> 'elapsed_s')::DOUBLE, epoch(recorded_at - dispatched_at)
    ) AS latency_ms,
    1000 * ttft_s AS time_to_first_token_ms,
    prompt_tokens,
    completion_tokens,
    len(excluded_nodes) AS retry_count,
    0 AS fallback_used,
    to_json(excluded_nodes) AS excluded_nodes,
    coalesce(client, '') AS client_ip,
    CASE
        WHEN route LIKE '%embed%' THEN 'embed'
        WHEN route = '/v1/messages' THEN 'anthropic'
        WHEN route = '/v1/responses' THEN 'responses'
        WHEN route LIKE '/v1/%' THEN 'openai'
        ELSE 'ollama'
    END AS original_format,
    coalesce(
        payload ->> 'error',
        payload ->> 'reason',
        'no progress for ' || (payload ->> 'idle_s') || ' s'
    ) AS error_message,
    epoch(recorded_at) AS timestamp,
    CASE WHEN app IS NULL THEN json_array() ELSE json_array(app) END AS tags,
    payload ->> 'finish' AS finish_reason,
    NULL::BIGINT AS estimated_tokens
FROM outcomes
LEFT JOIN admissions USING (request_id)
LEFT JOIN placements USING (request_id, lease);
COMMENT ON VIEW request_traces IS 'The table that ollama-herd keeps: one row an attempt or end.';

CREATE OR REPLACE TEMP VIEW nodes AS
SELECT
    node_id,
    arg_max(payload ->> 'url', seq) FILTER (
        kind IN ('node_configured', 'node_discovered', 'node_moved')
    ) AS url,
    arg_max(payload ->> 'origin', seq) FILTER (kind = 'node_discovered') AS origin,
    CASE arg_max(kind, seq) FILTER (
        kind IN ('node_became_healthy', 'node_degraded', 'node_went_offline')
    )
        WHEN 'node_became_healthy' THEN 'online'
        WHEN 'node_degraded' THEN 'degraded'
        WHEN 'node_went_offline' THEN 'offline'
        ELSE 'unknown'
    END AS status,
    coalesce(
        arg_max(kind, seq) FILTER (kind IN ('node_drained', 'node_undrained')) = 'node_drained',
        false
    ) AS draining,
    min(recorded_at) AS first_seen_at,
    max(recorded_at) AS last_event_at,
    count(*) FILTER (kind = 'request_dispatched') AS dispatched,
    count(*) FILTER (kind = 'request_completed') AS completed,
    count(*) FILTER (kind IN ('attempt_failed', 'request_failed')) AS failed,
    coalesce(sum(completion_tokens) FILTER (kind = 'request_completed'), 0)::BIGINT
        AS completion_tokens
FROM events
WHERE node_id IS NOT NULL
GROUP BY node_id;
COMMENT ON VIEW nodes IS 'One row a node: what the log last said of it, and its work so far.';

CREATE OR REPLACE TEMP VIEW queue_depth AS
WITH steps AS (
    SELECT
        seq,
        recorded_at,
        model,
        (kind IN ('request_received', 'attempt_failed', 'lease_voided'))::INTEGER AS waits,
        coalesce(lag(waits) OVER (PARTITION BY request_id ORDER BY seq), 0) AS waited
    FROM events
    WHERE kind IN (
        'request_received', 'attempt_failed', 'lease_voided', 'request_dispatched',
        'lease_adopted', 'request_completed', 'request_failed', 'request_cancelled',
        'request_rejected', 'request_reaped', 'request_interrupted'
    )
)
SELECT
    seq,
    recorded_at,
    model,
    sum(waits - waited) OVER (PARTITION BY model ORDER BY seq)::BIGINT AS waiting
FROM steps
WHERE waits <> waited;
COMMENT ON VIEW queue_depth IS 'Requests without a slot, per model, after each change.';

CREATE OR REPLACE TEMP VIEW ttft AS
SELECT
    received_at,
    request_id,
    model,
    node_id,
    cold,
    queue_s,
    ttft_s,
    queue_s + ttft_s AS wait_s
FROM requests
WHERE ttft_s IS NOT NULL;
COMMENT ON VIEW ttft IS 'Time to the first byte, from dispatch (ttft_s) and from admission (wait_s).';

CREATE OR REPLACE TEMP VIEW throughput AS
SELECT
    date_trunc('minute', recorded_at) AS minute,
    model,
    count(*) FILTER (kind = 'request_completed') AS completed,
    count(*) FILTER (kind = 'request_failed') AS failed,
    count(*) FILTER (kind = 'request_cancelled') AS cancelled,
    count(*) FILTER (kind = 'request_rejected') AS rejected,
    coalesce(sum(prompt_tokens), 0)::BIGINT AS prompt_tokens,
    coalesce(sum(completion_tokens), 0)::BIGINT AS completion_tokens,
    coalesce(sum(completion_tokens), 0) / 60 AS completion_tokens_per_s
FROM events
WHERE kind IN ('request_completed', 'request_failed', 'request_cancelled', 'request_rejected')
GROUP BY ALL;
COMMENT ON VIEW throughput IS 'Requests ended and tokens made, per minute and model.';
