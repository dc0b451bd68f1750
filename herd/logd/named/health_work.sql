-- What each node did with each model since $from_us, the part since $recent_us apart, both to the whole
-- ten minutes. `again`, loads of what had answered a moment before, is of the recent part only.
-- The newest five are among those of the five rows with the newest.
SELECT
    recent,
    node_id,
    model,
    sum(completed)::BIGINT AS completed,
    sum(cold)::BIGINT AS cold,
    sum(ttft_s)::DOUBLE AS ttft_s,
    sum(queue_s)::DOUBLE AS queue_s,
    sum(decoded_tokens)::BIGINT AS decoded_tokens,
    sum(decode_s)::DOUBLE AS decode_s,
    coalesce(sum(again) FILTER (recent), 0)::BIGINT AS again,
    list_reverse_sort(flatten(
        arg_max(again_seqs, again_seqs[1], 5) FILTER (recent AND again > 0)
    ))[:5] AS again_seqs,
    sum(abandoned)::BIGINT AS abandoned,
    list_reverse_sort(flatten(
        arg_max(abandoned_seqs, abandoned_seqs[1], 5) FILTER (abandoned > 0)
    ))[:5] AS abandoned_seqs,
    list_reverse_sort(flatten(arg_max(seqs, seqs[1], 5) FILTER (completed > 0)))[:5] AS seqs
FROM (
    SELECT *, span >= make_timestamp($recent_us::BIGINT) AS recent
    FROM (
        SELECT * EXCLUDE (last_seq) FROM rolled_work
        UNION ALL BY NAME
        FROM work_of(
            getvariable('health_seq') + 1,
            getvariable('last_seq'),
            getvariable('health_first_id'),
            getvariable('health_last_id')
        )
    )
    WHERE span >= make_timestamp($from_us::BIGINT)
)
GROUP BY ALL
ORDER BY completed DESC, node_id, model
LIMIT 5000
