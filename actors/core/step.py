"""One actor's reaction to one recorded event: the only loop shared by live, replay and what-if."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Literal, TypeAlias

from actors.core import discovery, health, queueing, reaping, scheduling, seating, touching
from actors.core.commands import Command
from actors.core.placement import Policy
from actors.core.policies import place
from actors.core.state import State
from events import Event, Recorded

ActorName: TypeAlias = Literal["discovery", "node_monitor", "queue", "scheduler", "reaper"]

Address: TypeAlias = tuple[ActorName, str]
"""An actor; the second half is the model of a queue, else empty."""

Hearers: TypeAlias = tuple[list[Address], str, list[Address]]
"""Before the queues, whether one or all of them, and after; with no queue all are after."""

_DISCOVERY: Address = ("discovery", "")
_NODE_MONITOR: Address = ("node_monitor", "")
_SCHEDULER: Address = ("scheduler", "")
_REAPER: Address = ("reaper", "")

_EVOLVE: dict[ActorName, Callable[[State, Recorded], None]] = {
    "discovery": discovery.evolve,
    "node_monitor": health.evolve,
    "reaper": reaping.evolve,
}
_DECIDE: dict[ActorName, Callable[[State, Recorded], list[Command]]] = {
    "discovery": discovery.decide,
    "node_monitor": health.decide,
    "reaper": reaping.decide,
}


def step(state: State, address: Address, record: Recorded, policy: Policy = place) -> list[Command]:
    """Fold a record into this actor's part of the state, and return what follows."""
    evolve(state, address, record)
    return decide(state, address, record, policy)


def evolve(state: State, address: Address, record: Recorded) -> None:
    """Fold a record into this actor's part of the state."""
    if not state.kept.on:
        _evolve(state, address, record)
        return
    what = touching.touched(state, record.event)
    try:
        _evolve(state, address, record)
    finally:
        touching.touch(state, record.event, what)


def _evolve(state: State, address: Address, record: Recorded) -> None:
    name, queue = address
    if name == "scheduler":
        seating.evolve(state, record)
    elif name == "queue":
        queueing.evolve(state, queue, record)
    else:
        _EVOLVE[name](state, record)


def decide(state: State, address: Address, record: Recorded, policy: Policy) -> list[Command]:
    """Return what follows from a record that this actor has folded."""
    name, queue = address
    if name == "scheduler":
        return scheduling.decide(state, record, policy)
    if name == "queue":
        return queueing.decide(state, queue, record)
    return _DECIDE[name](state, record)


def audience(state: State, event: Event) -> Iterable[Address]:
    """Return the actors that hear an event, in the order in which they hear it.

    Which queues there are is asked when the turn comes to them: NodeMonitor may just have seen a
    model for the first time, which gives those who wait for it a queue of their own.

    The Scheduler hears everything, because it binds requests when nothing else is left to decide.
    """
    before, queues, after = _AUDIENCE.get(type(event), _ONLY_THE_SCHEDULER)
    if not queues:
        return after
    if queues == "one":
        line = queueing.line_of(state, event)
        return (*before, ("queue", queueing.key(state, line)), *after)
    return chain(before, _queues(state), after)


def _queues(state: State) -> Iterator[Address]:
    for key in queueing.keys(state):
        yield ("queue", key)


def _hearers(kind: type[Event]) -> Hearers:
    before: list[Address] = []
    if kind in discovery.HEARS:
        before.append(_DISCOVERY)
    if kind in health.HEARS:
        before.append(_NODE_MONITOR)
    queues = "one" if kind in queueing.OF_ONE_MODEL else ""
    if kind in queueing.OF_ALL:
        queues = "all"
    after: list[Address] = [_SCHEDULER]
    if kind in reaping.HEARS:
        after.append(_REAPER)
    return (before, queues, after) if queues else ([], "", before + after)


_ONLY_THE_SCHEDULER: Hearers = ([], "", [_SCHEDULER])
_AUDIENCE = {
    kind: _hearers(kind)
    for kind in (
        *discovery.HEARS,
        *health.HEARS,
        *queueing.OF_ONE_MODEL,
        *queueing.OF_ALL,
        *reaping.HEARS,
    )
}
