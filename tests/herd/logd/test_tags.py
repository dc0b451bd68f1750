"""A request counts under each of its tags, whatever was counted by the hour, dropped or rebuilt."""

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import duckdb
import msgspec
import pytest

from events import (
    Event,
    Lease,
    NodeId,
    Recorded,
    RequestCompleted,
    RequestId,
    RequestReceived,
    RequestRejected,
)
from herd.logd import rollup, totals
from herd.logd.ingest import restore
from herd.logd.parquet import span_path, spans, tags_path, write_parquet
from herd.logd.queries import QUERIES
from herd.logd.retention import drop_next
from herd.logd.rollup import aim, roll_next
from herd.logd.totals import floor, forget, mend
from herd.paths import DataDir
from tests.herd.journal.sample import START_US, snapshot
from tests.herd.logd.rig import Rows, data_dir, rows, seal_all, store, take_in, write
from tests.herd.logd.test_retention import ALL_OLD, LATER_S, outside

MINI = NodeId("mini")
TAGS = ("notes", "team:a", "it's", "漢字", "")
REQUESTS = 60
SEGMENT = 20
COUNTS = "sum(requests)::BIGINT, sum(completed)::BIGINT, sum(prompt_tokens)::BIGINT"
DAILY = f"SELECT tag, {COUNTS} FROM daily_tags GROUP BY tag ORDER BY tag"  # noqa: S608 (ours)
USED = f"SELECT tag, {COUNTS} FROM used_tags GROUP BY tag ORDER BY tag"  # noqa: S608 (ours)
VIEW = "SELECT tag, requests, completed, prompt_tokens FROM tags ORDER BY tag"


def request(number: int, chance: random.Random) -> tuple[list[Event], set[str], int]:
    """What is recorded of one, its tags, and its tokens: 0 if it never ended."""
    tags = tuple(dict.fromkeys(chance.choices(TAGS[:-1], k=chance.randrange(4))))
    app = tags[0] if tags else chance.choice(("", "curl", "notes"))
    name, lease = RequestId(f"0199{number:08x}"), Lease(f"1.{number}")
    told: list[Event] = [RequestReceived(request_id=name, model="m", app=app, tags=tags)]
    tokens = chance.randrange(1, 99)
    told.append(
        RequestCompleted(
            request_id=name,
            model="m",
            node_id=MINI,
            lease=lease,
            ttft_s=0.25,
            service_s=0.5,
            prompt_tokens=tokens,
            usage_source="reported",
        )
    )
    return told, {app, *tags}, tokens


@pytest.fixture(params=range(3))
def log(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[DataDir, duckdb.DuckDBPyConnection, Rows]]:
    """A sealed log in the database, and what each tag should come to."""
    directory = data_dir(tmp_path)
    expected = told(directory, random.Random(request.param))  # noqa: S311 (no secret)
    with store(directory) as db:
        seal_all(db, directory, take_in(db, directory))
        yield directory, db, expected


def told(directory: DataDir, chance: random.Random) -> Rows:
    """Write the log; return tag, requests, completed and tokens, by tag."""
    requests: Counter[str] = Counter()
    tokens: Counter[str] = Counter()
    segments: list[list[Recorded]] = []
    seq = 0
    for number in range(REQUESTS):
        if number % SEGMENT == 0:
            seq += 1
            segments.append([msgspec.structs.replace(snapshot(seq), recorded_at=at_us(seq))])
        events, tags, count = request_of(number, chance)
        for event in events:
            seq += 1
            segments[-1].append(Recorded(seq, at_us(seq), event))
        requests.update(tags)
        tokens.update(dict.fromkeys(tags, count))
    segments += [[snapshot(seq + 1)], [snapshot(seq + 2)]]
    write(directory, *segments)
    return [(tag, requests[tag], requests[tag], tokens[tag]) for tag in sorted(requests)]


request_of = request


def at_us(seq: int) -> int:
    """Some minutes between two events: the log goes over days."""
    return START_US + seq * 1_700_000_000


def used(db: duckdb.DuckDBPyConnection) -> Rows:
    cursor = db.cursor()
    aim(cursor)
    return rows(cursor, USED)


Log = tuple[DataDir, duckdb.DuckDBPyConnection, Rows]


@pytest.mark.parametrize("stretch", [3, 17, 1000])
def test_each_tag_counts_whatever_was_counted_by_the_hour(
    log: Log, monkeypatch: pytest.MonkeyPatch, stretch: int
) -> None:
    monkeypatch.setattr(rollup, "LEAST", 1)
    monkeypatch.setattr(rollup, "STRETCH", stretch)
    _, db, expected = log
    assert rows(db, VIEW) == rows(db, DAILY) == used(db) == expected
    while roll_next(db):
        assert used(db) == expected
    assert used(db) == expected
    assert rows(db, "SELECT count(*) > 0 FROM rolled_tags") == [(True,)]


def test_each_tag_counts_after_its_events_are_gone(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollup, "LEAST", 1)
    directory, db, expected = log
    roll_next(db)
    dropped = 0
    while drop_next(db, directory, ALL_OLD, LATER_S) is not None:
        dropped += 1
        assert rows(db, DAILY) == used(db) == outside(directory, DAILY) == expected
    assert dropped
    assert len(list(directory.totals.glob("0*.tags"))) <= totals.FILES_KEPT
    db.close()
    directory.database.unlink()
    with store(directory) as anew:
        mend(anew, directory)
        forget(anew, directory)
        restore(anew, directory.sealed, above_seq=floor(directory))
        take_in(anew, directory)
        assert rows(anew, DAILY) == used(anew) == expected


def test_damaged_tags_are_written_anew(log: Log, caplog: pytest.LogCaptureFixture) -> None:
    directory, db, expected = log
    drop_next(db, directory, ALL_OLD, LATER_S)
    path = tags_path(directory.totals, spans(directory.totals)[-1])
    path.write_bytes(b"x")
    mend(db, directory)
    forget(db, directory)
    assert rows(db, DAILY) == outside(directory, DAILY) == expected
    assert "set aside, and written anew" in caplog.text


def test_what_an_older_herd_dropped_counts_under_its_applications(log: Log) -> None:
    directory, db, expected = log
    drop_next(db, directory, ALL_OLD, LATER_S)
    tags_path(directory.totals, spans(directory.totals)[-1]).unlink()
    forget(db, directory)
    found = dict(map(tag_and_requests, rows(db, DAILY)))
    assert found == dict(map(tag_and_requests, outside(directory, DAILY)))
    whole = dict(map(tag_and_requests, expected))
    assert all(found[tag] <= whole[tag] for tag in found)
    assert found["curl"] == whole["curl"]
    drop_next(db, directory, ALL_OLD, LATER_S)
    assert dict(map(tag_and_requests, rows(db, DAILY))) == found


def tag_and_requests(row: tuple[object, ...]) -> tuple[str, int]:
    return str(row[0]), int(str(row[1]))


def test_tags_that_were_kept_before_rejections_were_counted_are_read(log: Log) -> None:
    directory, db, expected = log
    drop_next(db, directory, ALL_OLD, LATER_S)
    path = tags_path(directory.totals, spans(directory.totals)[-1])
    assert write_parquet(db, "SELECT * EXCLUDE (cancelled, rejected) FROM kept_tags", path)
    forget(db, directory)
    assert rows(db, DAILY) == outside(directory, DAILY) == expected
    assert rows(db, "SELECT DISTINCT cancelled, rejected FROM kept_tags") == [(None, None)]


def test_who_was_turned_away_is_counted_with_its_application(tmp_path: Path) -> None:
    directory = data_dir(tmp_path)
    told = (
        RequestReceived(request_id=RequestId("r1"), model="m", app="notes", tags=("notes", "late")),
        RequestRejected(request_id=RequestId("r1"), model="m", status=429, reason="queue_full"),
    )
    write(directory, [snapshot(1), *(Recorded(2 + n, START_US, e) for n, e in enumerate(told))])
    with store(directory) as db:
        take_in(db, directory)
        aim(db)
        bounds = {"from_us": 0, "to_us": 2 * START_US}
        for name, tags in (("apps", ["notes"]), ("tags", ["late", "notes"])):
            found = db.execute(QUERIES[name], bounds)
            columns = [column[0] for column in found.description]
            given = [dict(zip(columns, row, strict=True)) for row in found.fetchall()]
            assert [row["tag"] for row in given] == tags
            assert {(row["rejected_count"], row["cancelled_count"]) for row in given} == {(1, 0)}
            assert {(row["request_count"], row["failed_count"]) for row in given} == {(1, 0)}
            by_day = db.execute(QUERIES[f"{name}_daily"], bounds)
            columns = [column[0] for column in by_day.description]
            given = [dict(zip(columns, row, strict=True)) for row in by_day.fetchall()]
            assert [(row["tag"], row["rejected_count"]) for row in given] == [(t, 1) for t in tags]


def test_of_a_day_the_most_used_are_kept(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    directory, db, _ = log
    monkeypatch.setattr(totals, "MOST_TAGS", 1)
    drop_next(db, directory, ALL_OLD, LATER_S)
    assert span_path(directory.totals, spans(directory.totals)[-1]).exists()
    kept = rows(db, "SELECT day, count(*) FROM kept_tags GROUP BY day")
    assert kept
    assert all(count == 1 for _, count in kept)


def test_the_pages_have_each_tag(log: Log) -> None:
    _, db, expected = log
    aim(db)
    bounds = {"from_us": 0, "to_us": 2 * START_US}
    found = db.execute(QUERIES["tags"], bounds).fetchall()
    assert sorted((row[0], row[1], row[2], row[8]) for row in found) == expected
    daily = db.execute(QUERIES["tags_daily"], bounds).fetchall()
    summed = Counter[str]()
    for tag, _, count, *_ in daily:
        summed[tag] += count
    assert summed == {tag: requests for tag, requests, *_ in expected}
