"""Models on the nodes' disks: pull, push, create, copy, delete and blobs, as Ollama has them.

Rules
1. They change nodes, so they are admin routes (`herd.http.guard`).
2. A body's `node_id`, or the header `X-Herd-Node`, names the node; without it `places` says where.
   Copy and delete go to every node that has the model, as if the fleet were one Ollama.
3. Progress is passed on as it comes; a client that leaves ends its order. Two that pull the same on
   one node share one download: the node itself sees to that, and herd sends the second one there.
4. What was done is recorded, and who asked for it. Then control looks at that node's disk, and the
   answer ends when herd itself sees it so: what comes next may rest on it.
5. A blob goes through to its node as it comes, whatever its size; a new model is made where its
   blobs are.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from events import Event, ModelCopied, ModelCreated, ModelDeleted, ModelPushed, NodeId
from herd.http import orders, places, problems, wire
from herd.http.client import Response
from herd.http.endpoints.pulls import Settle, Watched
from herd.http.everywhere import JSON_BODY, asked, everywhere
from herd.http.exchange import Exchange
from herd.http.orders import Order
from herd.http.passing import Passing, Watcher
from herd.http.problems import BadRequestError
from herd.http.routes import Handler
from herd.http.settling import Settling
from herd.http.uploading import Nobody, Uploading
from herd.http.upstream import Pool
from herd.link.client import Control, LinkFullError
from herd.link.messages import NodeView, View
from herd.tasks import spawn

BLOBS: Final = "/api/blobs/"
OK, NOT_FOUND = 200, 404

_log = logging.getLogger("herd.http.models")

Pools = Callable[[str], Pool]


class Models:
    """The orders of one front."""

    def __init__(self, control: Control, pools: Pools, next_id: Callable[[], str]) -> None:
        """Reach nodes by these pools, and control by its link."""
        self._control = control
        self._pools = pools
        self.next_id = next_id
        self.settling = Settling(control)

    def handlers(self) -> dict[str, dict[bytes, Handler]]:
        """Return what answers each path."""
        delete = self._whole(self._delete)
        return {
            "/api/pull": {b"POST": _checked(self._pull)},
            "/api/push": {b"POST": _checked(self._push)},
            "/api/create": {b"POST": self._whole(self._create)},
            "/api/copy": {b"POST": self._whole(self._copy)},
            "/api/delete": {b"DELETE": delete, b"POST": delete},
        }

    def blobs(self) -> dict[bytes, Handler]:
        """Return what answers `/api/blobs/:digest`."""
        return {b"HEAD": self._whole(self._has_blob), b"POST": self._whole(self._take_blob)}

    # One method a route

    def _pull(self, exchange: Exchange) -> None:
        order = _named(orders.read(exchange.request))
        view = self.view
        node = _chosen(view, order) or places.for_pull(view, order.model)
        model = places.spelled(view, order.model)
        pull = Watched(
            self.tell,
            self.next_id(),
            model,
            node.node_id,
            exchange.peer,
            done=lambda: self.settling.stocked(model, [node], there=True),
        )
        self._pass(exchange, order, node, b"/api/pull", pull)

    def _push(self, exchange: Exchange) -> None:
        order = _named(orders.read(exchange.request))
        view = self.view
        node = _chosen(view, order) or _first(places.having(view, order.model), order.model)
        pushed = ModelPushed(
            node_id=node.node_id, model=places.spelled(view, order.model), by=exchange.peer
        )
        self._pass(exchange, order, node, b"/api/push", _Once(lambda: self.tell(pushed)))

    async def _create(self, exchange: Exchange) -> None:
        order = _named(orders.read(exchange.request))
        node = _chosen(self.view, order) or await self._maker(order)
        model = places.spelled(self.view, order.model)
        created = ModelCreated(node_id=node.node_id, model=model, by=exchange.peer)
        watcher = _Once(
            lambda: self.tell(created),
            lambda: self.settling.stocked(model, [node], there=True),
        )
        self._pass(exchange, order, node, b"/api/create", watcher)

    async def _copy(self, exchange: Exchange) -> None:
        order = orders.read(exchange.request)
        for what, name in (("source", order.source), ("destination", order.destination)):
            if not name:
                raise BadRequestError(f'{what} "" is invalid')
        view = self.view
        if not (nodes := _everywhere(view, order, order.source)):
            raise BadRequestError(f'model "{order.source}" not found', status=NOT_FOUND)

        def copied(node_id: NodeId) -> Event:
            return ModelCopied(
                node_id=node_id,
                model=places.spelled(view, order.source),
                destination=places.spelled(view, order.destination),
                by=exchange.peer,
            )

        request = ("POST", "/api/copy", order.body)
        await self._each(exchange, nodes, request, copied, (order.destination, True))

    async def _delete(self, exchange: Exchange) -> None:
        order = _named(orders.read(exchange.request))
        view = self.view
        nodes = _everywhere(view, order, order.model)
        if not nodes:
            away = ", ".join(node.node_id for node in places.away(view, order.model))
            text = f"model '{order.model}' is only on nodes that are offline: {away}"
            unknown = f"model '{order.model}' not found"
            raise BadRequestError(text if away else unknown, status=503 if away else NOT_FOUND)

        def deleted(node_id: NodeId) -> Event:
            return ModelDeleted(
                node_id=node_id, model=places.spelled(view, order.model), by=exchange.peer
            )

        request = ("DELETE", "/api/delete", order.body)
        await self._each(exchange, nodes, request, deleted, (order.model, False))

    async def _has_blob(self, exchange: Exchange) -> None:
        nodes = await self._with_blobs(exchange, (_digest(exchange),))
        headers = (_node_header(nodes),) if nodes else ()
        exchange.respond(OK if nodes else NOT_FOUND, headers, b"")

    async def _take_blob(self, exchange: Exchange) -> None:
        digest = _digest(exchange)
        had = await self._with_blobs(exchange, (digest,))
        node = had[0] if had else places.emptiest(self._asked(exchange))
        pool, path = self._pools(node.url), (BLOBS + digest).encode("ascii")
        name, upload = wire.header_value(node.node_id), exchange.request.upload
        if exchange.ended:
            return
        if upload is not None:
            Uploading(exchange, upload, pool, path, name)
        else:  # it came behind other requests
            body = exchange.request.body
            head = wire.upload_head(pool.prefix + path, pool.host, len(body))
            Passing(exchange, Nobody(), pool, (head, body), name)

    # Inside

    @property
    def view(self) -> View:
        """Return the fleet as it is."""
        return self._control.view

    def tell(self, event: Event) -> None:
        """Tell control what was done."""
        try:
            self._control.tell(event)
        except LinkFullError as error:
            _log.error("a fact is lost: %s", error.what)

    def _pass(
        self, exchange: Exchange, order: Order, node: NodeView, path: bytes, watcher: Watcher
    ) -> None:
        if exchange.ended:
            return
        pool = self._pools(node.url)
        head = wire.request_head(
            pool.prefix + path, pool.host, JSON_BODY, frozenset(), len(order.body)
        )
        Passing(exchange, watcher, pool, (head, order.body), wire.header_value(node.node_id))

    async def _each(
        self,
        exchange: Exchange,
        nodes: Sequence[NodeView],
        request: tuple[str, str, bytes],
        fact: Callable[[NodeId], Event],
        after: tuple[str, bool],
    ) -> None:
        """Do the same on several nodes; answered well only if it was done on all of them.

        Then, `after` says, the model is on those nodes, or on none of them.
        """
        outcome = await everywhere(nodes, request, fact, self.tell)
        await self.settling.stocked(after[0], outcome.done, there=after[1])
        if len(nodes) == 1 and outcome.answers:
            _answer(exchange, outcome.answers[0], nodes)
        elif outcome.wrong:
            raise outcome.failure()
        else:
            exchange.respond(OK, (_node_header(outcome.done),), b"")

    async def _maker(self, order: Order) -> NodeView:
        """Return the node where a new model's parts are."""
        if order.digests:
            nodes = await self._with_all(places.usable(self.view), order.digests)
            if not nodes:
                text = "no node has all of the blobs that the model is made of: send them again"
                raise BadRequestError(text)
            return nodes[0]
        had = places.having(self.view, order.base) if order.base else []
        return had[0] if had else places.emptiest(places.usable(self.view))

    def _asked(self, exchange: Exchange) -> list[NodeView]:
        wanted = orders.wanted_node(exchange.request)
        return [places.named(self.view, wanted)] if wanted else places.usable(self.view)

    async def _with_blobs(self, exchange: Exchange, digests: tuple[str, ...]) -> list[NodeView]:
        return await self._with_all(self._asked(exchange), digests)

    async def _with_all(
        self, nodes: Sequence[NodeView], digests: tuple[str, ...]
    ) -> list[NodeView]:
        """Return the nodes that have all of these blobs."""

        async def has_all(node: NodeView) -> bool:
            for digest in digests:
                try:
                    answer = await asked(node, "HEAD", BLOBS + digest)
                except BadRequestError:
                    return False
                if answer.status != OK:
                    return False
            return True

        found = await asyncio.gather(*map(has_all, nodes))
        return [node for node, has in zip(nodes, found, strict=True) if has]

    def _whole(self, answer: Callable[[Exchange], Coroutine[Any, Any, None]]) -> Handler:
        """Return a handler that answers later; what it has begun at nodes is not cut off."""

        async def answered(exchange: Exchange) -> None:
            try:
                await answer(exchange)
            except BadRequestError as error:
                _refuse(exchange, error)
            except BaseException:
                exchange.fail()
                raise

        def handler(exchange: Exchange) -> None:
            spawn(answered(exchange), name="models")

        return handler


class _Once:
    """Tells one fact, when the whole order was carried out."""

    def __init__(self, tell: Callable[[], None], settle: Settle | None = None) -> None:
        self._tell = tell
        self._settle = settle
        self._status = 0
        self._last = b""
        self._done = False

    def heard(self, status: int, body: bytes) -> None:
        self._status = status
        self._last = (self._last + body)[-1_024:]

    def ended(self, error: str) -> None:
        self._done = not error and self._status == OK and b'"success"' in self._last
        if self._done:
            self._tell()

    async def settled(self) -> None:
        if self._done and self._settle is not None:
            await self._settle()


def _checked(answer: Handler) -> Handler:
    def checked(exchange: Exchange) -> None:
        try:
            answer(exchange)
        except BadRequestError as error:
            _refuse(exchange, error)

    return checked


def _refuse(exchange: Exchange, error: BadRequestError) -> None:
    headers = [problems.JSON_UTF8]
    if error.status == 503:  # noqa: PLR2004 (a node may be there in a moment)
        headers.append((b"Retry-After", b"5"))
    exchange.respond(error.status, headers, problems.body("ollama", error.status, error.what))


def _named(order: Order) -> Order:
    if not order.model:
        raise BadRequestError("model is required")
    return order


def _chosen(view: View, order: Order) -> NodeView | None:
    return places.named(view, order.node_id) if order.node_id else None


def _everywhere(view: View, order: Order, model: str) -> list[NodeView]:
    chosen = _chosen(view, order)
    return [chosen] if chosen else places.having(view, model)


def _first(nodes: Sequence[NodeView], model: str) -> NodeView:
    if not nodes:
        raise BadRequestError(f"model '{model}' not found", status=NOT_FOUND)
    return nodes[0]


def _digest(exchange: Exchange) -> str:
    digest = exchange.request.path.removeprefix(BLOBS)
    name, colon, number = digest.partition(":")
    if name != "sha256" or not colon or len(number) != 64 or not number.isalnum():  # noqa: PLR2004 (of SHA-256, in hex)
        raise BadRequestError("invalid digest: write sha256: and 64 hexadecimal digits")
    return digest


def _node_header(nodes: Sequence[NodeView]) -> tuple[bytes, bytes]:
    return b"X-Fleet-Node", wire.header_value(", ".join(node.node_id for node in nodes))


def _answer(exchange: Exchange, answer: Response, nodes: Sequence[NodeView]) -> None:
    exchange.respond(answer.status, [_node_header(nodes), *answer.of_body()], answer.body)
