-- A model: how long its prompts and answers were, by the newest completed requests of those days.
SELECT
    model,
    count(*) AS request_count,
    round(avg(prompt_tokens))::BIGINT AS avg_prompt,
    quantile_disc(prompt_tokens, 0.5) AS p50_prompt,
    quantile_disc(prompt_tokens, 0.75) AS p75_prompt,
    quantile_disc(prompt_tokens, 0.95) AS p95_prompt,
    quantile_disc(prompt_tokens, 0.99) AS p99_prompt,
    max(prompt_tokens) AS max_prompt,
    quantile_disc(prompt_tokens + completion_tokens, 0.95) AS p95_total,
    quantile_disc(prompt_tokens + completion_tokens, 0.99) AS p99_total,
    max(prompt_tokens + completion_tokens) AS max_total,
    coalesce(
        max(prompt_tokens + completion_tokens) FILTER (recorded_at >= make_timestamp($day_us)), 0
    ) AS max_total_24h
FROM events
WHERE kind = 'request_completed'
    AND seq > getvariable('last_seq') - 300000
    AND recorded_at >= make_timestamp($from_us)
    AND recorded_at < make_timestamp($to_us)
    AND prompt_tokens IS NOT NULL
GROUP BY model
ORDER BY request_count DESC, model
LIMIT 1000
