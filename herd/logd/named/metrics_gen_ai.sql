-- The answers that ended from $first_seq to $last_seq at a node, as `herd/logd/gen_ai.py` tells them.
-- Their requests are those from $first_id to $last_id, so that zone maps find them. The $nodes that are
-- no Ollama have the $providers in the same places.
WITH ends AS (
    SELECT
        request_id,
        model,
        coalesce(
            list_extract($providers::VARCHAR[], list_position($nodes::VARCHAR[], node_id)), 'ollama'
        ) AS provider,
        ttft_s,
        service_s,
        prompt_tokens,
        completion_tokens,
        kind = 'request_completed' AS whole,
        CASE kind WHEN 'request_failed' THEN coalesce(payload ->> 'phase', '_OTHER') ELSE '' END AS error,
        coalesce(payload ->> 'usage_source', 'none') <> 'none' AS metered
    FROM events
    WHERE seq BETWEEN $first_seq AND $last_seq
        AND kind IN ('request_completed', 'request_failed')
        AND node_id <> ''
        AND service_s IS NOT NULL
),
asked AS (
    SELECT
        request_id,
        coalesce(payload ->> 'route', '/api/chat') AS route,
        coalesce((payload ->> 'stream')::BOOLEAN, true) AS streamed
    FROM events
    WHERE kind = 'request_received' AND request_id BETWEEN $first_id AND $last_id
),
answers AS (
    SELECT
        route,
        model,
        provider,
        error,
        service_s,
        CASE WHEN whole AND streamed AND route NOT LIKE '%embed%' THEN ttft_s END AS first_s,
        CASE WHEN whole AND streamed AND completion_tokens > 1
            THEN (service_s - ttft_s) / (completion_tokens - 1)
        END AS token_s,
        CASE WHEN whole AND metered THEN nullif(prompt_tokens, 0) END AS input_tokens,
        CASE WHEN whole AND metered AND route NOT LIKE '%embed%' THEN completion_tokens END
            AS output_tokens
    FROM ends
    JOIN asked USING (request_id)
)
SELECT
    route,
    model,
    provider,
    error,
    coalesce(sum(service_s), 0) AS service_s,
    coalesce(sum(first_s), 0) AS first_s,
    coalesce(sum(token_s), 0) AS token_s,
    coalesce(sum(input_tokens), 0)::DOUBLE AS input_tokens,
    coalesce(sum(output_tokens), 0)::DOUBLE AS output_tokens,
    map_values(histogram(service_s, $durations)) AS service_counts,
    map_values(histogram(first_s, $firsts)) AS first_counts,
    map_values(histogram(token_s, $paces)) AS token_counts,
    map_values(histogram(input_tokens, $sizes)) AS input_counts,
    map_values(histogram(output_tokens, $sizes)) AS output_counts
FROM answers
GROUP BY ALL
