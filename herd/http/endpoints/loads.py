"""Requests without a prompt: as Ollama has it they load a model, or with `keep_alive` 0 let it go.

1. A load goes to a node as any request does. But servers that have only `/v1` routes load by
   themselves: for a model that only they have the answer is herd's own, and no node is asked.
2. Letting go waits in no line. It is asked of every node that has the model in memory as of now,
   and of no other: old versions of Ollama would load the model first. A pin is an operator's word,
   and stays. Each node that let it go is a fact, and control looks at it at once.
3. Servers that have only `/v1` routes let nothing go: that is said.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final

from actors.core.aliases import fits
from events import Event, ModelUnloaded, NodeId
from herd.clock import wall_s
from herd.dialects import native_loads
from herd.dialects.dates import rfc3339
from herd.dialects.names import key
from herd.http import orders, places, problems, wire
from herd.http.asked import Asked, read
from herd.http.endpoints.models import Models
from herd.http.everywhere import everywhere
from herd.http.exchange import Exchange
from herd.http.opening import open_any
from herd.http.problems import BadRequestError
from herd.http.routes import Handler
from herd.link.messages import KeyView, NodeView, View
from herd.survey import survey
from herd.tasks import spawn

PATHS: Final = ("/api/chat", "/api/generate", "/api/embed", "/api/embeddings")
LOOK_S: Final = 2.0
"""For the look at what a node has in memory."""
_OK, _FORBIDDEN, _NOT_FOUND, _CONFLICT, _UNAVAILABLE = 200, 403, 404, 409, 503


class Loads:
    """What takes such requests out of those that want an answer."""

    def __init__(self, models: Models) -> None:
        """See the fleet, and tell what was done, as orders for models do."""
        self._models = models

    def before(self, path: str, handler: Handler) -> Handler:
        """Return what answers them on that path, and leaves everything else to the handler."""

        def asked(exchange: Exchange) -> None:
            wish: native_loads.Wish = ""
            said = Asked("", stream=False)
            with contextlib.suppress(BadRequestError):  # the handler tells it
                open_any(exchange.request)
                if wish := native_loads.wish(path, exchange.request.body):
                    said = read(exchange.request.body, streams=True, kind="")
            model = places.meant(self._models.view, said.model) if said.model.strip() else ""
            if not model or (wish == "load" and self._native(model)):
                handler(exchange)
            elif not _allowed(exchange.key, said.model, model):
                _refuse(exchange, _refusal("key_model", said, status=_FORBIDDEN))
            elif wish == "load":
                self._loaded(path, exchange, said, model)
            else:
                spawn(self._unloaded(path, exchange, said, model), name="unload")

        return asked

    # Inside

    def _native(self, model: str) -> bool:
        """Whether a load is a node's business: an Ollama has the model, or nobody is known to."""
        view = self._models.view
        others = _others(view, model) if view.settings.get("translate_ollama") else []
        return not others or any(_has(node, model) for node in _ollamas(view))

    def _loaded(self, path: str, exchange: Exchange, said: Asked, model: str) -> None:
        hosts = places.v1_hosts(self._models.view, model)
        if hosts:
            _done(
                exchange, native_loads.done(path, said.model, rfc3339(wall_s()), "load"), hosts[:1]
            )
        else:
            _refuse(exchange, self._away(said))

    async def _unloaded(self, path: str, exchange: Exchange, said: Asked, model: str) -> None:
        try:
            body, nodes = await self._let_go(path, exchange, said, model)
        except BadRequestError as error:
            _refuse(exchange, error)
        except BaseException:
            exchange.fail()
            raise
        else:
            _done(exchange, body, nodes)

    async def _let_go(
        self, path: str, exchange: Exchange, said: Asked, model: str
    ) -> tuple[bytes, Sequence[NodeView]]:
        """Return the answer, and the nodes that it is about."""
        view = self._models.view
        found = await _holding(self._hosts(view, exchange, said, model), model)
        nodes = [node for node in found if not _pinned(view, node, model)]
        if found and not nodes:
            names = ", ".join(node.node_id for node in found)
            text = f"model '{said.model}' is pinned on {names}: `herd unpin` lets it go"
            raise BadRequestError(text, status=_CONFLICT)
        if not nodes:
            return native_loads.done(path, said.model, rfc3339(wall_s()), "unload"), ()

        def fact(node_id: NodeId) -> Event:
            return ModelUnloaded(node_id=node_id, model=model, by=exchange.peer)

        order = ("POST", path, exchange.request.body)
        outcome = await everywhere(nodes, order, fact, self._models.tell)
        if outcome.wrong:
            raise outcome.failure()
        names_done = {node.node_id for node in nodes}
        await self._models.settling.seen(
            lambda seen: (
                not any(
                    places.resident(node, model)
                    for node in seen.nodes
                    if node.node_id in names_done
                )
            )
        )
        return outcome.answers[0].body, nodes

    def _hosts(self, view: View, exchange: Exchange, said: Asked, model: str) -> list[NodeView]:
        """Return the nodes that may have it in memory; `BadRequestError` if there can be none."""
        wanted = orders.wanted_node(exchange.request)
        if wanted:
            return [places.named(view, wanted)]
        hosts = [node for node in _ollamas(view) if node.answers and _has(node, model)]
        if hosts:
            return hosts
        if places.v1_hosts(view, model):
            text = f"model '{said.model}' is on servers that load and unload by themselves: "
            raise BadRequestError(f"{text}stop it there")
        if view.settled and not places.known(view, model):
            raise _refusal("unknown_model", said, status=_NOT_FOUND)
        raise self._away(said)

    def _away(self, said: Asked) -> BadRequestError:
        online = any(node.answers for node in self._models.view.nodes)
        return _refusal("hold_timeout", said, status=_UNAVAILABLE, online=online)


async def _holding(nodes: Sequence[NodeView], model: str) -> list[NodeView]:
    """Return those of the nodes that have a model in memory, asked now."""
    wanted = key(model)

    async def holds(node: NodeView) -> bool:
        found = await survey(node.url, want_models=False, kind="ollama", timeout_s=LOOK_S)
        if found.resident is None:
            return places.resident(node, model)
        return any(key(each.name) == wanted for each in found.resident)

    held = await asyncio.gather(*map(holds, nodes))
    return [node for node, holds_it in zip(nodes, held, strict=True) if holds_it]


def _ollamas(view: View) -> list[NodeView]:
    return [node for node in view.nodes if node.facts.dialect == "ollama"]


def _others(view: View, model: str) -> list[NodeView]:
    """Return the servers with only `/v1` routes that have a model."""
    return [node for node in view.nodes if node.facts.dialect != "ollama" and _has(node, model)]


def _has(node: NodeView, model: str) -> bool:
    return places.has(node, model) or places.resident(node, model)


def _pinned(view: View, node: NodeView, model: str) -> bool:
    wanted = key(model)
    return any(key(each) == wanted for each in view.pinned.get(node.node_id, ()))


def _allowed(shown: KeyView | None, *names: str) -> bool:
    """Whether the key that a request came with is for a model, by any of its names."""
    if shown is None or not shown.models:
        return True
    return any(fits(pattern, name) for pattern in shown.models for name in names)


def _refusal(reason: str, said: Asked, *, status: int, online: bool = True) -> BadRequestError:
    text = problems.refusal(reason, model=said.model, detail="", online=online)
    return BadRequestError(text, status=status)


def _done(exchange: Exchange, body: bytes, nodes: Sequence[NodeView]) -> None:
    headers = [problems.JSON_UTF8]
    if nodes:
        names = ", ".join(node.node_id for node in nodes)
        headers.append((b"X-Fleet-Node", wire.header_value(names)))
    exchange.respond(_OK, headers, body)


def _refuse(exchange: Exchange, error: BadRequestError) -> None:
    headers = [problems.JSON_UTF8]
    if error.status == _UNAVAILABLE:
        headers.append((b"Retry-After", b"5"))
    exchange.respond(error.status, headers, problems.body("ollama", error.status, error.what))
