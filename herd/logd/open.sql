-- The whole event log for any DuckDB: `duckdb -init open.sql`, or in a notebook
-- `con.execute(open("open.sql").read())`. It takes no lock and needs no running herd.
-- logd writes this file at every start; edits are lost. If a query ever says that a file does not
-- exist, that file was just sealed or dropped: ask again.

-- Sealed segments and the live journal. Segments exist twice for a while when they are sealed: the
-- sealed copy counts from the moment the journal's file of its first segment is gone, for all rows
-- up to `mark` alike, so no row is seen twice and none is missed. A torn last line is not there yet.
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
SELECT * FROM live WHERE seq IS NOT NULL AND recorded_at IS NOT NULL AND kind IS NOT NULL
UNION ALL
SELECT * FROM read_parquet('$sealed/*.parquet') WHERE seq <= (SELECT seq FROM mark);
COMMENT ON VIEW events IS 'Every event there is, in one row each.';


-- Each file has all totals up to its `last_seq`, so the newest one counts. It is there for a while
-- before the events go that it stands for; `daily` leaves out what both tell of.
CREATE OR REPLACE TEMP VIEW kept_totals AS
SELECT * FROM read_parquet('$totals/*.parquet') QUALIFY last_seq = max(last_seq) OVER ();
COMMENT ON VIEW kept_totals IS 'What the requests came to whose events were dropped; see daily.';

-- A file of tags is there before the totals of its name count.
CREATE OR REPLACE TEMP VIEW kept_tags AS
SELECT * FROM read_parquet('$totals/*.tags', union_by_name = true)
WHERE last_seq <= (SELECT max(last_seq) FROM kept_totals)
QUALIFY last_seq = max(last_seq) OVER ();
COMMENT ON VIEW kept_tags IS 'The same of their tags; see daily_tags.';

