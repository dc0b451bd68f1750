-- The one view that speaks ollama-herd's words and units: its documented queries run on it unchanged,
-- with `integer_division` on, as SQLite divides.

CREATE OR REPLACE TEMP VIEW request_traces AS
WITH outcomes AS (
    SELECT
        *,
        payload ->> 'lease' AS lease,
        coalesce(list(node_id) FILTER (kind = 'attempt_failed') OVER earlier, []) AS excluded_nodes,
        coalesce(list(seq) FILTER (kind = 'attempt_failed') OVER earlier, []) AS failed_seqs
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
        payload ->> 'app' AS app,
        payload -> 'tags' AS tags,
        model AS came_for
    FROM events
    WHERE kind = 'request_received'
),
moves AS (
    SELECT
        request_id,
        arg_max(payload ->> 'to', seq) AS moved_to,
        max(payload ->> 'to') FILTER (payload ->> 'reason' = 'alias') AS meant
    FROM events
    WHERE kind = 'model_substituted'
    GROUP BY request_id
),
sent AS (
    SELECT request_id, max(seq) AS last_sent_seq
    FROM events
    WHERE kind = 'request_dispatched'
    GROUP BY request_id
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
    coalesce(moved_to, model) AS model,
    coalesce(asked_model, came_for, model) AS original_model,
    coalesce(node_id, '') AS node_id,
    (term ->> 5)::DOUBLE AS score,
    CASE WHEN term IS NOT NULL THEN json_object(
        'resident', term -> 1, 'in_flight', term -> 2, 'slots', term -> 3, 'wait_s', term -> 4,
        'total', term -> 5
    ) END AS scores_breakdown,
    CASE
        WHEN kind = 'attempt_failed' AND seq < last_sent_seq THEN 'retried'
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
    len(list_filter(failed_seqs, lambda failed: failed < least(seq, last_sent_seq))) AS retry_count,
    (coalesce(moved_to, model) NOT IN (coalesce(came_for, model), coalesce(meant, '')))::INTEGER
        AS fallback_used,
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
    epoch_us(recorded_at) // 1000000 AS timestamp,
    CASE WHEN tags IS NOT NULL THEN tags WHEN app IS NULL THEN json_array() ELSE json_array(app) END
        AS tags,
    payload ->> 'finish' AS finish_reason,
    NULL::BIGINT AS estimated_tokens
FROM outcomes
LEFT JOIN admissions USING (request_id)
LEFT JOIN moves USING (request_id)
LEFT JOIN sent USING (request_id)
LEFT JOIN placements USING (request_id, lease)
-- A last attempt that failed is the end of its request: one row, as in ollama-herd's table.
WHERE NOT (kind = 'request_failed' AND coalesce(failed_seqs[-1] > last_sent_seq, false));
COMMENT ON VIEW request_traces IS 'The table that ollama-herd keeps: one row an attempt or end.';
