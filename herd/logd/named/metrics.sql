-- What happened from $first_seq to $last_seq, as `herd/logd/meters.py` counts it. What is longer than
-- the last of $bounds comes last in the lists.
SELECT
    kind,
    coalesce(node_id, '') AS node,
    coalesce(model, '') AS model,
    CASE
        WHEN kind IN ('attempt_failed', 'request_failed', 'request_cancelled')
            THEN coalesce(payload ->> 'phase', '')
        WHEN kind IN ('request_rejected', 'request_interrupted')
            THEN coalesce(payload ->> 'reason', '')
        ELSE ''
    END AS phase,
    CASE kind WHEN 'request_failed' THEN coalesce(payload ->> 'fault', '') ELSE '' END AS fault,
    CASE kind WHEN 'request_dispatched' THEN (payload ->> 'cold')::BOOLEAN ELSE false END AS cold,
    count(*) AS events,
    coalesce(sum(queue_s), 0) AS queue_s,
    coalesce(sum(ttft_s), 0) AS ttft_s,
    coalesce(sum(service_s), 0) AS service_s,
    map_values(histogram(queue_s, $bounds)) AS queue_counts,
    map_values(histogram(ttft_s, $bounds)) AS ttft_counts,
    map_values(histogram(service_s, $bounds)) AS service_counts
FROM events
WHERE seq BETWEEN $first_seq AND $last_seq
GROUP BY ALL
