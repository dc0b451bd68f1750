-- A day and application.
SELECT
    tag,
    epoch(date_trunc('day', hour))::BIGINT AS day_bucket,
    sum(requests)::BIGINT AS request_count,
    coalesce(sum(rejected), 0)::BIGINT AS rejected_count,
    round(coalesce(1000 * sum(service_s) / nullif(sum(timed), 0), 0), 1)::DOUBLE AS avg_latency_ms,
    (sum(prompt_tokens) + sum(completion_tokens))::BIGINT AS total_tokens
FROM used_tags
WHERE is_app AND hour >= make_timestamp($from_us) AND hour < make_timestamp($to_us)
GROUP BY ALL
ORDER BY day_bucket, tag
LIMIT 10000
