-- A model: what was completed of it in all those days.
SELECT
    model AS model_name,
    sum(completed)::BIGINT AS total_requests,
    round(coalesce(1000 * sum(service_s) / nullif(sum(timed), 0), 0), 1)::DOUBLE AS avg_latency_ms,
    round(1000 * min(least_service_s), 1) AS min_latency_ms,
    round(1000 * max(most_service_s), 1) AS max_latency_ms,
    sum(prompt_tokens)::BIGINT AS total_prompt_tokens,
    sum(completion_tokens)::BIGINT AS total_completion_tokens,
    epoch(min(first_at)) AS first_seen,
    epoch(max(last_at)) AS last_seen
FROM used
WHERE hour >= make_timestamp($from_us) AND hour < make_timestamp($to_us)
GROUP BY ALL
HAVING sum(completed) > 0
ORDER BY total_requests DESC, model_name
LIMIT 1000
