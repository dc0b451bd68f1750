-- One row a model and window: the longest its line was.
WITH windows AS (
    SELECT
        number,
        $began + to_seconds(number * $every_s) AS begins,
        $began + to_seconds((number + 1) * $every_s) AS ends
    FROM range((
        SELECT ceil(epoch(max(recorded_at) - $began) / $every_s)::BIGINT FROM events
    )) AS numbers(number)
),
spans AS (
    SELECT
        model,
        waiting,
        recorded_at AS begins,
        lead(recorded_at, 1, (SELECT max(recorded_at) FROM events))
            OVER (PARTITION BY model ORDER BY seq) AS ends
    FROM queue_depth
    QUALIFY ends > begins
)
SELECT
    epoch(windows.begins - $began) / 60 AS minute,
    models.model,
    coalesce(max(waiting), 0)::BIGINT AS waiting
FROM windows
CROSS JOIN (SELECT DISTINCT model FROM spans) AS models
LEFT JOIN spans
    ON spans.model = models.model AND spans.begins < windows.ends AND spans.ends > windows.begins
GROUP BY windows.begins, models.model
ORDER BY windows.begins, models.model
