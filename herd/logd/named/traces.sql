-- The rows of `request_traces` for a page, with what was decided for each.
WITH placed AS (
    SELECT DISTINCT ON (request_id, attempt)
        request_id, attempt, policy, cold, runner_up, queue_s
    FROM decisions
    WHERE request_id IN ($ids) AND request_id BETWEEN $first_id AND $last_id
    ORDER BY seq DESC
)
SELECT
    traces.*,
    traces.tags ->> 0 AS app,
    placed.policy,
    placed.cold,
    placed.runner_up,
    round(1000 * placed.queue_s, 1) AS queue_ms
FROM request_traces AS traces
LEFT JOIN placed
    ON placed.request_id = traces.request_id AND placed.attempt = traces.retry_count + 1
WHERE traces.request_id IN ($ids) AND traces.request_id BETWEEN $first_id AND $last_id
    AND id BETWEEN $first AND $last
    AND ($status = '' OR status = $status)
ORDER BY id DESC
