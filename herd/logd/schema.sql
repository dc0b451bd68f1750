-- The DuckDB file: a projection of the journal and the sealed Parquet, to be dropped and rebuilt.
-- No keys, no indexes, and nothing but inserts between two checkpoints: DDL, UPDATE or DELETE in the
-- WAL may not replay after a crash, so a CHECKPOINT follows this file, and what retention deletes,
-- at once.

CREATE TABLE IF NOT EXISTS events (
    seq BIGINT NOT NULL,              -- position in the whole log, from 1, given by control
    recorded_at TIMESTAMP NOT NULL,   -- control's clock at the append, UTC
    kind VARCHAR NOT NULL,
    v USMALLINT NOT NULL,             -- version of the kind
    src VARCHAR NOT NULL,             -- who reported it; (src, n) is its identity there
    n BIGINT NOT NULL,
    cause BIGINT NOT NULL,            -- seq of the fact it follows from; 0 for a fact from outside
    request_id VARCHAR,               -- UUIDv7: ordered by time, so zone maps find it
    node_id VARCHAR,
    model VARCHAR,
    queue_s DOUBLE,
    ttft_s DOUBLE,
    service_s DOUBLE,
    status SMALLINT,
    prompt_tokens BIGINT,
    completion_tokens BIGINT,
    payload JSON NOT NULL             -- the raw line of the journal
);

-- How far each transaction came: the newest row is where to go on.
CREATE TABLE IF NOT EXISTS ingested (
    first_seq BIGINT NOT NULL,        -- the segment
    offset_bytes BIGINT NOT NULL,     -- everything before it is in `events`, `gaps` or `quarantine`
    next_seq BIGINT NOT NULL
);

-- Numbers that are missing from the log.
CREATE TABLE IF NOT EXISTS gaps (from_seq BIGINT NOT NULL, to_seq BIGINT NOT NULL);

-- Lines of the journal that are no events.
CREATE TABLE IF NOT EXISTS quarantine (
    first_seq BIGINT NOT NULL,
    offset_bytes BIGINT NOT NULL,
    line BLOB NOT NULL,
    error VARCHAR NOT NULL
);

-- What the requests came to whose events were dropped: the rows of the newest file in `log/totals`.
CREATE TABLE IF NOT EXISTS kept_totals (
    last_seq BIGINT NOT NULL,         -- requests received up to here are in these rows
    day DATE NOT NULL,                -- of the receipt, UTC
    model VARCHAR NOT NULL,
    node_id VARCHAR NOT NULL,         -- the last one that had it; empty if none
    app VARCHAR NOT NULL,
    requests BIGINT NOT NULL,
    completed BIGINT NOT NULL,
    failed BIGINT NOT NULL,           -- reaped and interrupted ones too
    cancelled BIGINT NOT NULL,
    rejected BIGINT NOT NULL,
    retries BIGINT NOT NULL,
    cold BIGINT NOT NULL,
    prompt_tokens BIGINT NOT NULL,
    completion_tokens BIGINT NOT NULL,
    queue_s DECIMAL(18, 6) NOT NULL,  -- exact, so that sums are the same in any order
    ttft_s DECIMAL(18, 6) NOT NULL,   -- of completed ones, as service_s
    service_s DECIMAL(18, 6) NOT NULL
);

-- The same of each tag of a request but its application: of a day the most used ones.
CREATE TABLE IF NOT EXISTS kept_tags (
    last_seq BIGINT NOT NULL,
    day DATE NOT NULL,
    tag VARCHAR NOT NULL,
    requests BIGINT NOT NULL,
    completed BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    cancelled BIGINT,                 -- these two are null where they were not counted yet
    rejected BIGINT,
    prompt_tokens BIGINT NOT NULL,
    completion_tokens BIGINT NOT NULL,
    ttft_s DECIMAL(18, 6) NOT NULL,
    service_s DECIMAL(18, 6) NOT NULL
);

-- What the requests came to, by the hour, so that no page has to look at every event: rows for one
-- stretch of the log after another, each counted once (`herd/logd/rollup.py`).
CREATE TABLE IF NOT EXISTS rolled (
    last_seq BIGINT NOT NULL,         -- requests received up to here are in these rows and those before
    hour TIMESTAMP NOT NULL,          -- of the receipt, UTC
    model VARCHAR NOT NULL,
    node_id VARCHAR NOT NULL,         -- the last one that had it; empty if none
    requests BIGINT NOT NULL,
    completed BIGINT NOT NULL,
    failed BIGINT NOT NULL,           -- reaped and interrupted ones too
    cancelled BIGINT NOT NULL,
    rejected BIGINT NOT NULL,
    retries BIGINT NOT NULL,
    cold BIGINT NOT NULL,
    prompt_tokens BIGINT NOT NULL,
    completion_tokens BIGINT NOT NULL,
    queue_s DOUBLE NOT NULL,
    begun BIGINT NOT NULL,            -- those with a first byte, and the sum of their waits for it
    ttft_s DOUBLE NOT NULL,
    timed BIGINT NOT NULL,            -- completed ones with a duration, and its sum and range
    service_s DOUBLE NOT NULL,
    least_service_s DOUBLE,
    most_service_s DOUBLE,
    first_at TIMESTAMP NOT NULL,
    last_at TIMESTAMP NOT NULL
);

-- The same of each tag of a request; its application is one of them.
CREATE TABLE IF NOT EXISTS rolled_tags (
    last_seq BIGINT NOT NULL,
    hour TIMESTAMP NOT NULL,
    tag VARCHAR NOT NULL,
    is_app BOOLEAN NOT NULL,
    requests BIGINT NOT NULL,
    completed BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    cancelled BIGINT NOT NULL,
    rejected BIGINT NOT NULL,
    prompt_tokens BIGINT NOT NULL,
    completion_tokens BIGINT NOT NULL,
    begun BIGINT NOT NULL,
    ttft_s DOUBLE NOT NULL,
    timed BIGINT NOT NULL,
    service_s DOUBLE NOT NULL,
    first_at TIMESTAMP NOT NULL,
    last_at TIMESTAMP NOT NULL
);

-- What health is judged by, of ten minutes each, or an hour: the same stretches, as `health.sql`
-- counts them.
CREATE TABLE IF NOT EXISTS rolled_work (
    last_seq BIGINT NOT NULL,
    span TIMESTAMP NOT NULL,          -- of the event
    node_id VARCHAR NOT NULL,
    model VARCHAR NOT NULL,
    completed BIGINT NOT NULL,
    cold BIGINT NOT NULL,
    ttft_s DOUBLE NOT NULL,
    queue_s DOUBLE NOT NULL,
    decoded_tokens BIGINT NOT NULL,
    decode_s DOUBLE NOT NULL,
    again BIGINT NOT NULL,
    again_seqs BIGINT[],
    abandoned BIGINT NOT NULL,
    abandoned_seqs BIGINT[],
    seqs BIGINT[]
);
CREATE TABLE IF NOT EXISTS rolled_troubles (
    last_seq BIGINT NOT NULL,
    span TIMESTAMP NOT NULL,          -- of the event
    kind VARCHAR NOT NULL,
    node_id VARCHAR NOT NULL,
    model VARCHAR NOT NULL,
    phase VARCHAR NOT NULL,
    fault VARCHAR NOT NULL,
    status SMALLINT NOT NULL,
    events BIGINT NOT NULL,
    quick BIGINT NOT NULL,
    seqs BIGINT[] NOT NULL
);
CREATE TABLE IF NOT EXISTS rolled_contexts (
    last_seq BIGINT NOT NULL,
    span TIMESTAMP NOT NULL,          -- of the receipt
    model VARCHAR NOT NULL,
    app VARCHAR NOT NULL,
    num_ctx BIGINT NOT NULL,
    node_id VARCHAR NOT NULL,
    long BOOLEAN NOT NULL,
    requests BIGINT NOT NULL,
    cold BIGINT NOT NULL,
    most_body_bytes BIGINT NOT NULL,
    prompt_tokens BIGINT NOT NULL,
    seqs BIGINT[] NOT NULL
);

CREATE TABLE IF NOT EXISTS rolled_told (
    last_seq BIGINT NOT NULL,
    kind VARCHAR NOT NULL,
    node_id VARCHAR NOT NULL,
    model VARCHAR NOT NULL,
    phase VARCHAR NOT NULL,
    seq BIGINT NOT NULL
);

-- How far that came: the largest is where to go on. What health is judged by waits for no request.
CREATE TABLE IF NOT EXISTS rolled_to (last_seq BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS rolled_health_to (last_seq BIGINT NOT NULL);
