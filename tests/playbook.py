"""A playbook for the core: facts in, and exactly what follows from them.

    assert (
        Playbook(*fleet)
        >> received("r1")
        << like(RequestDispatched, request_id="r1", node_id="studio")
        << granted("r1", "studio")
        >> after(5.0)
        >> TimerFired()
        << NOT_RECORDED
    )

* `>>` is a fact, or time that passes. A fact comes from where it would come from, unless `by` says
  otherwise. Facts that change nothing are dropped as the engine drops them: `NOT_RECORDED`.
* `<<` is what follows from the fact before it: every event in order, then every send in order. It
  must be equal; `like` compares only the fields it names.
* Nothing is run before `assert` asks. Then each fact runs through the real run queue, a mismatch
  is shown as a diff, and the log so far is folded again and checked for divergences: each
  playbook is also a test of replay.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from difflib import ndiff
from itertools import zip_longest
from typing import Any, Final, TypeAlias
from unittest import mock

import msgspec

from actors.core.commands import Command, Send
from actors.core.placement import Policy
from actors.core.policies import place
from actors.core.relevance import matters
from actors.core.state import State, dump
from actors.core.step import Address, evolve, step
from actors.run_queue import fold, fold_envelope, run
from events import (
    CONTROL,
    AttemptFailed,
    Event,
    FrontConnected,
    Recorded,
    RequestCancelled,
    RequestCompleted,
    RequestFailed,
    RequestReaped,
    RequestReceived,
    Source,
    StreamsProgressed,
    StreamStarted,
)
from herd.control.restore import head_of_segment
from herd.replay.check import check

START_US = 1_760_000_000_000_000
US = 1_000_000
FRONT = Source("f1-aaaaaa")
OTHER_FRONT = Source("f2-bbbbbb")

FROM_FRONTS = (
    AttemptFailed,
    FrontConnected,
    RequestCancelled,
    RequestCompleted,
    RequestFailed,
    RequestReaped,
    RequestReceived,
    StreamStarted,
    StreamsProgressed,
)


class after(msgspec.Struct, frozen=True):  # noqa: N801 (a word in a playbook's sentence)
    """So many seconds pass."""

    seconds: float


class by(msgspec.Struct, frozen=True):  # noqa: N801 (a word in a playbook's sentence)
    """A fact that this one reports."""

    src: Source
    fact: Event


class like:  # noqa: N801 (a word in a playbook's sentence)
    """An event of this kind, of which only the named fields count."""

    def __init__(self, kind: type[Event], **fields: Any) -> None:
        self.kind = kind
        self.fields = fields

    def fits(self, actual: Event | Send) -> bool:
        return isinstance(actual, self.kind) and all(
            getattr(actual, name) == value for name, value in self.fields.items()
        )

    def __repr__(self) -> str:
        named = "".join(f", {name}={value!r}" for name, value in self.fields.items())
        return f"{self.kind.__name__}(...{named})"


class _NotRecorded:
    def __repr__(self) -> str:
        return "(the fact is dropped)"


NOT_RECORDED: Final = _NotRecorded()

Fault: TypeAlias = Callable[[Address, Recorded], None]
"""Raises where an actor is to fail."""


def no_fault(_address: Address, _record: Recorded) -> None:
    """Let every actor do well."""


Expected: TypeAlias = Event | Send | like | _NotRecorded
Cue: TypeAlias = Event | by | after


class Playbook:
    """One core, its clock, and a script that it has to follow."""

    def __init__(self, *given: "Cue") -> None:
        """Begin after the given facts, whatever follows from them."""
        self.state = State()
        self.now_us = START_US
        self.fault: Fault = no_fault
        self.log: list[Recorded] = [head_of_segment(self.state, self.now_us)]
        fold_envelope(self.state, self.log[0])
        self.sent: list[Send] = []
        """To the fronts, so far."""
        self._counters: Counter[Source] = Counter()
        self._script: list[tuple[Cue, list[Expected]]] = []
        self.given(*given)

    def given(self, *facts: Cue) -> "Playbook":
        """Let things happen before the script goes on; what follows is not looked at."""
        assert not self._script, "the script so far was never asserted"
        for fact in facts:
            self._play(fact)
        return self

    def __rshift__(self, cue: Cue) -> "Playbook":
        self._script.append((cue, []))
        return self

    def __lshift__(self, expected: Expected) -> "Playbook":
        self._script[-1][1].append(expected)
        return self

    def __bool__(self) -> bool:
        script, self._script = self._script, []
        actual: list[str] = []
        wanted: list[str] = []
        for cue, expected in script:
            followed = self._play(cue)
            line = f">> {_shown(cue)}"
            actual += [line, *(f"   << {_shown(each)}" for each in followed)]
            wanted += [line, *(f"   << {each}" for each in _matched(expected, followed))]
        if actual != wanted:
            raise AssertionError(
                "\n- is what the playbook says, + is what followed:\n"
                + "\n".join(line for line in ndiff(wanted, actual) if not line.startswith("?"))
            )
        self.check()
        return True

    def check(self) -> None:
        """Fold the log again, and replay it, faults included: both must give what happened."""

        def faulty(
            state: State, address: Address, record: Recorded, policy: Policy = place
        ) -> list[Command]:
            self.fault(address, record)
            return step(state, address, record, policy)

        with mock.patch("herd.replay.check.step", faulty):
            report = check(self.log)
        assert not report.divergences, report.divergences[0]
        assert folded(self.log, self.fault) == dump(self.state), "the log folds to another state"

    def deliver(self, address: Address, record: Recorded) -> list[Command]:
        """Hand a record to an actor, which may fail."""
        self.fault(address, record)
        return step(self.state, address, record)

    def _play(self, cue: Cue) -> list[Event | Send | _NotRecorded]:
        if isinstance(cue, after):
            self.now_us += round(cue.seconds * US)
            return []
        src, fact = (cue.src, cue.fact) if isinstance(cue, by) else (_reporter(cue), cue)
        if not matters(self.state, fact, self.now_us):
            return [NOT_RECORDED]
        if src != CONTROL:
            self._counters[src] += 1
        outcome = run(self.state, self.deliver, fact, self.now_us, (src, self._counters[src]))
        self.log += outcome.records
        self.sent += outcome.sends
        return [*(record.event for record in outcome.records[1:]), *outcome.sends]


def folded(log: Iterable[Recorded], fault: Fault = no_fault) -> bytes:
    """Return the state that a restart would make of a log that begins with the empty state."""

    def faulty(state: State, address: Address, record: Recorded) -> None:
        fault(address, record)
        evolve(state, address, record)

    state = State()
    with mock.patch("actors.run_queue.evolve", faulty):
        for record in log:
            fold(state, record)
    return dump(state)


def _reporter(fact: Event) -> Source:
    return FRONT if isinstance(fact, FROM_FRONTS) else CONTROL


def _matched(expected: list[Expected], followed: list[Event | Send | _NotRecorded]) -> list[str]:
    """Return the expected lines; where one fits what followed, that line as it is."""
    lines: list[str] = []
    for each, actual in zip_longest(expected, followed[: len(expected)]):
        if isinstance(each, like) and actual is not None and not isinstance(actual, _NotRecorded):
            lines.append(_shown(actual) if each.fits(actual) else _shown(each))
        else:
            lines.append(_shown(each))
    return lines


def _shown(value: Cue | Expected) -> str:
    """Return one line, without the fields that have their default."""
    match value:
        case after(seconds=seconds):
            return f"after {seconds} s"
        case by(src=src, fact=fact):
            return f"{src}: {_shown(fact)}"
        case Send(to=to, message=message):
            return f"to {to}: {_fields(message)}"
        case Event():
            return _fields(value)
        case _:
            return repr(value)


def _fields(struct: msgspec.Struct) -> str:
    told = [
        f"{field.name}={value!r}"
        for field in msgspec.structs.fields(struct)
        if (value := getattr(struct, field.name)) != field.default
    ]
    return f"{type(struct).__name__}({', '.join(told)})"
