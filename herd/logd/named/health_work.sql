-- What each node did with each model since $from_us, the part since $recent_us apart: whole answers,
-- and the tokens they made between their first byte and their last. `again`: loads of a model that had
-- answered there in the four minutes before (Ollama keeps one for five); of the recent part only.
WITH back AS (
    SELECT seq
    FROM (
        SELECT
            seq, recorded_at, kind, payload,
            max(recorded_at) FILTER (kind = 'request_completed') OVER (
                PARTITION BY node_id, model ORDER BY seq
            ) AS answered_at
        FROM events
        WHERE recorded_at >= make_timestamp($recent_us::BIGINT) - INTERVAL 4 MINUTE
        AND seq > (SELECT max(seq) - 200000 FROM events)
        AND kind IN ('request_dispatched', 'request_completed')
    )
    WHERE recorded_at >= make_timestamp($recent_us::BIGINT)
    AND kind = 'request_dispatched' AND (payload ->> 'cold')::BOOLEAN
    AND recorded_at < answered_at + INTERVAL 4 MINUTE
)
SELECT
    recorded_at >= make_timestamp($recent_us::BIGINT) AS recent,
    node_id,
    model,
    count(*) FILTER (kind = 'request_completed') AS completed,
    count(*) FILTER (kind = 'request_dispatched' AND (payload ->> 'cold')::BOOLEAN) AS cold,
    coalesce(sum(ttft_s) FILTER (kind = 'request_completed'), 0) AS ttft_s,
    coalesce(sum(queue_s) FILTER (kind = 'request_dispatched'), 0) AS queue_s,
    coalesce(sum(completion_tokens) FILTER (service_s > ttft_s AND completion_tokens > 1), 0)::BIGINT
        AS decoded_tokens,
    coalesce(sum(service_s - ttft_s) FILTER (service_s > ttft_s AND completion_tokens > 1), 0)
        AS decode_s,
    count(*) FILTER (back.seq IS NOT NULL) AS again,
    max(seq, 5) FILTER (back.seq IS NOT NULL) AS again_seqs,
    max(seq, 5) FILTER (kind = 'request_completed') AS seqs
FROM (
    SELECT
        seq, recorded_at, kind, node_id, model, queue_s, ttft_s, service_s, completion_tokens,
        CASE kind WHEN 'request_dispatched' THEN payload END AS payload
    FROM events
    WHERE recorded_at >= make_timestamp($from_us::BIGINT)
    AND seq > (SELECT max(seq) - 200000 FROM events)
    AND kind IN ('request_dispatched', 'request_completed') AND node_id IS NOT NULL
) LEFT JOIN back USING (seq)
GROUP BY ALL
ORDER BY completed DESC, node_id, model
LIMIT 5000
