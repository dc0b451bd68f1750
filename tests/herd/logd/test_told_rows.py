"""What health is told of nodes: the newest event that says how one is, and what came unasked."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest

from events import (
    ControlStarted,
    Event,
    HeartbeatReceived,
    ModelFacts,
    NodeFacts,
    NodeId,
    NodePaused,
    NodeProbed,
    NodeWentOffline,
    Recorded,
    ResidentModel,
)
from herd.health.looking import picture_of, questions
from herd.health.picture import Picture
from herd.link.messages import SlotView, View
from herd.logd import rollup
from herd.logd.queries import QUERIES
from herd.logd.rollup import aim, roll_next
from herd.paths import DataDir
from tests.herd.http.fleet import node_view
from tests.herd.journal.sample import START_US, snapshot
from tests.herd.logd.rig import append, data_dir, store, take_in, write

TOWER, MINI = NodeId("tower"), NodeId("mini")
DAY_US = 86_400_000_000
NOW_S = START_US / 1e6 + 1


def beat(*models: str, node_id: NodeId = TOWER, reachable: bool = True) -> Event:
    return HeartbeatReceived(
        node_id=node_id,
        url="http://tower:11434",
        facts=NodeFacts(),
        models=(ModelFacts(name="on-disk"),),
        resident=tuple(ResidentModel(name=name, size_vram_bytes=1) for name in models),
        reachable=reachable,
    )


def probe(*models: str) -> Event:
    return NodeProbed(
        node_id=MINI, reachable=True, resident=tuple(ResidentModel(name=name) for name in models)
    )


STORY = (
    ControlStarted(epoch=1, version="1"),  # 2
    beat("before"),  # 3
    probe(),  # 4
    beat("before", "came"),  # 5
    NodeProbed(node_id=MINI, reachable=True),  # 6: did not ask for what is in memory
    probe("probed"),  # 7
    NodeWentOffline(node_id=TOWER, reason="silent for 31 s"),  # 8
    beat("before", "meanwhile"),  # 9
    beat(reachable=False),  # 10
    beat("before", "meanwhile"),  # 11
    ControlStarted(epoch=2, version="1"),  # 12
    probe("probed", "restarted"),  # 13
    NodePaused(node_id=TOWER, reason="in use"),  # 14
    probe("again", "probed"),  # 15
)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[tuple[DataDir, duckdb.DuckDBPyConnection]]:
    directory = data_dir(tmp_path)
    told = [Recorded(seq, START_US, event) for seq, event in enumerate(STORY, start=2)]
    write(directory, [snapshot(1), *told])
    with store(directory) as db:
        take_in(db, directory)
        yield directory, db


def looks(db: duckdb.DuckDBPyConnection, directory: DataDir, now_s: float = NOW_S) -> Picture:
    cursor = db.cursor()
    aim(cursor)
    told: dict[str, list[dict[str, Any]]] = {}
    for name, asked in questions(now_s).items():
        found = cursor.execute(QUERIES[name], asked)
        names = [column[0] for column in found.description or ()]
        told[name] = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    slots = {"m": SlotView(slots=1, in_flight=1)}
    busy = msgspec.structs.replace(node_view("tower"), slots=slots)
    return picture_of(View(nodes=(busy,), recording=True), told, now_s, data_dir=directory)


def newest(picture: Picture) -> dict[tuple[str, str], list[int]]:
    kinds = ("heartbeat_received", "node_probed", "node_paused", "node_went_offline", "on_card")
    return {(each.kind, each.node_id): each.seqs for each in picture.happened(*kinds)}


def appeared(picture: Picture) -> list[tuple[str, str, list[int]]]:
    found = picture.happened("model_appeared")
    return sorted((each.node_id, each.model, each.seqs) for each in found)


APPEARED = [("mini", "again", [15]), ("mini", "probed", [7]), ("tower", "came", [5])]
NEWEST = {
    ("heartbeat_received", "tower"): [11],
    ("node_probed", "mini"): [15],
    ("node_paused", "tower"): [14],
    ("node_went_offline", "tower"): [8],
    ("on_card", "tower"): [11],
}


@pytest.mark.parametrize("counted", [False, True])
def test_what_came_while_herd_looked_and_who_said_so_last(
    log: tuple[DataDir, duckdb.DuckDBPyConnection],
    monkeypatch: pytest.MonkeyPatch,
    *,
    counted: bool,
) -> None:
    directory, db = log
    monkeypatch.setattr(rollup, "LEAST", 1)
    monkeypatch.setattr(rollup, "STRETCH", 4)
    while counted and roll_next(db):
        pass
    picture = looks(db, directory)
    assert appeared(picture) == APPEARED
    assert newest(picture) == NEWEST
    paused = picture.at_node("tower", "node_paused")
    assert [each.phase for each in paused] == ["in use"]
    later = looks(db, directory, NOW_S + 2 * 86_400)
    assert appeared(later) == []
    assert newest(later) == NEWEST, "however long ago it was"


def test_the_log_is_behind_by_what_was_not_taken_in(
    log: tuple[DataDir, duckdb.DuckDBPyConnection],
) -> None:
    directory, db = log
    assert looks(db, directory, NOW_S + 600).log.lag_s == 0, "nothing happens: somebody waits"
    written = Recorded(16, START_US + 500_000_000, NodePaused(node_id=MINI))
    append(directory, [written])
    assert looks(db, directory, NOW_S + 600).log.lag_s == pytest.approx(101)
    take_in(db, directory)
    assert looks(db, directory, NOW_S + 600).log.lag_s == 0
