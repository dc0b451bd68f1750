"""A real pykka actor that lives on a run queue instead of a thread.

* The only file that touches pykka's private names; hence `pykka>=4.5,<4.6`.
* Its inbox is a view on one shared `Mailroom`, drained by whoever owns the loop: no thread, no
  loop of its own, no asyncio.
* `ref.tell` works from any thread; `ref.ask` from any thread but the one that drains the mailroom,
  where it would wait for itself, and raises instead.
* A handler that raises does not kill the actor: the raise is handed to the run queue, which
  records it (law 5), and the actor goes on with the state it had.
"""

import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol, cast

import pykka
from pykka import messages
from pykka._threading import ThreadingFuture

from actors.core.commands import Command
from actors.core.state import State
from actors.core.step import Address, step
from events import Recorded


class Envelope(Protocol):
    """What pykka puts into an inbox."""

    message: Any
    reply_to: "pykka.Future[Any] | None"


class Mailroom:
    """The mail of all loop actors of one run queue, in one order."""

    def __init__(self, wake: Callable[[], None]) -> None:
        """Keep `wake`, which makes the owner's loop call `drain` soon; from any thread."""
        self._mail: deque[tuple[LoopActor, Envelope]] = deque()
        self._wake = wake
        self.actors: dict[Address, CoreActor] = {}
        """Those of the core, for the run queue."""
        self.raised: Exception | None = None
        """What the last handler called by `tell` raised."""
        self._owner = threading.get_ident()
        self._handling = False

    def post(self, actor: "LoopActor", envelope: Envelope) -> None:
        """Take one message for an actor; on the owner's thread it is handled at once."""
        inside = threading.get_ident() == self._owner
        if inside and envelope.reply_to is not None and not _stops(envelope):
            raise RuntimeError(
                f"ask({actor}) on the loop that {actor} lives on would wait for ever"
            )
        if inside and not self._handling:
            self._hand(actor, envelope)
            return
        self._mail.append((actor, envelope))
        self._wake()

    def drain(self) -> None:
        """Hand out all mail; on the owner's thread."""
        while self._mail:
            self._hand(*self._mail.popleft())

    def _hand(self, actor: "LoopActor", envelope: Envelope) -> None:
        self._handling = True
        try:
            actor.handle(envelope)
        finally:
            self._handling = False

    def check(self) -> None:
        """Raise what the last handler raised."""
        raised, self.raised = self.raised, None
        if raised is not None:
            raise raised


def _stops(envelope: Envelope) -> bool:
    return isinstance(envelope.message, messages._ActorStop)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] (the one file)


class _Inbox:
    """One actor's view on the mailroom."""

    def __init__(self) -> None:
        self.actor: LoopActor | None = None

    def put(self, envelope: Envelope, /) -> None:
        actor = cast("LoopActor", self.actor)
        actor.mailroom.post(actor, envelope)

    def get(self) -> Envelope:
        raise RuntimeError("a loop actor is handed its mail")

    def empty(self) -> bool:
        return True


class LoopActor(pykka.Actor):
    """A pykka actor that its mailroom runs."""

    def __init__(self, mailroom: Mailroom) -> None:
        """Live in `mailroom`."""
        super().__init__()
        self.mailroom = mailroom
        cast("_Inbox", self.actor_inbox).actor = self

    @staticmethod
    def _create_actor_inbox() -> Any:  # noqa: ANN401 (pykka's own inbox type is private)
        return _Inbox()

    @staticmethod
    def _create_future() -> "pykka.Future[Any]":
        return ThreadingFuture()

    def _start_actor_loop(self) -> None:
        self._actor_loop_setup()

    def handle(self, envelope: Envelope) -> None:
        """Do what pykka's own loop does with one envelope."""
        if self.actor_stopped.is_set():
            if envelope.reply_to is not None:
                envelope.reply_to.set_exception(_dead(self))
            return
        try:
            answer = self._handle_receive(envelope.message)
        except Exception as error:  # noqa: BLE001 (any raise is an outcome)
            if envelope.reply_to is not None:
                envelope.reply_to.set_exception()
                return
            self.mailroom.raised = error
            self.on_failure(*sys.exc_info())
        else:
            if envelope.reply_to is not None:
                envelope.reply_to.set(answer)


def _dead(actor: LoopActor) -> Any:  # noqa: ANN401 (an exc_info triple, as pykka has it)
    error = pykka.ActorDeadError(f"{actor.actor_ref} stopped before handling the message")
    return (pykka.ActorDeadError, error, None)


class CoreActor(LoopActor):
    """A thin shell over one actor of the core: it takes records, and returns what follows.

    The run queue, which the actor lives on, hands it each record itself (`hear`): an envelope a
    record would cost as much as a tenth of a request.
    """

    def __init__(self, mailroom: Mailroom, state: State, address: Address) -> None:
        """React to records as the core's `address` does, on the shared state."""
        super().__init__(mailroom)
        self.state = state
        self.address = address
        mailroom.actors[address] = self

    def hear(self, record: Recorded) -> list[Command]:
        """Step the core by one record; on the loop, by the run queue."""
        return step(self.state, self.address, record)

    def on_receive(self, message: object) -> None:
        """Refuse mail: what an actor of the core is to know is a record, and in the log."""
        raise TypeError(f"{self} does not understand {message!r}")
