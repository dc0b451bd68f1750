-- Benchmarks that ended, each as the event that says what it measured; one that nobody saw the end
-- of, since control ended before, as the event that began it. Those that were refused are left out.
WITH told AS (
    SELECT seq, recorded_at, kind, payload, payload ->> 'run_id' AS run_id
    FROM events
    WHERE kind IN ('benchmark_started', 'benchmark_ended')
),
ended AS (
    SELECT run_id FROM told WHERE kind = 'benchmark_ended'
)
SELECT
    seq,
    epoch(recorded_at) AS ended_at,
    payload::VARCHAR AS line
FROM told
WHERE (
    (kind = 'benchmark_ended' AND coalesce(payload ->> 'outcome', 'done') <> 'refused')
    OR (
        run_id NOT IN (SELECT run_id FROM ended)
        AND seq < (SELECT max(seq) FROM events WHERE kind = 'control_started')
    )
)
AND seq < $before
AND ($run_id = '' OR run_id = $run_id)
ORDER BY seq DESC
LIMIT least($limit, 201)
