"""Who hears what, in which order: part of the contract with the log."""

import msgspec
import pytest

from actors.core.policies import place
from actors.core.queueing import HOLD
from actors.core.state import Line, State
from actors.core.step import Address, audience, decide
from events import (
    KINDS,
    AttemptFailed,
    Event,
    NodeProbed,
    Recorded,
    RequestCompleted,
    RequestReaped,
    RequestReceived,
    StreamStarted,
    TimerFired,
    Unknown,
)
from tests.actors.cast import MODEL, book, node, probed, received
from tests.golden.samples import samples

ACTORS: tuple[Address, ...] = (
    ("discovery", ""),
    ("node_monitor", ""),
    ("queue", MODEL),
    ("scheduler", ""),
    ("reaper", ""),
)


def heard(kind: type[Event], model: str = MODEL) -> list[str]:
    state = State(catalogue={MODEL: 1})
    book_of = book(received("r1", "x"), *node("studio"), received("r2"), received("r3", "y"))
    state.lines = book_of.state.lines
    event = next(event for _, event in samples(kind))
    if hasattr(event, "model"):
        event = msgspec.structs.replace(event, model=model)
    return [f"{name} {queue}".strip() for name, queue in audience(state, event)]


def test_the_scheduler_hears_everything() -> None:
    for kind in KINDS.values():
        assert "scheduler" in heard(kind)


@pytest.mark.parametrize(
    ("kind", "actors"),
    [
        (RequestReceived, ["queue " + MODEL, "scheduler"]),
        (AttemptFailed, ["node_monitor", "queue " + MODEL, "scheduler"]),
        (RequestCompleted, ["node_monitor", "queue " + MODEL, "scheduler"]),
        (RequestReaped, ["queue " + MODEL, "scheduler"]),
        (StreamStarted, ["scheduler", "reaper"]),
        (NodeProbed, ["node_monitor", "queue", "queue " + MODEL, "scheduler"]),
        (TimerFired, ["node_monitor", "queue", "queue " + MODEL, "scheduler", "reaper"]),
    ],
)
def test_the_order_is_fixed(kind: type[Event], actors: list[str]) -> None:
    assert heard(kind) == actors


def test_a_model_that_nobody_has_is_the_business_of_the_hold_queue() -> None:
    assert heard(RequestReceived, "never-seen") == ["queue", "scheduler"]


def test_a_queue_of_its_own_begins_with_the_record_that_brings_the_model() -> None:
    held = book(received("r1", "x"), received("r2"), *node("studio", "other:7b"))
    listened: list[Address] = []

    def listen(address: Address, _record: Recorded) -> None:
        listened.append(address)

    assert list(audience(held.state, probed("studio", MODEL)))[1:-1] == [("queue", HOLD)]
    held.fault = listen
    held.given(probed("studio", MODEL))
    assert listened[1:3] == [("queue", HOLD), ("queue", MODEL)]


@pytest.mark.parametrize("address", ACTORS, ids=lambda address: address[0])
@pytest.mark.parametrize("kind", ["a later kind", *KINDS])
def test_an_actor_has_no_opinion_on_what_it_does_not_hear(address: Address, kind: str) -> None:
    """An unknown event, of a later version, is kept and changes nothing."""
    if kind in KINDS:
        event = next(event for _, event in samples(KINDS[kind]))
        if address[0] in [name for name, _ in audience(State(lines={"x": Line()}), event)]:
            return
    else:
        event = Unknown(kind=kind, line=b"{}\n")
    record = Recorded(1, 1, event)
    assert decide(State(pending=1), address, record, place) == []
