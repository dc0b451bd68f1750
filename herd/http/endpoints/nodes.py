"""`/fleet/nodes`: which key speaks for which node, who waits to join; approving and revoking.

An admin's. A change is a fact that control records; it is answered once control's view has it.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec

from events import NodeId, NodePinned, NodeRevoked
from herd.http.exchange import Exchange
from herd.http.problems import JSON_UTF8
from herd.http.routes import Methods
from herd.link.client import Control, LinkFullError
from herd.signing import fingerprint
from herd.tasks import spawn

PATH: Final = "/fleet/nodes"
APPROVE: Final = "/fleet/nodes/approve"
REVOKE: Final = "/fleet/nodes/revoke"
SEEN_WITHIN_S: Final = 2.0
_LOOK_S: Final = 0.02


class _Named(msgspec.Struct, forbid_unknown_fields=True):
    node_id: NodeId


class NodesPage:
    """Shows who speaks for the nodes, and changes that."""

    def __init__(self, control: Control) -> None:
        """Answer from control's view."""
        self._control = control

    def routes(self) -> dict[str, Methods]:
        """Return what answers each path; all of it is an admin's."""
        return {
            PATH: {b"GET": self._show},
            APPROVE: {b"POST": self._approve},
            REVOKE: {b"POST": self._revoke},
        }

    def _show(self, exchange: Exchange) -> None:
        view = self._control.view
        names = dict.fromkeys([*(node.node_id for node in view.nodes), *view.pins, *view.knocks])
        _say(exchange, 200, {"nodes": [self._row(name) for name in names]})

    def _row(self, name: NodeId) -> dict[str, object]:
        view = self._control.view
        node = next((node for node in view.nodes if node.node_id == name), None)
        pin, knock = view.pins.get(name), view.knocks.get(name)
        trust = "named" if node is not None and node.origin != "agent" else "unsigned"
        if pin is not None:
            trust = "revoked" if pin.revoked else "pinned"
        elif node is None:
            trust = "waits"
        key = knock.node_key if knock is not None else "" if pin is None else pin.node_key
        return {
            "node_id": name,
            "trust": trust,
            "status": "" if node is None else node.status,
            "url": node.url if node is not None else "" if knock is None else knock.url,
            "fingerprint": fingerprint(key) if key else "",
            "waits": knock is not None,
            "by": "" if knock is None else knock.by,
        }

    def _approve(self, exchange: Exchange) -> None:
        if (name := _named(exchange)) is None:
            return
        view = self._control.view
        pin, knock = view.pins.get(name), view.knocks.get(name)
        if knock is None:
            waiting = ", ".join(view.knocks) or "none"
            text = f"no node called '{name}' waits to join; waiting: {waiting}"
            _say(exchange, 404, {"error": text})
            return
        fact = NodePinned(
            node_id=name,
            node_key=knock.node_key,
            replaces="" if pin is None else pin.node_key,
            approved=True,
            by=exchange.peer,
        )

        def approved() -> bool:
            now = self._control.view.pins.get(name)
            return now is not None and now.node_key == fact.node_key and not now.revoked

        self._tell(exchange, fact, approved)

    def _revoke(self, exchange: Exchange) -> None:
        if (name := _named(exchange)) is None:
            return
        view = self._control.view
        pin = view.pins.get(name)
        joined = any(node.node_id == name and node.origin == "agent" for node in view.nodes)
        if name not in view.knocks and not joined and (pin is None or pin.revoked):
            text = f"no agent speaks for a node called '{name}', nor asks to"
            _say(exchange, 404, {"error": text})
            return

        def revoked() -> bool:
            now = self._control.view.pins.get(name)
            return now is not None and now.revoked

        self._tell(exchange, NodeRevoked(node_id=name, by=exchange.peer), revoked)

    def _tell(
        self, exchange: Exchange, fact: NodePinned | NodeRevoked, seen: Callable[[], bool]
    ) -> None:
        try:
            self._control.tell(fact)
        except LinkFullError as error:
            _say(exchange, 503, {"error": f"{error.what}; try again in a moment"})
        else:
            spawn(self._seen(exchange, fact.node_id, seen), name="nodes")

    async def _seen(self, exchange: Exchange, name: NodeId, seen: Callable[[], bool]) -> None:
        """Answer once control's view shows the change."""
        loop = asyncio.get_running_loop()
        until = loop.time() + SEEN_WITHIN_S
        while not seen():
            if loop.time() > until:
                text = "control has not confirmed it; see what there is: herd nodes list"
                _say(exchange, 503, {"error": text})
                return
            await asyncio.sleep(_LOOK_S)
        _say(exchange, 200, self._row(name))


def _named(exchange: Exchange) -> NodeId | None:
    """Return the node that a body names; None where it does not, which is answered."""
    try:
        return msgspec.json.decode(exchange.request.body, type=_Named).node_id
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        _say(exchange, 400, {"error": f'write {{"node_id": NAME}}: {error}'})
        return None


def _say(exchange: Exchange, status: int, answer: object) -> None:
    exchange.respond(status, (JSON_UTF8,), msgspec.json.encode(answer))
