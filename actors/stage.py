"""The stage: the five actors of one control process, and the way a record reaches them."""

import logging
from collections.abc import Callable
from typing import Any

import pykka

from actors.core.commands import Command
from actors.core.state import State
from actors.core.step import Address
from actors.discovery import Discovery
from actors.model_queue import Queue
from actors.node_monitor import NodeMonitor
from actors.reaper import Reaper
from actors.scheduler import Scheduler
from actors.shell import Mailroom
from events import Recorded

_log = logging.getLogger("actors")


class Stage:
    """Discovery, NodeMonitor, Scheduler and Reaper, and a Queue for each model asked for."""

    def __init__(self, state: State, wake: Callable[[], None]) -> None:
        """Start the actors on one state; `wake` makes the owner's loop call `drain` soon."""
        self._state = state
        self._mailroom = Mailroom(wake)
        self._actors = self._mailroom.actors
        self._refs: list[pykka.ActorRef[Any]] = [
            actor.start(self._mailroom, state)
            for actor in (Discovery, NodeMonitor, Scheduler, Reaper)
        ]

    def deliver(self, address: Address, record: Recorded) -> list[Command]:
        """Let one actor hear a record and return what follows; raises what it raises."""
        actor = self._actors.get(address)
        if actor is None:
            self._refs.append(Queue.start(self._mailroom, self._state, address[1]))
            actor = self._actors[address]
        return actor.hear(record)

    def drain(self) -> None:
        """Handle what other threads told and asked."""
        self._mailroom.drain()
        try:
            self._mailroom.check()
        except Exception:  # noqa: BLE001 (whatever it is, nobody waits for it)
            _log.exception("an actor was told what it does not understand")

    def stop(self) -> None:
        """Stop every actor; the queues first, in the reverse of their start."""
        for ref in reversed(self._refs):
            ref.stop(block=False)
        self._mailroom.drain()
        self._refs.clear()
        self._actors.clear()
