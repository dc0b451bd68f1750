"""Advice: where the log speaks for it and a node has room, and nowhere else."""

import shlex
from typing import Any

import msgspec

from events import ModelFacts, NodeFacts, ResidentModel
from herd.commands import whatif
from herd.health.advice import advice, page
from herd.health.picture import Picture, Trouble, Work
from herd.link.messages import NodeView, View
from tests.herd.http.fleet import node_view

GIB = 1024**3
MODEL = ModelFacts(name="m", size_bytes=10 * GIB)
LOADED = ResidentModel(name="m", size_bytes=12 * GIB)


def node(name: str, *models: ModelFacts, room_gib: int = 24, loaded: bool = False) -> NodeView:
    facts = NodeFacts(vram_bytes=room_gib * GIB)
    return node_view(name, *models, resident=(LOADED,) if loaded else (), facts=facts)


def day(*nodes: NodeView, queue_s: float = 0.0, **more: Any) -> Picture:
    work = Work(recent=False, node_id="a", model="m", completed=100, queue_s=queue_s, seqs=[8])
    return msgspec.structs.replace(Picture(view=View(nodes=nodes), work=(work,)), **more)


BUSY = node("a", MODEL, loaded=True)


def test_a_model_that_is_waited_for_is_pulled_where_there_is_most_room() -> None:
    [given] = advice(day(BUSY, node("b"), node("c", room_gib=48), queue_s=300))
    assert (given.kind, given.model, given.node_id) == ("pull", "m", "c")
    assert (given.priority, given.evidence["mean_wait_s"], given.seqs) == ("medium", 3.0, (8,))
    assert advice(day(BUSY, node("b"), queue_s=90)) == []


def test_what_is_on_the_disk_already_is_loaded() -> None:
    [given] = advice(day(BUSY, node("b", MODEL), queue_s=3000))
    assert (given.kind, given.node_id, given.priority) == ("load", "b", "high")


def test_nothing_is_advised_where_nothing_fits() -> None:
    small = node("b", room_gib=11)
    away = msgspec.structs.replace(node("c"), status="offline")
    drained = msgspec.structs.replace(node("d"), draining=True)
    openai = msgspec.structs.replace(
        node("e"), facts=NodeFacts(vram_bytes=GIB * 99, dialect="openai")
    )
    [given] = advice(day(BUSY, small, away, drained, openai, queue_s=300))
    assert (given.kind, given.node_id, given.priority) == ("machine", "", "low")
    assert given.whatif == ("--add-node", "one-more=a")
    told: dict[str, Any] = page(day(BUSY, small, queue_s=300), 5.0)
    assert [each["title"] for each in told["settings"]] == ["Add a machine for m"]
    refused = Trouble(recent=True, kind="request_rejected", model="x", phase="deadline")
    assert advice(Picture(view=View(nodes=(BUSY,)), troubles=(refused,))) == []


def test_a_full_line_speaks_for_a_longer_one() -> None:
    full = Trouble(
        recent=True, kind="request_rejected", model="m", phase="queue_full", events=7, seqs=[3]
    )
    view = View(nodes=(BUSY,), settings={"max_queue": 512})
    [given] = advice(day(view=view, troubles=(full,)))
    assert (given.kind, given.whatif) == ("setting", ("--set", "max_queue=1024"))
    assert given.evidence == {"turned_away_24h": 7, "setting": "max_queue", "value": 512}
    told: dict[str, Any] = page(day(view=view, troubles=(full,)), 5.0)
    assert [each["title"] for each in told["settings"]] == [given.title]


def test_the_page_tells_it_node_by_node() -> None:
    told: dict[str, Any] = page(day(BUSY, node("b"), queue_s=300), 5.0)
    nodes = told["nodes"]
    assert [len(each["recommendations"]) for each in nodes] == [0, 1]
    assert nodes[0]["usable_ram_gb"] == 12.0
    assert told["usage"] == {
        "total_requests_24h": 100,
        "category_breakdown": {"general": 100},
        "top_models": [{"model": "m", "requests": 100, "category": "general"}],
        "category_coverage": {"general": True},
    }
    [row] = nodes[1]["recommendations"]
    assert (row["display_name"], row["ram_gb"], row["already_available"]) == ("m", 12.0, False)
    assert (nodes[1]["total_recommended_ram_gb"], nodes[1]["ram_headroom_gb"]) == (12.0, 12.0)
    assert told["settings"] == told["uncovered_categories"] == []


def test_what_is_asked_for_and_no_node_online_has_is_uncovered() -> None:
    seeing = msgspec.structs.replace(MODEL, capabilities=("completion", "vision"))
    away = msgspec.structs.replace(node("a", seeing), status="offline")
    other = node("b", msgspec.structs.replace(MODEL, name="other"))
    told: dict[str, Any] = page(day(away, other), 5.0)
    assert told["usage"]["category_coverage"] == {"general": True, "vision": False}
    assert told["uncovered_categories"] == ["vision"]


def test_each_advice_has_its_events_as_a_query_and_what_plays_its_gain() -> None:
    full = Trouble(
        recent=True, kind="request_rejected", model="m", phase="queue_full", events=7, seqs=[3]
    )
    view = View(nodes=(BUSY,), settings={"max_queue": 512})
    told: dict[str, Any] = page(day(view=view, troubles=(full,), queue_s=300), 5.0)
    rows = told["recommendations"]
    assert {row["kind"] for row in rows} == {"machine", "setting"}
    for row in rows:
        assert row["evidence"]
        numbers = row["evidence_sql"].partition("seq IN (")[2].partition(")")[0]
        assert tuple(map(int, numbers.split(", "))) == row["seqs"]
        words = shlex.split(row["whatif_command"])
        assert words[:2] == ["herd", "whatif"]
        whatif.command.make_context("whatif", words[2:])
    pulled: dict[str, Any] = page(day(BUSY, node("b"), queue_s=300), 5.0)
    [row] = pulled["recommendations"]
    assert (row["evidence_sql"].endswith("(8) ORDER BY seq"), row["whatif_command"]) == (True, "")
