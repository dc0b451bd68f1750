-- What went wrong since $from_us, the part since $recent_us apart, with its newest events; and the
-- newest event of each node of those that say how it is, whenever that was.
(
    SELECT
        span >= make_timestamp($recent_us::BIGINT) AS recent,
        kind,
        node_id,
        model,
        phase,
        fault,
        status,
        sum(events)::BIGINT AS events,
        sum(quick)::BIGINT AS quick,
        list_reverse_sort(flatten(arg_max(seqs, seqs[1], 5)))[:5] AS seqs
    FROM (
        SELECT * EXCLUDE (last_seq) FROM rolled_troubles
        UNION ALL BY NAME
        FROM troubles_of(getvariable('health_seq') + 1, getvariable('last_seq'))
    )
    WHERE span >= make_timestamp($from_us::BIGINT)
    GROUP BY ALL
    ORDER BY events DESC, kind, node_id, model
    LIMIT 2000
)
UNION ALL
(
    SELECT
        false, kind, node_id, model, arg_max(phase, seq), '', 0, 1, 0, [max(seq)]
    FROM (
        SELECT * EXCLUDE (last_seq) FROM rolled_told
        UNION ALL BY NAME
        FROM told_of(getvariable('health_seq') + 1, getvariable('last_seq'))
    )
    GROUP BY kind, node_id, model
    ORDER BY max(seq) DESC
    LIMIT 2000
)
