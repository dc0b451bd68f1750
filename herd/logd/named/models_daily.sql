-- A day and model: what was completed of it.
SELECT
    model AS model_name,
    epoch(date_trunc('day', hour))::BIGINT AS day_bucket,
    sum(completed)::BIGINT AS request_count,
    round(coalesce(1000 * sum(service_s) / nullif(sum(timed), 0), 0), 1)::DOUBLE AS avg_latency_ms,
    sum(prompt_tokens)::BIGINT AS total_prompt_tokens,
    sum(completion_tokens)::BIGINT AS total_completion_tokens
FROM used
WHERE hour >= make_timestamp($from_us) AND hour < make_timestamp($to_us)
GROUP BY ALL
HAVING sum(completed) > 0
ORDER BY day_bucket, model_name
LIMIT 10000
