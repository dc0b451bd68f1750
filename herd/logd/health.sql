-- What health is judged by, in the DuckDB file only: each macro counts the events of a stretch, of ten
-- minutes each. So whole stretches are counted once (`rolled_...`), and what came since when a page
-- asks. `seqs` are the newest events that a row stands on, five at most. To look for `"cold":true` takes
-- less than to read the line, and nothing that comes from outside can look so: its quotes are escaped.

-- What each node did with each model: whole answers, and the tokens they made between their first byte
-- and their last. `again`: loads of a model that had answered there in the four minutes before (Ollama
-- keeps one for five), as far as 20,000 events before the stretch tell.
CREATE OR REPLACE MACRO work_of(first_seq, last_seq) AS TABLE
WITH colds AS (
    SELECT seq, recorded_at, node_id, model
    FROM events
    WHERE seq BETWEEN first_seq AND last_seq
    AND kind = 'request_dispatched' AND contains(payload, '"cold":true')
),
answers AS (
    SELECT seq AS answer_seq, recorded_at AS answered_at, node_id, model
    FROM events
    WHERE seq BETWEEN first_seq - 20000 AND last_seq
    AND kind = 'request_completed'
),
marked AS (
    SELECT seq, coalesce(recorded_at < answered_at + INTERVAL 4 MINUTE, false) AS again
    FROM colds
    ASOF LEFT JOIN answers
        ON colds.node_id = answers.node_id
        AND colds.model = answers.model
        AND colds.seq > answers.answer_seq
)
SELECT
    time_bucket(INTERVAL 10 MINUTE, recorded_at) AS span,
    node_id,
    coalesce(model, '') AS model,
    count(*) FILTER (kind = 'request_completed') AS completed,
    count(again) AS cold,
    coalesce(sum(ttft_s) FILTER (kind = 'request_completed'), 0)::DOUBLE AS ttft_s,
    coalesce(sum(queue_s) FILTER (kind = 'request_dispatched'), 0)::DOUBLE AS queue_s,
    coalesce(sum(completion_tokens) FILTER (service_s > ttft_s AND completion_tokens > 1), 0)::BIGINT
        AS decoded_tokens,
    coalesce(sum(service_s - ttft_s) FILTER (service_s > ttft_s AND completion_tokens > 1), 0)::DOUBLE
        AS decode_s,
    count(*) FILTER (again) AS again,
    max(seq, 5) FILTER (again) AS again_seqs,
    max(seq, 5) FILTER (kind = 'request_completed') AS seqs
FROM events
LEFT JOIN marked USING (seq)
WHERE seq BETWEEN first_seq AND last_seq
    AND kind IN ('request_dispatched', 'request_completed') AND node_id IS NOT NULL
GROUP BY ALL;

-- What went wrong. `quick`: errors of a node that came back within a second.
CREATE OR REPLACE MACRO troubles_of(first_seq, last_seq) AS TABLE
SELECT
    time_bucket(INTERVAL 10 MINUTE, recorded_at) AS span,
    kind,
    coalesce(node_id, '') AS node_id,
    coalesce(model, '') AS model,
    coalesce(payload ->> 'phase', payload ->> 'reason', '') AS phase,
    coalesce(payload ->> 'fault', '') AS fault,
    coalesce(status, 0)::SMALLINT AS status,
    count(*) AS events,
    count(*) FILTER (
        status >= 500 AND coalesce(service_s, (payload ->> 'elapsed_s')::DOUBLE, 0) < 1
    ) AS quick,
    max(seq, 5) AS seqs
FROM events
WHERE seq BETWEEN first_seq AND last_seq
    AND kind IN (
        'attempt_failed', 'request_failed', 'request_cancelled', 'request_rejected',
        'request_reaped', 'request_interrupted', 'request_stalled', 'circuit_opened',
        'circuit_closed', 'node_degraded', 'node_went_offline', 'actor_failed',
        'recording_resumed', 'front_lost', 'load_finished'
    )
    AND NOT (kind = 'load_finished' AND coalesce(payload ->> 'error', '') = '')
    AND NOT (kind = 'front_lost' AND coalesce((payload ->> 'told')::BOOLEAN, false))
GROUP BY ALL;

-- What applications asked of contexts, of the requests received in the stretch, whose ids are from
-- `first_id` to `last_id`. `long`: what was sent may be more than was read (`herd/health/models.py`).
-- Of what is not, and named no context, the application does not matter. Spans are hours.
CREATE OR REPLACE MACRO contexts_of(first_seq, last_seq, first_id, last_id) AS TABLE
WITH asked AS (
    SELECT
        seq,
        date_trunc('hour', recorded_at) AS span,
        request_id,
        coalesce(model, '') AS model,
        coalesce(told[1], '') AS app,
        coalesce(told[2]::BIGINT, 0) AS num_ctx,
        coalesce(told[3]::BIGINT, 0) AS body_bytes
    FROM (SELECT *, payload ->> ['app', 'num_ctx', 'body_bytes'] AS told FROM events)
    WHERE kind = 'request_received' AND seq BETWEEN first_seq AND last_seq
),
loads AS (
    SELECT DISTINCT request_id, true AS cold
    FROM events
    WHERE kind = 'request_dispatched' AND contains(payload, '"cold":true')
        AND seq > first_seq AND request_id BETWEEN first_id AND last_id
),
ends AS (
    SELECT request_id, node_id, coalesce(prompt_tokens, 0) AS prompt_tokens
    FROM events
    WHERE kind = 'request_completed' AND node_id IS NOT NULL
        AND seq > first_seq AND request_id BETWEEN first_id AND last_id
)
SELECT
    span,
    model,
    CASE WHEN num_ctx > 0 OR long THEN app ELSE '' END AS app,
    num_ctx,
    node_id,
    long,
    count(*) AS requests,
    count(cold) AS cold,
    max(body_bytes) AS most_body_bytes,
    arg_max(prompt_tokens, body_bytes) AS prompt_tokens,
    max_by(seq, body_bytes, 5) AS seqs
FROM (
    SELECT *, prompt_tokens >= 256 AND body_bytes > 5 * prompt_tokens AS long
    FROM asked
    JOIN ends USING (request_id)
)
LEFT JOIN loads USING (request_id)
GROUP BY ALL;
