-- One row a node and window: how many requests ran on average, and how much of it was not idle. A
-- request runs on a node until that lease ends, or it goes elsewhere, or ends: `leaves`.
WITH marks AS (
    SELECT
        request_id,
        payload ->> 'lease' AS lease,
        node_id,
        seq,
        recorded_at,
        kind IN ('request_dispatched', 'lease_adopted') AS begins,
        kind NOT IN ('attempt_failed', 'lease_voided') AS leaves
    FROM events
    WHERE kind IN (
        'request_dispatched', 'lease_adopted', 'attempt_failed', 'lease_voided',
        'request_completed', 'request_failed', 'request_cancelled', 'request_rejected',
        'request_reaped', 'request_interrupted'
    )
    UNION ALL BY NAME
    SELECT request_id, lease, node_id, seq, recorded_at, true AS begins, true AS leaves
    FROM carried
),
runs AS (
    SELECT
        node_id,
        recorded_at AS begun_at,
        least(
            lead(recorded_at) OVER (PARTITION BY lease ORDER BY seq),
            min(recorded_at) FILTER (leaves) OVER (
                PARTITION BY request_id ORDER BY seq
                ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
            ),
            (SELECT max(recorded_at) FROM events)
        ) AS ended_at
    FROM marks
    QUALIFY begins AND lease IS NOT NULL
),
steps AS (
    SELECT node_id, begun_at AS recorded_at, 1 AS change FROM runs
    UNION ALL
    SELECT node_id, ended_at AS recorded_at, -1 AS change FROM runs
),
totals AS (
    SELECT node_id, recorded_at, sum(change) AS change FROM steps GROUP BY ALL
),
levels AS (
    SELECT
        node_id,
        recorded_at AS begins,
        lead(recorded_at, 1, (SELECT max(recorded_at) FROM events)) OVER along AS ends,
        sum(change) OVER along AS running
    FROM totals
    WINDOW along AS (PARTITION BY node_id ORDER BY recorded_at)
),
windows AS (
    SELECT
        $began + to_seconds(number * $every_s) AS begins,
        $began + to_seconds((number + 1) * $every_s) AS ends
    FROM range((
        SELECT ceil(epoch(max(recorded_at) - $began) / $every_s)::BIGINT FROM events
    )) AS numbers(number)
),
pieces AS (
    SELECT
        windows.begins AS window_begins,
        node_id,
        running,
        epoch(least(levels.ends, windows.ends) - greatest(levels.begins, windows.begins)) AS lasted_s
    FROM windows
    JOIN levels ON levels.begins < windows.ends AND levels.ends > windows.begins
)
SELECT
    epoch(windows.begins - $began) / 60 AS minute,
    nodes.node_id,
    coalesce(sum(running * lasted_s), 0) / $every_s AS in_flight,
    coalesce(sum(lasted_s) FILTER (running > 0), 0) / $every_s AS busy
FROM windows
CROSS JOIN (SELECT DISTINCT node_id FROM levels) AS nodes
LEFT JOIN pieces ON window_begins = windows.begins AND pieces.node_id = nodes.node_id
GROUP BY windows.begins, nodes.node_id
ORDER BY windows.begins, nodes.node_id
