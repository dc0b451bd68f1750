-- What the log says of requests and their placement, as tables. Durations are seconds.

CREATE OR REPLACE TEMP VIEW requests AS
WITH parts AS (
    SELECT
        *,
        kind IN ('request_received', 'model_substituted', 'attempt_failed', 'lease_voided') AS waits,
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
    coalesce(
        arg_max(payload ->> 'to', seq) FILTER (kind = 'model_substituted'), any_value(model)
    ) AS model,
    max(payload ->> 'asked_model') FILTER (kind = 'request_received') AS asked_model,
    coalesce(max(payload ->> 'route') FILTER (kind = 'request_received'), '/api/chat') AS route,
    coalesce(max((payload ->> 'stream')::BOOLEAN) FILTER (kind = 'request_received'), true)
        AS stream,
    max(payload ->> 'client') FILTER (kind = 'request_received') AS client,
    max(payload ->> 'app') FILTER (kind = 'request_received') AS app,
    coalesce(max(payload ->> 'key_name') FILTER (kind = 'request_received'), '') AS key_name,
    min(seq) FILTER (kind = 'request_received') AS received_seq,
    min(recorded_at) AS received_at,
    max(recorded_at) FILTER (ends) AS ended_at,
    CASE
        WHEN bool_or(ends) THEN replace(arg_max(kind, seq) FILTER (ends), 'request_', '')
        WHEN arg_max(runs, seq) FILTER (runs OR waits) THEN 'in_flight'
        ELSE 'waiting'
    END AS status,
    arg_max(node_id, seq) AS node_id,
    count(*) FILTER (kind = 'request_dispatched') - count(*) FILTER (kind = 'lease_voided')
        AS attempts,
    greatest(0, attempts - 1) AS retries,
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

CREATE OR REPLACE TEMP VIEW substitutions AS
SELECT
    seq,
    recorded_at,
    request_id,
    model,
    payload ->> 'to' AS served,
    payload ->> 'reason' AS reason,
    coalesce((payload ->> 'saved_s')::DOUBLE, 0) AS saved_s
FROM events
WHERE kind = 'model_substituted';
COMMENT ON VIEW substitutions IS 'One row a move of a request to another model, and why.';

CREATE OR REPLACE TEMP VIEW contexts AS
SELECT
    dispatched.seq AS seq,
    dispatched.recorded_at AS recorded_at,
    dispatched.request_id AS request_id,
    dispatched.model AS model,
    dispatched.node_id AS node_id,
    dispatched.payload ->> 'context' AS action,
    (received.payload ->> 'num_ctx')::BIGINT AS asked,
    coalesce(
        (dispatched.payload ->> 'num_ctx')::BIGINT, (received.payload ->> 'num_ctx')::BIGINT
    ) AS forwarded,
    (dispatched.payload ->> 'loaded_ctx')::BIGINT AS loaded
FROM events AS dispatched
LEFT JOIN events AS received
    ON dispatched.request_id = received.request_id AND received.kind = 'request_received'
WHERE dispatched.kind = 'request_dispatched' AND dispatched.payload ->> 'context' IS NOT NULL;
COMMENT ON VIEW contexts IS 'One row a placement that met another context than was asked for.';

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
    (payload ->> 'predicted_first_s')::DOUBLE AS predicted_first_s,
    (payload ->> 'predicted_s')::DOUBLE AS predicted_s,
    (payload ->> 'predicted_least_s')::DOUBLE AS predicted_least_s,
    (payload ->> 'predicted_most_s')::DOUBLE AS predicted_most_s,
    terms
FROM (
    SELECT *, coalesce((payload -> 'terms')::JSON[], []) AS terms
    FROM events
    WHERE kind = 'request_dispatched'
);
COMMENT ON VIEW decisions IS 'One row a placement: the node, its score, who came second, and what was predicted.';

CREATE OR REPLACE TEMP VIEW candidates AS
WITH placements AS (
    SELECT *, (payload -> 'terms')::JSON[] AS terms
    FROM events
    WHERE kind = 'request_dispatched'
),
ranked AS (
    SELECT * EXCLUDE (terms), unnest(terms) AS term, generate_subscripts(terms, 1) AS rank
    FROM placements
)
SELECT
    seq,
    recorded_at,
    request_id,
    model,
    term ->> 0 AS node_id,
    rank,
    term ->> 0 = ranked.node_id AS chosen,
    (term ->> 1)::BOOLEAN AS resident,
    (term ->> 2)::BIGINT AS in_flight,
    (term ->> 3)::BIGINT AS slots,
    (term ->> 4)::DOUBLE AS wait_s,
    (term ->> 5)::DOUBLE AS score
FROM ranked;
COMMENT ON VIEW candidates IS 'One row a node that a placement weighed, the best eight, with its terms.';

CREATE OR REPLACE TEMP VIEW model_loads AS
WITH colds AS (
    SELECT
        *,
        payload ->> 'lease' AS lease,
        list_filter(
            coalesce((payload -> 'terms')::JSON[], []), lambda term: term ->> 0 = node_id
        )[1] AS term
    FROM events
    WHERE kind = 'request_dispatched' AND (payload ->> 'cold')::BOOLEAN
),
told AS (
    SELECT
        request_id,
        payload ->> 'lease' AS lease,
        max(ttft_s) AS ttft_s,
        max((payload ->> 'load_s')::DOUBLE) AS load_s,
        max(recorded_at) FILTER (kind <> 'stream_started') AS ended_at,
        arg_max(kind, seq) FILTER (kind <> 'stream_started') AS kind
    FROM events
    WHERE request_id IN (SELECT request_id FROM colds) AND kind IN (
        'stream_started', 'attempt_failed', 'request_completed', 'request_failed',
        'request_cancelled', 'request_reaped', 'request_interrupted', 'lease_voided'
    )
    GROUP BY ALL
)
SELECT
    seq,
    recorded_at,
    node_id,
    model,
    request_id,
    (term ->> 4)::DOUBLE AS predicted_wait_s,
    told.load_s AS load_s,
    told.ttft_s AS ttft_s,
    coalesce(told.ended_at, left_early.ended_at) AS ended_at,
    coalesce(replace(coalesce(told.kind, left_early.kind), 'request_', ''), 'in_flight') AS ended
FROM colds
LEFT JOIN told USING (request_id, lease)
-- Who left before his front knew where it ran names no lease.
LEFT JOIN (FROM told WHERE lease IS NULL) AS left_early USING (request_id);
COMMENT ON VIEW model_loads IS 'One row a load of a model that a request had to wait for.';

CREATE OR REPLACE TEMP VIEW carried AS
SELECT
    seq,
    recorded_at,
    request.key AS request_id,
    request.value ->> 'model' AS model,
    nullif(request.value ->> 'node_id', '') AS node_id,
    nullif(request.value ->> 'lease', '') AS lease
FROM (
    SELECT seq, recorded_at, payload -> '$.state.requests' AS requests
    FROM events
    WHERE kind = 'state_snapshotted'
    ORDER BY seq
    LIMIT 1
), json_each(requests) AS request;
COMMENT ON VIEW carried IS 'One row a request that came before the log begins, and had not ended: its lease, if it ran.';

CREATE OR REPLACE TEMP VIEW queue_depth AS
WITH told AS (
    SELECT seq, recorded_at, request_id, kind, model, payload ->> 'to' AS moved_to
    FROM events
    WHERE kind IN (
        'request_received', 'model_substituted', 'attempt_failed', 'lease_voided',
        'request_dispatched', 'lease_adopted', 'request_completed', 'request_failed',
        'request_cancelled', 'request_rejected', 'request_reaped', 'request_interrupted'
    )
    UNION ALL BY NAME
    SELECT seq, recorded_at, request_id, 'request_received' AS kind, model
    FROM carried
    WHERE lease IS NULL
),
moved AS (
    SELECT
        seq,
        recorded_at,
        request_id,
        kind,
        coalesce(
            last_value(moved_to IGNORE NULLS) OVER (
                PARTITION BY request_id ORDER BY seq
                ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
            ),
            model
        ) AS model
    FROM told
),
waits AS (
    SELECT
        * EXCLUDE (kind),
        (kind IN ('request_received', 'model_substituted', 'attempt_failed', 'lease_voided'))
            ::INTEGER AS waits,
        lag(model) OVER life AS old_model,
        coalesce(lag(waits) OVER life, 0) AS waited
    FROM moved
    WINDOW life AS (PARTITION BY request_id ORDER BY seq)
),
steps AS (
    SELECT seq, recorded_at, model, waits, CASE WHEN model = old_model THEN waited ELSE 0 END AS waited
    FROM waits
    UNION ALL
    SELECT seq, recorded_at, old_model, 0, waited
    FROM waits
    WHERE model <> old_model
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
