"""What health is judged by is the same, however much of the log was counted before."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest

from events import (
    AttemptFailed,
    Event,
    Lease,
    NodeId,
    Recorded,
    RequestCancelled,
    RequestCompleted,
    RequestDispatched,
    RequestId,
    RequestReceived,
)
from herd.logd import rollup
from herd.logd.queries import QUERIES
from herd.logd.retention import drop_next
from herd.logd.rollup import aim, roll_next
from herd.paths import DataDir
from tests.herd.journal.sample import START_US, snapshot
from tests.herd.logd.rig import Rows, append, data_dir, seal_all, store, take_in, write
from tests.herd.logd.test_retention import ALL_OLD, LATER_S

MINUTE_US = 60_000_000
EACH = 4
"""Events of a request."""
REQUESTS = 60
TOWER = NodeId("tower")
LEASE = Lease("1.1")


def life(number: int) -> list[Event]:
    """A request that was tried twice, a load each time; every fourth named a context."""
    request_id, model = RequestId(f"id-{number:04}"), f"m{number % 2}"
    place: dict[str, Any] = {
        "request_id": request_id,
        "model": model,
        "node_id": TOWER,
        "lease": LEASE,
    }
    return [
        RequestReceived(
            request_id=request_id,
            model=model,
            app=f"app{number % 3}",
            num_ctx=4096 if number % 4 == 0 else 0,
            body_bytes=100 * number,
        ),
        AttemptFailed(**place, phase="connect", status=502, elapsed_s=0.1, error="refused"),
        RequestDispatched(**place, cold=number % 5 == 0, queue_s=0.5),
        RequestCompleted(
            **place, ttft_s=0.5, service_s=2.5, prompt_tokens=10 * number, completion_tokens=41
        ),
    ]


def at_us(seq: int) -> int:
    """A minute for each request: the log goes over an hour."""
    return START_US + seq * MINUTE_US // EACH


Log = tuple[DataDir, duckdb.DuckDBPyConnection]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    directory = data_dir(tmp_path)
    segments: list[list[Recorded]] = []
    seq = 0
    for half in range(2):
        seq += 1
        records = [msgspec.structs.replace(snapshot(seq), recorded_at=at_us(seq))]
        for number in range(half * REQUESTS // 2, (half + 1) * REQUESTS // 2):
            for event in life(number):
                seq += 1
                records.append(Recorded(seq, at_us(seq), event))
        segments.append(records)
    write(directory, *segments, [snapshot(seq + 1)], [snapshot(seq + 2)])
    with store(directory) as db:
        ingest = take_in(db, directory)
        seal_all(db, directory, ingest)
        yield directory, db


def told(db: duckdb.DuckDBPyConnection) -> list[Rows]:
    cursor = db.cursor()
    aim(cursor)
    day = {"from_us": START_US // (10 * MINUTE_US) * 10 * MINUTE_US}
    spans = day | {"recent_us": day["from_us"] + 30 * MINUTE_US}
    asked = {"health_troubles": spans, "health_work": spans, "health_contexts": day}
    found = [cursor.execute(QUERIES[name], given).fetchall() for name, given in asked.items()]
    return [*found[:2], [row[:-1] for row in found[2]]]  # of the largest, each stretch has its own


def column(rows: Rows, number: int, *, recent: bool | None = None) -> list[Any]:
    return [row[number] for row in rows if recent is None or row[0] is recent]


def test_health_is_told_of_every_event(log: Log) -> None:
    troubles, work, contexts = told(log[1])
    assert sum(column(troubles, 7)) == sum(column(troubles, 8)) == REQUESTS, "each was quick"
    assert {len(seqs) for seqs in column(troubles, 9)} == {5}
    assert sum(column(work, 3)) == REQUESTS
    assert sum(column(work, 4)) == REQUESTS // 5, "loads"
    assert sum(column(work, 9, recent=False)) == 0, "of the recent part only"
    assert sum(column(work, 9, recent=True)) == sum(column(work, 4, recent=True)), "all were again"
    assert sum(column(contexts, 4)) == REQUESTS
    named = [row for row in contexts if row[2] == 4096]
    assert sum(column(named, 4)) == REQUESTS // 4
    assert sorted(row[1] for row in named) == ["app0", "app1", "app2"], "long or not"


@pytest.mark.long
@pytest.mark.parametrize("stretch", [7, 40, 1000])
def test_health_is_told_the_same_whatever_was_counted(
    log: Log, monkeypatch: pytest.MonkeyPatch, stretch: int
) -> None:
    monkeypatch.setattr(rollup, "LEAST", 1)
    monkeypatch.setattr(rollup, "STRETCH", stretch)
    _, db = log
    expected = told(db)
    while roll_next(db):
        assert told(db) == expected
    assert told(db) == expected
    assert db.execute("SELECT count(*) > 3 FROM rolled_work").fetchall() == [(True,)]


def test_a_request_that_stays_open_holds_up_no_counting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is loaded for in one stretch and left in a later one: that counts as ever."""
    monkeypatch.setattr(rollup, "LEAST", 1)
    monkeypatch.setattr(rollup, "STRETCH", 7)
    waits, reads = RequestId("id-0000"), RequestId("id-0001")
    place: dict[str, Any] = {"model": "m0", "node_id": TOWER, "lease": LEASE}
    begun = [
        RequestReceived(request_id=waits, model="m0"),
        RequestReceived(request_id=reads, model="m0", app="reader", num_ctx=8192),
        RequestDispatched(request_id=waits, **place, cold=True),
        RequestDispatched(request_id=reads, **place),
    ]
    between = [event for number in range(2, 12) for event in life(number)]
    ends = [
        RequestCompleted(request_id=reads, **place, ttft_s=0.5, service_s=900.0, prompt_tokens=9),
        RequestCancelled(request_id=waits, **place, phase="first_byte"),
    ]
    log = [
        Recorded(seq, at_us(seq), event)
        for seq, event in enumerate([*begun, *between, *ends], start=2)
    ]
    directory = data_dir(tmp_path)
    write(directory, [snapshot(1), *log[: -len(ends)]])
    with store(directory) as db:
        take_in(db, directory)
        while roll_next(db):
            pass
        [(counted,)] = db.execute("SELECT max(last_seq) FROM rolled_health_to").fetchall()
        assert log[-len(ends)].seq - counted <= 3, "both are still open"
        assert db.execute("SELECT coalesce(max(last_seq), 1) FROM rolled_to").fetchall() == [(1,)]
        append(directory, log[-len(ends) :])
        take_in(db, directory)
        for _ in range(3):
            _, work, contexts = told(db)
            assert sum(column(work, 11)) == 1, "one left what was loaded for it"
            assert [seqs for seqs in column(work, 12) if seqs] == [[log[-1].seq]]
            assert [row[:5] for row in contexts if row[1] == "reader"] == [
                ("m0", "reader", 8192, "tower", 1)
            ]
            roll_next(db)


def test_what_is_dropped_is_not_told_any_more(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollup, "LEAST", 1)
    directory, db = log
    while roll_next(db):
        pass
    while drop_next(db, directory, ALL_OLD, LATER_S) is not None:
        pass
    assert told(db) == [[], [], []]
