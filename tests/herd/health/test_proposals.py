"""Proposals: models to move, to unload, to pull; settings. What speaks for each, and against it."""

from typing import Any

import msgspec
import pytest

from events import ModelFacts, NodeFacts, NodeId, ResidentModel
from herd.health import catalogue, proposals
from herd.health.advice import advice, page
from herd.health.picture import Context, Picture, Trouble, Work
from herd.health.proposals import Advice
from herd.link.messages import NodeView, View
from tests.herd.http.fleet import node_view

GIB = 1024**3
CODER = "qwen2.5-coder:7b"


def node(name: str, *resident: str, room_gib: int = 24, **facts: Any) -> NodeView:
    """Return a node with models of 10 GiB in memory."""
    told = NodeFacts(vram_bytes=room_gib * GIB, **facts)
    models = tuple(ResidentModel(name=model, size_bytes=10 * GIB) for model in resident)
    return node_view(name, resident=models, facts=told)


def picture(*nodes: NodeView, **more: Any) -> Picture:
    return Picture(view=View(nodes=nodes), **more)


def work(node_id: str, model: str = "m", tokens_per_s: float = 20.0, **more: Any) -> Work:
    given: dict[str, Any] = {
        "recent": False,
        "node_id": node_id,
        "model": model,
        "completed": 100,
        "decoded_tokens": 1_000,
        "decode_s": 1_000 / tokens_per_s,
        "seqs": [8],
    }
    return Work(**given | more)


def turned_away(model: str = CODER, times: int = 3) -> Trouble:
    return Trouble(
        recent=True,
        kind="request_rejected",
        model=model,
        phase="unknown_model",
        events=times,
        seqs=[5],
    )


def titles(given: list[Advice]) -> list[str]:
    return [each.title for each in given]


def test_what_was_asked_for_and_is_nowhere_is_pulled_where_there_is_room() -> None:
    seen = picture(node("a"), node("b", room_gib=48), troubles=(turned_away(),))
    [given] = advice(seen)
    assert (given.kind, given.model, given.node_id, given.seqs) == ("pull", CODER, "b", (5,))
    assert given.evidence == {"turned_away_24h": 3, "model_gb": 4.4}
    told: dict[str, Any] = page(seen, 5.0)
    [row] = told["nodes"][1]["recommendations"]
    assert (row["display_name"], row["category"]) == ("Qwen 2.5 Coder 7B", "coding")


@pytest.mark.parametrize(
    "seen",
    [
        picture(node("a"), troubles=(turned_away(times=2),)),
        picture(node("a"), troubles=(turned_away("nobody-knows:1b"),)),
        picture(node("a", room_gib=4), troubles=(turned_away(),)),
        picture(node("a", disk_bytes=GIB, disk_free_bytes=GIB), troubles=(turned_away(),)),
        picture(
            msgspec.structs.replace(node("a"), status="offline", models=(ModelFacts(name=CODER),)),
            node("b"),
            troubles=(turned_away(),),
        ),
    ],
)
def test_it_is_not_pulled_without_reason_size_room_or_need(seen: Picture) -> None:
    assert advice(seen) == []


def test_a_model_moves_where_it_was_seen_to_be_faster() -> None:
    seen = picture(node("a", "m"), node("b"), work=(work("a"), work("b", tokens_per_s=31)))
    [given] = list(proposals.moves(seen))
    assert (given.kind, given.model, given.node_id) == ("move", "m", "b")
    assert given.title == "Move m from a to b"
    assert given.evidence == {
        "tokens_per_s_here": 20.0,
        "tokens_per_s_there": 31.0,
        "free_gb": 24.0,
    }


@pytest.mark.parametrize(
    "seen",
    [
        picture(node("a", "m"), node("b"), work=(work("a"), work("b", tokens_per_s=29))),
        picture(node("a", "m"), node("b"), work=(work("a"),)),
        picture(
            node("a", "m"),
            node("b"),
            work=(work("a"), work("b", tokens_per_s=99, decoded_tokens=499)),
        ),
        picture(node("a", "m"), node("b", "m"), work=(work("a"), work("b", tokens_per_s=99))),
        picture(
            node("a", "m"), node("b", room_gib=9), work=(work("a"), work("b", tokens_per_s=99))
        ),
        picture(
            node("a", "m"),
            msgspec.structs.replace(node("b"), paused="in use"),
            work=(work("a"), work("b", tokens_per_s=99)),
        ),
        picture(
            node("a", "m"),
            node("b"),
            work=(work("a", completed=19), work("b", tokens_per_s=99)),
        ),
    ],
)
def test_it_stays_where_that_was_not_seen_or_there_is_no_place(seen: Picture) -> None:
    assert list(proposals.moves(seen)) == []


def test_what_nobody_asks_for_goes_where_others_are_loaded_again() -> None:
    again = work("a", "other", again=3, again_seqs=[7])
    seen = picture(node("a", "m", "other"), work=(again,))
    [given] = list(proposals.unloads(seen))
    assert (given.title, given.seqs) == ("Unload m on a", (7,))
    assert given.evidence == {"loads_1h": 3, "frees_gb": 10.0}
    assert list(proposals.unloads(msgspec.structs.replace(seen, work=(again, work("a"))))) == []
    seldom = work("a", "other", again=2)
    assert list(proposals.unloads(msgspec.structs.replace(seen, work=(seldom,)))) == []
    pinned = View(nodes=seen.view.nodes, pinned={NodeId("a"): ("m",)})
    assert list(proposals.unloads(msgspec.structs.replace(seen, view=pinned))) == []


def test_contexts_that_reload_speak_for_protection_where_it_is_off() -> None:
    asked = Context(
        model="m", app="editor", num_ctx=8192, node_id="a", requests=9, cold=2, seqs=[4]
    )
    for mode, count in (("passthrough", 1), ("warn", 1), ("strip", 0)):
        view = View(nodes=(node("a", "m"),), settings={"context_protection": mode})
        given = list(proposals.pinned_contexts(Picture(view=view, contexts=(asked,))))
        assert len(given) == count
        assert all(each.whatif == ("--set", "context_protection=strip") for each in given)
        once = msgspec.structs.replace(asked, cold=1)
        assert list(proposals.pinned_contexts(Picture(view=view, contexts=(once,)))) == []


def test_the_catalogue_is_data_that_can_be_trusted() -> None:
    listed = catalogue.listed()
    names = [each.name for each in listed]
    assert len(set(names)) == len(names) > 30
    assert {each.category for each in listed} == {
        *("general", "reasoning", "coding", "vision", "embedding")
    }
    assert all(0.1 < each.size_gb < 500 and ":" in each.name for each in listed)
    found = catalogue.find("Nomic-Embed-Text")
    assert found is not None
    assert found.category == "embedding"
    assert catalogue.find("nobody-knows") is None


def test_the_largest_that_fits_is_found() -> None:
    found = catalogue.largest("embedding", 1e9)
    assert found is not None
    assert found.name == "mxbai-embed-large:latest"
    assert catalogue.largest("vision", 1e9) is None
