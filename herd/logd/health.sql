-- What health is judged by, in the DuckDB file only: each macro counts the events of a stretch, of ten
-- minutes each. So whole stretches are counted once (`rolled_...`), and what came since when a page
-- asks. `seqs` are the newest events that a row stands on, five at most. To look for `"cold":true` takes
-- less than to read the line, and nothing that comes from outside can look so: its quotes are escaped.

-- What each node did with each model: whole answers, and the tokens they made between their first byte
-- and their last. `again`: loads of a model that had answered there in the four minutes before (Ollama
-- keeps one for five), as far as 20,000 events before the stretch tell. `abandoned`: clients that left
-- in the stretch before a byte of what was loaded for them; the ids of all that left or were answered
-- in it are from `first_id` to `last_id`.
CREATE OR REPLACE MACRO work_of(first_seq, last_seq, first_id, last_id) AS TABLE
WITH colds AS (
    SELECT seq, recorded_at, node_id, model
    FROM events
    WHERE seq BETWEEN first_seq AND last_seq
    AND kind = 'request_dispatched' AND contains(payload, '"cold":true')
),
gone AS (
    SELECT seq, request_id, node_id
    FROM events
    WHERE seq BETWEEN first_seq AND last_seq
    AND kind = 'request_cancelled' AND contains(payload, '"phase":"first_byte"')
),
abandoned AS (
    SELECT seq, true AS abandoned
    FROM gone
    SEMI JOIN (
        FROM events
        WHERE seq <= last_seq AND request_id BETWEEN first_id AND last_id
        AND kind = 'request_dispatched' AND contains(payload, '"cold":true')
    ) USING (request_id, node_id)
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
    count(abandoned) AS abandoned,
    max(seq, 5) FILTER (abandoned) AS abandoned_seqs,
    max(seq, 5) FILTER (kind = 'request_completed') AS seqs
FROM events
LEFT JOIN marked USING (seq)
LEFT JOIN abandoned USING (seq)
WHERE seq BETWEEN first_seq AND last_seq
    AND (kind IN ('request_dispatched', 'request_completed') OR abandoned) AND node_id IS NOT NULL
GROUP BY ALL;

-- Models that came into a node's memory while herd looked: it had told of its memory before, in this
-- life of control and since it was last away, as far as 20,000 events before the stretch tell.
CREATE OR REPLACE MACRO appeared_of(first_seq, last_seq) AS TABLE
WITH looks AS (
    SELECT
        seq,
        recorded_at,
        node_id,
        CASE
            WHEN kind IN ('heartbeat_received', 'node_probed')
                THEN coalesce(payload ->> '$.resident[*].name', [])
        END AS held,
        max(CASE WHEN kind = 'control_started' THEN seq END) OVER (ORDER BY seq) AS started_seq
    FROM events
    WHERE seq BETWEEN first_seq - 20000 AND last_seq
        AND kind IN (
            'heartbeat_received', 'node_probed', 'node_went_offline', 'node_slept',
            'node_forgotten', 'control_started'
        )
        AND NOT (kind = 'node_probed' AND NOT contains(payload, '"resident":'))
        AND NOT contains(payload, '"reachable":false')
)
SELECT seq, recorded_at, node_id, name
FROM (
    SELECT seq, recorded_at, node_id, unnest(held) AS name, held_before
    FROM (
        SELECT
            *,
            lag(held) OVER nodes AS held_before,
            lag(seq) OVER nodes AS seq_before
        FROM looks
        WHERE node_id IS NOT NULL
        WINDOW nodes AS (PARTITION BY node_id ORDER BY seq)
    )
    WHERE seq >= first_seq AND seq_before > coalesce(started_seq, 0)
)
WHERE NOT list_contains(held_before, name);

-- What went wrong. `quick`: errors of a node that came back within a second. A request that ends since
-- its last attempt failed tells of no further failure of the node: `request_given_up`.
CREATE OR REPLACE MACRO troubles_of(first_seq, last_seq) AS TABLE
SELECT
    time_bucket(INTERVAL 10 MINUTE, recorded_at) AS span,
    CASE
        WHEN kind = 'request_failed' AND payload ->> 'fault' = 'node'
            AND payload ->> 'lease' IS NULL
            THEN 'request_given_up'
        ELSE kind
    END AS kind,
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
        'circuit_closed', 'actor_failed', 'recording_resumed', 'front_lost', 'load_planned',
        'load_finished', 'node_forgotten'
    )
    AND NOT (kind = 'load_finished' AND coalesce(payload ->> 'error', '') = '')
    AND NOT (kind = 'front_lost' AND coalesce((payload ->> 'told')::BOOLEAN, false))
GROUP BY ALL
UNION ALL
SELECT
    time_bucket(INTERVAL 10 MINUTE, recorded_at), 'model_appeared', node_id, name,
    '', '', 0, count(*), 0, max(seq, 5)
FROM appeared_of(first_seq, last_seq)
GROUP BY ALL;

-- The newest event of each node that says how it is: what control shows of it comes from there.
-- `on_card`: something was in the memory of its graphics card.
CREATE OR REPLACE MACRO told_of(first_seq, last_seq) AS TABLE
WITH told AS (
    SELECT
        seq,
        kind,
        coalesce(node_id, '') AS node_id,
        CASE WHEN kind = 'model_pinned' THEN coalesce(model, '') ELSE '' END AS model,
        CASE WHEN kind LIKE 'node_%' THEN coalesce(payload ->> 'reason', '') ELSE '' END AS phase,
        contains(payload, '"size_vram_bytes":') AS card
    FROM events
    WHERE seq BETWEEN first_seq AND last_seq
        AND kind IN (
            'heartbeat_received', 'node_probed', 'node_paused', 'node_knocked', 'node_degraded',
            'node_went_offline', 'model_pinned'
        )
        AND NOT (kind = 'node_probed' AND NOT contains(payload, '"resident":'))
)
SELECT kind, node_id, model, arg_max(phase, seq) AS phase, max(seq) AS seq
FROM told
GROUP BY ALL
UNION ALL
SELECT 'on_card', node_id, '', '', max(seq)
FROM told
WHERE card
GROUP BY ALL;

-- What applications asked of contexts, of the requests answered in the stretch, whose ids are from
-- `first_id` to `last_id`. `long`: what was sent may be more than was read (`herd/health/models.py`).
-- Of what is not, and named no context, the application does not matter. Spans are hours of receipt.
CREATE OR REPLACE MACRO contexts_of(first_seq, last_seq, first_id, last_id) AS TABLE
WITH ends AS (
    SELECT request_id, node_id, coalesce(prompt_tokens, 0) AS prompt_tokens
    FROM events
    WHERE kind = 'request_completed' AND node_id IS NOT NULL AND seq BETWEEN first_seq AND last_seq
),
asked AS (
    SELECT seq, recorded_at, request_id, model, payload
    FROM events
    WHERE kind = 'request_received' AND seq <= last_seq AND request_id BETWEEN first_id AND last_id
),
loads AS (
    SELECT DISTINCT request_id, true AS cold
    FROM events
    WHERE kind = 'request_dispatched'
        AND (contains(payload, '"cold":true') OR contains(payload, '"context":"reloads"'))
        AND seq <= last_seq AND request_id BETWEEN first_id AND last_id
),
answered AS (
    SELECT
        seq,
        date_trunc('hour', recorded_at) AS span,
        request_id,
        coalesce(model, '') AS model,
        coalesce(told[1], '') AS app,
        coalesce(told[2]::BIGINT, 0) AS num_ctx,
        coalesce(told[3]::BIGINT, 0) AS body_bytes,
        node_id,
        prompt_tokens
    FROM (
        SELECT *, payload ->> ['app', 'num_ctx', 'body_bytes'] AS told
        FROM asked
        JOIN ends USING (request_id)
    )
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
    FROM answered
)
LEFT JOIN loads USING (request_id)
GROUP BY ALL;
