-- A day, node and model: how much, and how it fared.
SELECT
    node_id,
    model,
    epoch(date_trunc('day', hour))::BIGINT AS day_bucket,
    sum(requests)::BIGINT AS request_count,
    sum(completed)::BIGINT AS completed_count,
    sum(failed)::BIGINT AS failed_count,
    round(coalesce(1000 * sum(service_s) / nullif(sum(timed), 0), 0), 1)::DOUBLE AS avg_latency_ms,
    round(1000 * sum(ttft_s) / nullif(sum(begun), 0), 1)::DOUBLE AS avg_ttft_ms,
    sum(prompt_tokens)::BIGINT AS total_prompt_tokens,
    sum(completion_tokens)::BIGINT AS total_completion_tokens,
    sum(retries)::BIGINT AS total_retries,
    0 AS total_fallbacks
FROM used
WHERE hour >= make_timestamp($from_us) AND hour < make_timestamp($to_us)
GROUP BY ALL
ORDER BY day_bucket DESC, request_count DESC, node_id, model
LIMIT 10000
