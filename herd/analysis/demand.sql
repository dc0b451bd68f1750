-- One row a window: what was asked for, and what became of it.
SELECT
    floor(epoch(received_at - $began) / $every_s) * $every_s / 60 AS minute,
    count(*) / $every_s AS requests_per_s,
    avg((status = 'completed')::INTEGER) AS completed,
    avg((coalesce(queue_s, 0) > $at_once_s OR status = 'rejected')::INTEGER) AS waited
FROM requests
WHERE received_seq IS NOT NULL
GROUP BY ALL
ORDER BY minute
