"""`/api/show`: passed on to a node that has the model, without a slot, since nothing is computed.

Nodes that are online come before degraded ones, and those that have the model in memory before
the others. One that does not answer is passed over. Nothing of it is recorded. Of a model that only
nodes have which sleep, it is told what they told of it: a client that looks before it asks, as
`ollama run` does, must get to ask, which wakes them. So is one that only servers without the route
have. An alias shows the model that it stands for.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from herd.dialects.names import key
from herd.http import limited, orders, places, problems, wire
from herd.http.client import FetchError, Response, fetch
from herd.http.endpoints import catalogue
from herd.http.exchange import Exchange
from herd.http.problems import JSON, JSON_UTF8, BadRequestError
from herd.link.messages import NodeView, View
from herd.tasks import spawn

TIMEOUT_S: Final = 10.0
AGAIN_S: Final = b"5"
_NAMES: Final = frozenset({"model", "name"})
"""Of a model: the second is as clients of before wrote it."""


class Show:
    """Asks nodes what they know of a model."""

    def __init__(self, view: Callable[[], View]) -> None:
        """Look at the fleet as it is when somebody asks."""
        self._view = view

    def ask(self, exchange: Exchange) -> None:
        """Answer, in time; nothing is asked any more of a node whose client has left."""
        view = self._view()
        asked = model = _asked_for(exchange)
        if not model or limited.refuses(exchange, view, model):
            return
        body, meant = exchange.request.body, places.meant(view, model)
        if key(meant) != key(model):
            model, body = meant, _about(body, meant)
        hosts = _hosts(view, model)
        if hosts:
            task = spawn(_passed(exchange, hosts, body), name="show")

            def gone() -> None:
                task.cancel()

            exchange.on_gone = gone
        elif (asleep := catalogue.asleep(view, model)) is not None:
            exchange.respond(200, (JSON,), msgspec.json.encode(asleep))
        elif others := places.v1_hosts(view, model):
            self._told(exchange, view, others, model)
        elif view.settled and not places.known(view, model):
            _refuse(exchange, 404, f"model '{asked}' not found")
        else:
            text = problems.refusal("hold_timeout", model=model, detail="", online=bool(view.nodes))
            _refuse(exchange, 503, text)

    def _told(self, exchange: Exchange, view: View, hosts: list[NodeView], model: str) -> None:
        """Tell what servers without the route have told of a model."""
        if not view.settings.get("translate_ollama"):
            _refuse(exchange, 400, problems.refusal("only_v1", model=model, detail="", online=True))
            return
        for node in hosts:
            if (found := catalogue.on_v1(node, model)) is not None:
                lines = b"X-Fleet-Node: %b\r\n" % wire.header_value(node.node_id)
                exchange.respond(200, (JSON_UTF8,), msgspec.json.encode(found), lines)
                return


def _asked_for(exchange: Exchange) -> str:
    """Return the model that somebody asks for; nothing where he is told why that cannot be."""
    try:
        model = orders.read(exchange.request).model
    except BadRequestError as error:
        _refuse(exchange, error.status, error.what)
        return ""
    if not model:
        _refuse(exchange, 400, "model is required")
    return model


def _about(body: bytes, model: str) -> bytes:
    """Return the body with the model that its name stands for."""
    pairs = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    kept = {name: value for name, value in pairs.items() if name.casefold() not in _NAMES}
    return msgspec.json.encode({"model": model, **kept})


def _hosts(view: View, model: str) -> list[NodeView]:
    """Return the nodes to ask, the best first."""
    wanted = key(model)
    hosts = [
        node
        for node in view.nodes
        if node.answers
        and node.facts.dialect == "ollama"
        and any(key(each.name) == wanted for each in node.models)
    ]
    hosts.sort(
        key=lambda node: (
            node.status != "online",
            all(key(each.name) != wanted for each in node.resident),
            node.node_id,
        )
    )
    return hosts


async def _passed(exchange: Exchange, hosts: list[NodeView], body: bytes) -> None:
    try:
        await _answered(exchange, hosts, body)
    except BaseException:
        exchange.fail()
        raise


async def _answered(exchange: Exchange, hosts: list[NodeView], body: bytes) -> None:
    last = ""
    for node in hosts:
        try:
            answer = await _asked(node, body)
        except FetchError as error:
            last = f"{node.node_id}: {error.text}"
            continue
        exchange.on_gone = None
        lines = b"X-Fleet-Node: %b\r\n" % wire.header_value(node.node_id)
        exchange.respond(answer.status, answer.of_body() or (JSON,), answer.body, lines)
        return
    exchange.on_gone = None
    _refuse(exchange, 502, problems.refusal("node_failed", model="", detail=last, online=True))


async def _asked(node: NodeView, body: bytes) -> Response:
    return await fetch(
        "POST",
        f"{node.url}/api/show",
        headers=((b"Content-Type", b"application/json"),),
        body=body,
        timeout_s=TIMEOUT_S,
    )


def _refuse(exchange: Exchange, status: int, text: str) -> None:
    headers = [problems.content_type("ollama")]
    if status == 503:  # noqa: PLR2004 (it may be there in a moment)
        headers.append((b"Retry-After", AGAIN_S))
    exchange.respond(status, headers, problems.body("ollama", status, text))
