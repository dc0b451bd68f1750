-- A tag: how much the requests that have it asked for, and how they fared.
SELECT
    tag,
    sum(requests)::BIGINT AS request_count,
    sum(completed)::BIGINT AS completed_count,
    sum(failed)::BIGINT AS failed_count,
    coalesce(sum(cancelled), 0)::BIGINT AS cancelled_count,
    coalesce(sum(rejected), 0)::BIGINT AS rejected_count,
    round(coalesce(1000 * sum(service_s) / nullif(sum(timed), 0), 0), 1)::DOUBLE AS avg_latency_ms,
    round(1000 * sum(ttft_s) / nullif(sum(begun), 0), 1)::DOUBLE AS avg_ttft_ms,
    sum(prompt_tokens)::BIGINT AS total_prompt_tokens,
    sum(completion_tokens)::BIGINT AS total_completion_tokens,
    epoch(min(first_at)) AS first_seen,
    epoch(max(last_at)) AS last_seen
FROM used_tags
WHERE hour >= make_timestamp($from_us) AND hour < make_timestamp($to_us)
GROUP BY ALL
ORDER BY request_count DESC, tag
LIMIT 1000
