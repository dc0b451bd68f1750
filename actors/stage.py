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
        self._refs: dict[Address, pykka.ActorRef[Any]] = {
            ("discovery", ""): Discovery.start(self._mailroom, state),
            ("node_monitor", ""): NodeMonitor.start(self._mailroom, state),
            ("scheduler", ""): Scheduler.start(self._mailroom, state),
            ("reaper", ""): Reaper.start(self._mailroom, state),
        }

    def deliver(self, address: Address, record: Recorded) -> list[Command]:
        """Tell one actor a record and return what follows; raises what its handler raised."""
        ref = self._refs.get(address)
        if ref is None:
            ref = self._refs[address] = Queue.start(self._mailroom, self._state, address[1])
        ref.tell(record)
        return self._mailroom.take()

    def drain(self) -> None:
        """Handle what other threads told and asked."""
        self._mailroom.drain()
        try:
            self._mailroom.take()
        except Exception:  # noqa: BLE001 (whatever it is, nobody waits for it)
            _log.exception("an actor was told what it does not understand")

    def stop(self) -> None:
        """Stop every actor; the queues first, in the reverse of their start."""
        for ref in reversed(list(self._refs.values())):
            ref.stop(block=False)
        self._mailroom.drain()
        self._refs.clear()
