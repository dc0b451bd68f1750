-- The whole event log for any DuckDB: `duckdb -init open.sql`, or in a notebook
-- `con.execute(open("open.sql").read())`. It takes no lock and needs no running herd.
-- logd writes this file at every start; edits are lost. If a query ever says that a file of the
-- journal does not exist, that file was just sealed: ask again.

-- Sealed segments and the live journal. A segment exists twice for a while when it is sealed: the
-- sealed copy counts from the moment the journal's file is gone, for all rows up to `mark` alike,
-- so no row is seen twice and none is missed. A torn last line is not there yet.
CREATE OR REPLACE TEMP VIEW events AS
WITH mark AS MATERIALIZED (
    SELECT coalesce(max(split_part(parse_filename(file, true), '-', 2)::BIGINT), 0) AS seq
    FROM glob('$sealed/*-*.parquet')
    WHERE split_part(parse_filename(file, true), '-', 1) NOT IN (
        SELECT parse_filename(file, true) FROM glob('$journal/*.ndjson')
    )
),
live_lines AS (
    SELECT json
    FROM read_ndjson_objects('$journal/*.ndjson', ignore_errors = true, filename = true)
    WHERE try_cast(parse_filename(filename, true) AS BIGINT) > (SELECT seq FROM mark)
),
live AS (
$live
)
SELECT * FROM live WHERE seq IS NOT NULL
UNION ALL
SELECT * FROM read_parquet('$sealed/*.parquet') WHERE seq <= (SELECT seq FROM mark);
COMMENT ON VIEW events IS 'Every event there is, in one row each.';

