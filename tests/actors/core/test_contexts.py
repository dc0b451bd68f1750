"""A model in memory is not loaded anew for another context than it has."""

from typing import Any

import pytest

from actors.core.commands import Grant
from events import (
    ConfigurationLoaded,
    Event,
    ModelFacts,
    NodeFacts,
    NodeProbed,
    RequestDispatched,
    ResidentModel,
)
from tests.actors.cast import (
    MODEL,
    SIZE_BYTES,
    book,
    configured,
    heartbeat,
    nid,
    on_disk,
    received,
    rid,
)
from tests.playbook import Cue, Playbook

GIB = 1024**3


def mode(word: str, **more: Any) -> ConfigurationLoaded:
    return ConfigurationLoaded(settings={"context_protection": word} | more)


def host(name: str, loaded: int, slots: int = 1) -> tuple[Event, ...]:
    """A node that has the model in memory with that context; with -1 it has it on disk."""
    there = (ResidentModel(name=MODEL, context_length=loaded),) if loaded >= 0 else ()
    told = NodeProbed(node_id=nid(name), reachable=True, models=on_disk(MODEL), resident=there)
    return configured(name, slots), told


def sent(*given: Cue | tuple[Cue, ...]) -> tuple[str, int, int]:
    """Return what became of the context of the last request that was sent."""
    play = book(*given)
    play.check()
    event = [each.event for each in play.log if isinstance(each.event, RequestDispatched)][-1]
    grant = play.sent[-1].message
    assert isinstance(grant, Grant)
    assert grant.context == (event.context, event.num_ctx, event.loaded_ctx)
    return grant.context


@pytest.mark.parametrize(
    ("word", "asked", "loaded", "becomes"),
    [
        ("strip", 2048, 4096, ("pinned", 4096, 4096)),
        ("strip", 4096, 4096, ("", 0, 0)),
        ("strip", 8192, 4096, ("reloads", 0, 4096)),
        ("strip", 0, 4096, ("", 0, 0)),
        ("strip", 2048, 0, ("", 0, 0)),
        ("strip", 2048, -1, ("", 0, 0)),
        ("warn", 2048, 4096, ("reloads", 0, 4096)),
        ("warn", 8192, 4096, ("reloads", 0, 4096)),
        ("passthrough", 2048, 4096, ("", 0, 0)),
    ],
)
def test_what_becomes_of_a_context(
    word: str, asked: int, loaded: int, becomes: tuple[str, int, int]
) -> None:
    assert sent(mode(word), *host("studio", loaded), received("r1", num_ctx=asked)) == becomes


@pytest.mark.parametrize(
    ("facts", "trained", "loaded", "pinned"),
    [
        (NodeFacts(vram_bytes=12 * GIB), 131_072, 8_192, 8_192),
        (NodeFacts(vram_bytes=12 * GIB), 131_072, 4_096, 0),  # as it loads it by itself
        (NodeFacts(vram_bytes=12 * GIB), 131_072, 2_048, 0),  # it would get less than is usual
        (NodeFacts(vram_bytes=12 * GIB), 2_048, 4_096, 4_096),
        (NodeFacts(vram_bytes=23 * GIB), 131_072, 16_384, 0),
        (NodeFacts(vram_bytes=23 * GIB), 131_072, 65_536, 65_536),
        (NodeFacts(vram_bytes=47 * GIB), 131_072, 65_536, 0),
        (NodeFacts(vram_bytes=47 * GIB), 0, 131_072, 0),
        (NodeFacts(vram_bytes=12 * GIB, context_tokens=16_384), 131_072, 8_192, 0),
        (NodeFacts(context_tokens=16_384), 131_072, 32_768, 32_768),
        (NodeFacts(), 131_072, 32_768, 0),  # nobody knows what is usual there
        (NodeFacts(vram_bytes=12 * GIB, dialect="openai"), 131_072, 32_768, 0),
    ],
)
def test_who_names_no_context_does_not_make_it_smaller(
    facts: NodeFacts, trained: int, loaded: int, pinned: int
) -> None:
    """Ollama would load the model anew for a request without one, with what it takes by itself."""
    told = heartbeat(
        "studio",
        models=(ModelFacts(name=MODEL, size_bytes=SIZE_BYTES, context_length=trained),),
        resident=(ResidentModel(name=MODEL, context_length=loaded),),
        facts=facts,
    )
    becomes = ("pinned", pinned, loaded) if pinned else ("", 0, 0)
    asks = received("r1", route="/api/chat")
    assert sent(mode("strip", rules=1, translate_ollama=True), told, asks) == becomes
    openai = received("r1", route="/v1/chat/completions")
    assert sent(mode("strip", rules=1), told, openai) == ("", 0, 0)
    for word, rules in (("strip", 0), ("warn", 1), ("passthrough", 1)):
        given = mode(word, rules=rules, translate_ollama=True)
        assert sent(given, told, asks) == ("", 0, 0)


def test_logs_of_before_and_routes_of_openai_are_left_alone() -> None:
    asks = received("r1", num_ctx=2048)
    assert sent(*host("studio", 4096), asks) == ("", 0, 0)
    openai = received("r1", num_ctx=2048, route="/v1/chat/completions")
    assert sent(mode("strip"), *host("studio", 4096), openai) == ("", 0, 0)


def where(play: Playbook, name: str) -> str:
    play.check()
    return play.state.requests[rid(name)].node_id


@pytest.mark.parametrize("policy", ["resident-first", "soonest", "least-connections"])
def test_more_goes_to_where_there_is_enough(policy: str) -> None:
    fleet = (*host("ada", 4096, 4), *host("bob", 16_384, 4), *host("cyd", 4096, 4))
    play = book(mode("strip", policy=policy), *fleet)
    play.given(*[received(f"r{n}", num_ctx=8192) for n in range(3)])
    assert [where(play, f"r{n}") for n in range(3)] == ["bob"] * 3


def test_it_waits_for_that_node_and_lets_others_pass() -> None:
    play = book(mode("strip"), *host("ada", 4096), *host("bob", 16_384))
    play.given(*[received(f"r{n}", num_ctx=8192) for n in range(3)])
    play.given(received("r3"), received("r4", num_ctx=1024))
    assert [where(play, f"r{n}") for n in range(5)] == ["bob", "", "", "ada", ""]
    assert sent(*[mode("strip"), *host("ada", 4096), received("r0", num_ctx=5000)])[0] == "reloads"


def test_passing_looks_only_at_those_of_one_kind() -> None:
    """Under `soonest`, who had better wait is passed by those who may use the same nodes."""
    play = book(mode("strip", policy="soonest"), *host("ada", 4096), *host("bob", 16_384))
    play.given(*[received(f"r{n}", num_ctx=(8192, 0, 1024)[n % 3]) for n in range(12)])
    play.check()
    assert play.state.in_flight == 2


def test_where_nobody_has_enough_any_node_takes_it() -> None:
    play = book(mode("strip"), *host("ada", 4096), *host("bob", 2048))
    play.given(received("r1", num_ctx=8192), received("r2", num_ctx=8192))
    assert sorted(where(play, name) for name in ("r1", "r2")) == ["ada", "bob"]


def test_a_node_with_the_model_on_disk_may_load_it_as_asked() -> None:
    play = book(mode("strip"), *host("ada", 4096), *host("bob", 16_384), *host("cyd", -1))
    play.given(received("r1", num_ctx=8192), received("r2", num_ctx=8192))
    assert [where(play, name) for name in ("r1", "r2")] == ["bob", "cyd"]


@pytest.mark.parametrize("rules", [0, 1])
def test_that_it_is_loaded_anew_is_predicted(rules: int) -> None:
    first_s: list[float] = []
    for asked in (4096, 8192):
        given = mode("strip", predictions=True, rules=rules), received("r1", num_ctx=asked)
        play = book(given[0], *host("studio", 4096), given[1])
        [event] = [it.event for it in play.log if isinstance(it.event, RequestDispatched)]
        first_s.append(event.predicted_first_s)

    same, larger = first_s
    assert (larger > same + 1.0) is bool(rules)
