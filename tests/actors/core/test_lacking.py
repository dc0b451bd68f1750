"""A node that had no memory for a model is asked for it last, for a while."""

from typing import Any

import msgspec
import pytest

from actors.core.lacking import refused as lacks
from actors.core.lacking import says, until_us
from actors.core.settings import Settings
from actors.core.state import US, Node, State
from events import LoadFinished, NodeFacts, SettingsChanged, TimerFired
from tests.actors.cast import (
    MODEL,
    attempt_failed,
    book,
    completed,
    failed,
    nid,
    node,
    probed,
    received,
    rid,
)
from tests.playbook import Playbook, after

SET = SettingsChanged(key="refused_for_s", old=0.0, new=3600.0)
NO_ROOM = "answered 500: not enough memory"


def refused(*given: SettingsChanged, error: str = NO_ROOM, others: bool = True) -> Playbook:
    """Studio has refused the model; whoever asked was served by mini."""
    mini = node("mini", slots=4, resident=()) if others else ()
    playing = book(*node("studio", slots=4), *mini, *given)
    refuse(playing, "r1", error)
    if others:
        end(playing, "r1")
    return playing


def refuse(playing: Playbook, name: str, error: str = NO_ROOM) -> None:
    playing.given(received(name))
    assert goes(playing, name) == "studio"
    lease = playing.state.requests[rid(name)].lease
    playing.given(attempt_failed(name, "studio", lease, error=error))


def end(playing: Playbook, name: str) -> None:
    request = playing.state.requests[rid(name)]
    playing.given(completed(name, request.node_id, request.lease))


def goes(playing: Playbook, name: str) -> str:
    return playing.state.requests[rid(name)].node_id


def next_goes(playing: Playbook, name: str) -> str:
    playing.given(received(name))
    found = goes(playing, name)
    end(playing, name)
    return found


def test_it_is_asked_last_for_a_minute_then_for_ten() -> None:
    playing = refused(SET)
    assert next_goes(playing, "r2") == "mini"
    playing.given(after(59.0))
    assert next_goes(playing, "r3") == "mini"
    playing.given(after(2.0))
    refuse(playing, "r4")
    end(playing, "r4")
    playing.given(after(599.0))
    assert next_goes(playing, "r5") == "mini"
    playing.given(after(2.0))
    refuse(playing, "r6")
    playing.given(after(3599.0))
    assert next_goes(playing, "r7") == "mini", "no longer than the setting says"
    playing.given(after(2.0), TimerFired())
    assert next_goes(playing, "r8") == "studio", "its circuit is half-open, too"
    assert not playing.state.nodes[nid("studio")].refusals, "it took it"
    playing.check()


def test_at_last_for_as_long_as_the_setting_says() -> None:
    state = State(settings=Settings(refused_for_s=100_000.0))
    studio = Node(nid("studio"), "http://studio:11434", "flag")
    lasts_s: list[float] = []
    for _ in range(5):
        lacks(state, studio, MODEL, NO_ROOM, 0)
        lasts_s.append(until_us(state, studio, MODEL) / US)
    assert lasts_s == [60.0, 600.0, 6000.0, 100_000.0, 100_000.0]


def test_it_is_a_setting() -> None:
    assert next_goes(refused(), "r2") == "studio"


def test_another_error_is_another_matter() -> None:
    assert next_goes(refused(SET, error="answered 500"), "r2") == "studio"


@pytest.mark.parametrize(
    "error",
    [
        "answered 500: not enough memory",
        "answered 500: out of memory",
        "model requires more system memory (40.0 GiB) than is available (24.0 GiB)",
    ],
)
def test_how_it_is_said(error: str) -> None:
    assert says(error)
    assert next_goes(refused(SET, error=error), "r2") == "mini"


@pytest.mark.parametrize(
    "told",
    [
        {"facts": NodeFacts(vram_bytes=48_000_000_000)},
        {"facts": NodeFacts(memory_bytes=48_000_000_000)},
        {"size_bytes": 20_000_000_000},
    ],
)
def test_another_memory_or_model_is_asked(told: dict[str, Any]) -> None:
    playing = refused(SET)
    word = probed("studio", MODEL, resident=(MODEL,))
    if (size_bytes := told.get("size_bytes")) is not None:
        assert word.models
        bigger = msgspec.structs.replace(word.models[0], size_bytes=size_bytes)
        word = msgspec.structs.replace(word, models=(bigger,))
    else:
        word = msgspec.structs.replace(word, **told)
    playing.given(word)
    assert next_goes(playing, "r2") == "studio"


def test_a_refusal_of_what_has_changed_is_the_first() -> None:
    playing = refused(SET)
    playing.given(
        msgspec.structs.replace(
            probed("studio", MODEL, resident=(MODEL,)), facts=NodeFacts(vram_bytes=1 << 34)
        )
    )
    refuse(playing, "r2")
    assert playing.state.nodes[nid("studio")].refusals[MODEL].count == 1


def test_where_no_other_has_it_it_is_asked() -> None:
    playing = refused(SET, others=False)
    playing.given(received("r2"))
    assert goes(playing, "r2") == "studio"


def test_an_end_without_another_try_and_a_planned_load_say_it_too() -> None:
    playing = book(*node("studio", slots=4), *node("mini", slots=4, resident=()), SET)
    playing.given(received("r1"))
    lease = playing.state.requests[rid("r1")].lease
    playing.given(failed("r1", "studio", lease, phase="first_byte", status=500, error=NO_ROOM))
    assert next_goes(playing, "r2") == "mini"
    playing.given(LoadFinished(node_id=nid("mini"), model=MODEL, error=NO_ROOM))
    assert playing.state.nodes[nid("mini")].refusals[MODEL].count == 1
    playing.given(TimerFired())


def test_what_breaks_off_in_the_middle_says_nothing_of_the_model() -> None:
    playing = book(*node("studio", slots=4), *node("mini", slots=4, resident=()), SET)
    playing.given(received("r1"))
    lease = playing.state.requests[rid("r1")].lease
    playing.given(failed("r1", "studio", lease, error="out of memory"))
    assert next_goes(playing, "r2") == "studio"
