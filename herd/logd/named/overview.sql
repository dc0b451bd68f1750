-- All requests there ever were.
SELECT
    coalesce(sum(requests), 0)::BIGINT AS total_requests,
    coalesce(sum(prompt_tokens), 0)::BIGINT AS total_prompt_tokens,
    coalesce(sum(completion_tokens), 0)::BIGINT AS total_completion_tokens,
    coalesce(sum(prompt_tokens) + sum(completion_tokens), 0)::BIGINT AS total_tokens,
    count(DISTINCT model) FILTER (completed > 0) AS models_count,
    coalesce(sum(completed), 0)::BIGINT AS completed,
    coalesce(sum(failed), 0)::BIGINT AS failed,
    coalesce(sum(cancelled), 0)::BIGINT AS cancelled,
    coalesce(sum(rejected), 0)::BIGINT AS rejected,
    coalesce(sum(retries), 0)::BIGINT AS retries,
    epoch(min(first_at)) AS since
FROM used
