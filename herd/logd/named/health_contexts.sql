-- What applications asked of contexts since the hour of $from_us; first what a check may have to
-- say something of. What named a context is one row, long or not: its loads are counted together.
SELECT
    model,
    app,
    num_ctx,
    node_id,
    sum(requests)::BIGINT AS requests,
    sum(cold)::BIGINT AS cold,
    max(most_body_bytes) AS most_body_bytes,
    arg_max(prompt_tokens, most_body_bytes) AS prompt_tokens,
    arg_max(seqs, most_body_bytes) AS seqs
FROM (
    SELECT * EXCLUDE (last_seq) FROM rolled_contexts
    UNION ALL BY NAME
    FROM contexts_of(
        getvariable('health_seq') + 1,
        getvariable('last_seq'),
        getvariable('health_first_id'),
        getvariable('health_last_id')
    )
)
WHERE span >= date_trunc('hour', make_timestamp($from_us::BIGINT))
GROUP BY model, app, num_ctx, node_id, long AND num_ctx = 0
ORDER BY num_ctx > 0 DESC, long AND num_ctx = 0, requests DESC, model, app, num_ctx, node_id
LIMIT 1000
