"""The run queue: one fact in, run to completion, in one order. Live and replay share it.

* A fact gets the next `seq` and is delivered to the actors that hear it, in a fixed order. Each
  decision that is an event gets the next `seq` and is delivered in its turn, until nothing
  follows; only then comes the next fact. All of them carry the instant of the fact.
* A raise in a handler is an outcome: the derived event is `ActorFailed`, and everybody goes on.
* Nothing is sent from here: `Outcome` says what to write and what to send after the write.
"""

import contextlib
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

import msgspec

from actors.core.commands import Command, Send
from actors.core.state import Front, State
from actors.core.step import Address, audience, evolve
from events import CONTROL, ActorFailed, Event, Recorded, RequestId, Source

Deliver: TypeAlias = Callable[[Address, Recorded], list[Command]]
"""Hands a record to one actor and returns what follows from it; may raise."""

LONGEST_CHAIN = 100_000
"""Decisions that may follow from one fact; more is a loop in the core."""


class Outcome(msgspec.Struct, gc=False):
    """What one fact led to."""

    records: list[Recorded]
    """The fact and every decision, in the order of their `seq`."""
    sends: list[Send]


class EndlessDecisionError(RuntimeError):
    """One fact led to more decisions than any real one can."""


def run(
    state: State,
    deliver: Deliver,
    fact: Event,
    recorded_at: int,
    reported: tuple[Source, int] = (CONTROL, 0),
) -> Outcome:
    """Record one fact, `reported` by whom and under which number, and all that follows from it."""
    outcome = Outcome([], [])
    state.kept.on = True
    first = state.seq + 1
    todo: deque[tuple[Event, int]] = deque(((fact, 0),))
    while todo:
        event, cause = todo.popleft()
        src, n = (CONTROL, 0) if cause else reported
        record = Recorded(state.seq + 1, recorded_at, event, src, n, cause)
        if record.seq - first > LONGEST_CHAIN:
            raise EndlessDecisionError(f"{type(fact).__name__} at seq {first} never settles")
        outcome.records.append(record)
        fold_envelope(state, record)
        state.pending = len(todo)
        for address in audience(state, event):
            try:
                commands = deliver(address, record)
            except Exception as error:  # noqa: BLE001 (any raise is a recorded outcome: law 5)
                commands = _failure(address, record, error)
            for command in commands:
                if isinstance(command, Send):
                    outcome.sends.append(command)
                else:
                    todo.append((command, record.seq))
                    state.pending += 1
    return outcome


def fold_envelope(state: State, record: Recorded) -> None:
    """Fold the part that every record has: its place, its instant, its reporter's counter."""
    if record.seq != state.seq + 1:
        raise ValueError(f"seq {record.seq} does not follow {state.seq}")
    state.seq = record.seq
    state.recorded_at = record.recorded_at
    if record.n:
        front = state.fronts.get(record.src)
        if front is None:
            front = state.fronts[record.src] = Front()
        front.last_n = record.n


def fold(state: State, record: Recorded) -> None:
    """Fold a record of the log without deciding anything: what a restart does.

    A handler that raised when the record was new raises again, and changes as little.
    """
    fold_envelope(state, record)
    for address in audience(state, record.event):
        with contextlib.suppress(Exception):
            evolve(state, address, record)


def _failure(address: Address, record: Recorded, error: Exception) -> list[Command]:
    if isinstance(record.event, ActorFailed):
        return []
    name, queue = address
    request_id: RequestId = getattr(record.event, "request_id", RequestId(""))
    return [
        ActorFailed(
            actor=f"{name} {queue}".strip(),
            failed_seq=record.seq,
            error=f"{type(error).__name__}: {error}",
            request_id=request_id,
            front_src=record.src,
        )
    ]
