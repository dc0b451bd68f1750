-- One row a placement, with what set its winner apart from the second.
WITH pairs AS (
    SELECT
        seq,
        max(resident::INTEGER) FILTER (rank = 1) AS resident,
        max(resident::INTEGER) FILTER (rank = 2) AS other_resident,
        max(wait_s) FILTER (rank = 1) AS wait_s,
        max(wait_s) FILTER (rank = 2) AS other_wait_s,
        max(in_flight) FILTER (rank = 1) AS in_flight,
        max(in_flight) FILTER (rank = 2) AS other_in_flight
    FROM candidates
    GROUP BY seq
)
SELECT
    seq,
    epoch(recorded_at - $began) / 60 AS minute,
    request_id,
    model,
    node_id,
    policy,
    candidates,
    runner_up,
    wait_s,
    cold,
    CASE
        WHEN candidates = 1 THEN 'no other had a slot'
        WHEN NOT starts_with(policy, 'resident-first/') THEN 'the order of the policy'
        WHEN resident <> other_resident THEN 'has the model in memory'
        WHEN wait_s <> other_wait_s THEN 'shorter wait'
        WHEN in_flight <> other_in_flight THEN 'fewer in flight'
        ELSE 'the draw'
    END AS because
FROM decisions
LEFT JOIN pairs USING (seq)
ORDER BY seq
