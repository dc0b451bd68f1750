"""What is told of a node: by its agent, that it is there; by an operator, to rest or to wake.

`/heartbeat` is open to whom the door lets in, `/fleet/drain` and `/fleet/wake` are an admin's. Each
is a fact for control, and answered once control's link has taken it.
"""

from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from events import DrainRequested, Event, NodeId, NodeKnocked, WakeRequested
from herd.http import problems
from herd.http.door import Door, NotAdmittedError
from herd.http.endpoints import fleet
from herd.http.exchange import Exchange
from herd.http.problems import JSON_UTF8
from herd.http.routes import Methods
from herd.link.client import Control, LinkFullError

HEARTBEAT: Final = "/heartbeat"
DRAIN: Final = "/fleet/drain"
WAKE: Final = "/fleet/wake"

_Named = TypeVar("_Named", "_Drain", "_Wake")


class _Drain(msgspec.Struct):
    node_id: str
    draining: bool = True


class _Wake(msgspec.Struct):
    node_id: str


class Told:
    """Passes on to control what is told of nodes."""

    def __init__(
        self, control: Control, door: Door, knock: Callable[[NodeKnocked], object]
    ) -> None:
        """Let those in whom the door lets in; `knock` hears of those who wait for an operator."""
        self._control = control
        self._door = door
        self._knock = knock

    def routes(self) -> dict[str, Methods]:
        """Return what anybody may tell."""
        return {HEARTBEAT: {b"POST": self._heartbeat}}

    def orders(self) -> dict[str, Methods]:
        """Return what an admin may tell."""
        return {DRAIN: {b"POST": self._drain}, WAKE: {b"POST": self._wake}}

    def _heartbeat(self, exchange: Exchange) -> None:
        view = self._control.view
        try:
            node_id, facts = self._door.admitted(exchange, view)
        except (ValueError, RecursionError) as error:
            _say(exchange, 400, {"error": str(error)})
        except NotAdmittedError as refused:
            if refused.knock is not None:
                self._knock(refused.knock)
            _say(exchange, refused.status, refused.answer)
        else:
            status = next((n.status for n in view.nodes if n.node_id == node_id), "online")
            running = fleet.running(view, node_id)
            self._tell(
                exchange, facts, {"status": "ok", "node_status": status, "in_flight": running}
            )

    def _drain(self, exchange: Exchange) -> None:
        asked = self._asked(exchange, _Drain, '{"node_id": NAME, "draining": true}')
        if asked is not None:
            node_id = NodeId(asked.node_id)
            fact = DrainRequested(node_id=node_id, draining=asked.draining, by=exchange.peer)
            self._tell(exchange, [fact], {"node_id": node_id, "draining": asked.draining})

    def _wake(self, exchange: Exchange) -> None:
        asked = self._asked(exchange, _Wake, '{"node_id": NAME}')
        if asked is None:
            return
        node = next(each for each in self._control.view.nodes if each.node_id == asked.node_id)
        if node.wakes or node.answers:
            told = [WakeRequested(node_id=node.node_id, by=exchange.peer)] if node.wakes else []
            answer: dict[str, object] = {
                "node_id": node.node_id,
                "status": node.status,
                "woken": node.wakes,
            }
            self._tell(exchange, [*told], answer)
        else:
            text = f"the owner of '{node.node_id}' does not let it be woken: `herd node --wake`"
            _say(exchange, 409, {"error": text})

    def _asked(self, exchange: Exchange, form: type[_Named], written: str) -> _Named | None:
        """Return what a body says of a node of the fleet; None where it does not, which is told."""
        try:
            asked = msgspec.json.decode(exchange.request.body, type=form)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            _say(exchange, 400, {"error": f"write {written}: {error}"})
            return None
        known = [node.node_id for node in self._control.view.nodes]
        if asked.node_id in known:
            return asked
        names = ", ".join(known) or "none"
        text = f"no node is called '{asked.node_id}'; the fleet has: {names}"
        _say(exchange, 404, {"error": text})
        return None

    def _tell(self, exchange: Exchange, facts: list[Event], answer: dict[str, object]) -> None:
        try:
            for fact in facts:
                self._control.tell(fact)
        except LinkFullError as error:
            exchange.respond(
                503, (JSON_UTF8, problems.AGAIN), problems.body("ollama", 503, error.what)
            )
        else:
            _say(exchange, 200, answer)


def _say(exchange: Exchange, status: int, answer: object) -> None:
    exchange.respond(status, (JSON_UTF8,), msgspec.json.encode(answer))
