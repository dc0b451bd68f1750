-- What applications asked of contexts since $from_us: at most the newest 100,000 events are read.
WITH newest AS (
    SELECT seq, request_id, kind, node_id, prompt_tokens, payload
    FROM events
    WHERE recorded_at >= make_timestamp($from_us::BIGINT)
    AND seq > (SELECT max(seq) - 100000 FROM events)
),
asked AS (
    SELECT
        seq,
        request_id,
        payload ->> 'model' AS model,
        coalesce(payload ->> 'app', '') AS app,
        coalesce((payload ->> 'num_ctx')::BIGINT, 0) AS num_ctx,
        coalesce((payload ->> 'body_bytes')::BIGINT, 0) AS body_bytes
    FROM newest
    WHERE kind = 'request_received'
),
loads AS (
    SELECT request_id, bool_or((payload ->> 'cold')::BOOLEAN) AS cold
    FROM newest
    WHERE kind = 'request_dispatched'
    GROUP BY request_id
),
ends AS (
    SELECT request_id, node_id, prompt_tokens FROM newest WHERE kind = 'request_completed'
)
SELECT
    model,
    app,
    num_ctx,
    node_id,
    count(*) AS requests,
    count(*) FILTER (cold) AS cold,
    max(body_bytes) AS most_body_bytes,
    arg_max(prompt_tokens, body_bytes) AS prompt_tokens,
    max_by(seq, body_bytes, 5) AS seqs
FROM asked
JOIN ends USING (request_id)
LEFT JOIN loads USING (request_id)
GROUP BY ALL
ORDER BY requests DESC, model, app, num_ctx, node_id
LIMIT 2000
