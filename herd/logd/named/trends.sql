-- An hour with requests: how many, how fast.
SELECT
    epoch(hour)::BIGINT AS hour_bucket,
    sum(requests)::BIGINT AS request_count,
    sum(completed)::BIGINT AS completed_count,
    sum(failed)::BIGINT AS failed_count,
    sum(rejected)::BIGINT AS rejected_count,
    round(coalesce(1000 * sum(service_s) / nullif(sum(timed), 0), 0), 1)::DOUBLE AS avg_latency_ms,
    round(1000 * sum(ttft_s) / nullif(sum(begun), 0), 1)::DOUBLE AS avg_ttft_ms,
    round(1000 * sum(queue_s) / sum(requests), 1)::DOUBLE AS avg_queue_ms,
    sum(prompt_tokens)::BIGINT AS total_prompt_tokens,
    sum(completion_tokens)::BIGINT AS total_completion_tokens
FROM hours
WHERE hour >= make_timestamp($from_us) AND hour < make_timestamp($to_us)
GROUP BY ALL
ORDER BY hour_bucket
