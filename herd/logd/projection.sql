-- Raw lines to rows of `events`. Fields that hold their default are not stored in a line; the
-- defaults that a query would miss are put back here.
SELECT
    seq,
    make_timestamp(recorded_at) AS recorded_at,
    k AS kind,
    coalesce(v, 1)::USMALLINT AS v,
    coalesce(src, 'control') AS src,
    coalesce(n, 0) AS n,
    coalesce(cause, 0) AS cause,
    request_id,
    node_id,
    model,
    CASE k WHEN 'request_dispatched' THEN coalesce(queue_s, 0) ELSE queue_s END AS queue_s,
    ttft_s,
    service_s,
    CASE k WHEN 'request_completed' THEN coalesce(status, 200) ELSE status END AS status,
    CASE WHEN usage_source IS NULL THEN prompt_tokens ELSE coalesce(prompt_tokens, 0) END
        AS prompt_tokens,
    CASE WHEN usage_source IS NULL THEN completion_tokens ELSE coalesce(completion_tokens, 0) END
        AS completion_tokens,
    json::JSON AS payload
FROM (
    SELECT json, unnest(json_transform(json, '{
        "seq": "BIGINT", "recorded_at": "BIGINT", "k": "VARCHAR", "v": "USMALLINT",
        "src": "VARCHAR", "n": "BIGINT", "cause": "BIGINT",
        "request_id": "VARCHAR", "node_id": "VARCHAR", "model": "VARCHAR",
        "queue_s": "DOUBLE", "ttft_s": "DOUBLE", "service_s": "DOUBLE", "status": "SMALLINT",
        "prompt_tokens": "BIGINT", "completion_tokens": "BIGINT", "usage_source": "VARCHAR"
    }'))
    FROM ($lines)
)
