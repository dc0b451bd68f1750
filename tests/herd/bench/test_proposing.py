"""What a smart benchmark would pull: what the log speaks for, and a bare node's first model."""

from typing import Any

import msgspec
import pytest

from events import ModelFacts, NodeFacts, ResidentModel
from herd.bench.proposing import MOST, propose
from herd.health.picture import Picture, Trouble
from herd.link.messages import NodeView, View
from tests.herd.http.fleet import node_view

GIB = 1024**3
EMBEDS = ModelFacts(name="e", size_bytes=GIB, capabilities=("embedding",))
ANSWERS = ModelFacts(name="m", size_bytes=GIB, capabilities=("completion",))


def node(name: str, *models: ModelFacts, room_gib: int = 24, **facts: Any) -> NodeView:
    return node_view(name, *models, facts=NodeFacts(vram_bytes=room_gib * GIB, **facts))


def picture(*nodes: NodeView, **more: Any) -> Picture:
    return Picture(view=View(nodes=nodes), **more)


def test_a_bare_node_gets_the_largest_that_takes_half_of_it() -> None:
    [llm, embed] = propose(picture(node("a")), ("llm", "embed"))
    assert (llm.model, llm.node_id, llm.size_bytes) == ("phi4:14b", "a", 9_100_000_000)
    assert embed.model == "bge-m3:latest"
    assert propose(picture(node("a", EMBEDS)), ("embed",)) == []
    assert propose(picture(node("a", ANSWERS)), ("llm",)) == []


def test_what_the_log_speaks_for_comes_first() -> None:
    asked = Trouble(
        recent=True,
        kind="request_rejected",
        model="qwen2.5-coder:7b",
        phase="unknown_model",
        events=9,
    )
    found = propose(picture(node("a"), troubles=(asked,)), ("llm",))
    assert [each.model for each in found] == ["qwen2.5-coder:7b", "phi4:14b"]
    assert "9 requests" in found[0].reason


@pytest.mark.parametrize(
    "view",
    [
        node("a", room_gib=0),
        node("a", disk_bytes=100 * GIB, disk_free_bytes=GIB),
        msgspec.structs.replace(node("a"), status="offline"),
        msgspec.structs.replace(node("a"), draining=True),
        node("a", dialect="openai"),
        msgspec.structs.replace(
            node("a"), resident=(ResidentModel(name="m", size_bytes=24 * GIB),)
        ),
    ],
)
def test_nothing_goes_where_there_is_no_room_or_nobody_to_take_it(view: NodeView) -> None:
    assert propose(picture(view), ("llm",)) == []


def test_a_smaller_bound_of_the_settings_holds_and_there_are_few_at_once() -> None:
    view = View(nodes=(node("a"),), settings={"auto_pull_max_bytes": 3_000_000_000})
    [found] = propose(Picture(view=view), ("llm",))
    assert found.model == "llama3.2:3b"
    many = [node(f"n{number}", room_gib=2 ** (number + 2)) for number in range(6)]
    assert len(propose(picture(*many), ("llm", "embed"))) == MOST
