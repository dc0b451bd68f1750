"""Requests for a model: read, admitted, and kept until each has come to its end.

Rules
1. The body goes to the node's own route of the same name, byte for byte, but for what `rewriting`
   takes out, or puts in; to a node that lacks the route, translated (`crossing`). Whatever only an
   Ollama can do is refused where there is none with the model, and else control is told.
2. Whoever is refused here was never admitted: no fact is told of a body that cannot be read.
3. While control is away, requests wait for it; this front keeps the hold time and the deadlines.
"""

import asyncio
import logging
import re
from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec

from actors.core.reaping import STALE
from events import (
    CarriedRequest,
    Event,
    RequestId,
    RequestReceived,
    StreamsProgressed,
)
from herd.dialects.names import key, normalise
from herd.http import endings, multipart, problems
from herd.http.asked import read
from herd.http.exchange import Exchange
from herd.http.flight import Flight
from herd.http.needs import needs_of
from herd.http.noted import Noted, cleaned, granted_priority, noted_of
from herd.http.opening import open_body
from herd.http.problems import BadRequestError, Family
from herd.http.refusals import Refusers
from herd.http.rewriting import without_extras
from herd.http.spoken import Spoken
from herd.http.translations import TRANSLATIONS
from herd.http.upstream import Pool
from herd.http.waits import Waits
from herd.ids import RequestIds
from herd.link.client import Control, LinkFullError
from herd.link.messages import Cancel, Grant, Refuse, View

POOL_SWEEP_S: Final = 1.0
SLEPT_S: Final = 2.0
"""Between two looks, this much is no delay: the process was stopped."""
FORGOTTEN_AFTER_S: Final = 15.0
"""How long after the end of its wait a request that control said nothing of is given up."""
LONGEST_NAME: Final = 512
_PRODUCTS_KEPT: Final = 1_024
_NAMES_KEPT: Final = 4_096

_NAME: Final = re.compile(
    r"((\w[\w.:-]{0,349}/)?\w[\w-]{0,79}/)?\w[\w.-]{0,79}(:\w[\w.-]{0,79})?", re.ASCII
)
"""What Ollama takes for a name; nodes of other makes may have others, which the view knows."""

_log = logging.getLogger("herd.http.inference")


class Route(msgspec.Struct, frozen=True):
    """One API route that a node serves."""

    path: str
    family: Family
    streams: bool
    """What it does unless the body says otherwise."""
    kind: str
    """Go's name for its body, in an Ollama."""
    nameless: int
    """The status for a request without a model, as Ollama has it."""

    @property
    def wire(self) -> bytes:
        """The path, as it is sent."""
        return _WIRE[self.path]


ROUTES: Final = (
    Route("/api/chat", "ollama", streams=True, kind="api.ChatRequest", nameless=400),
    Route("/api/generate", "ollama", streams=True, kind="api.GenerateRequest", nameless=404),
    Route("/api/embed", "ollama", streams=False, kind="api.EmbedRequest", nameless=404),
    Route("/api/embeddings", "ollama", streams=False, kind="api.EmbeddingRequest", nameless=404),
    Route(
        "/v1/chat/completions",
        "openai",
        streams=False,
        kind="openai.ChatCompletionRequest",
        nameless=400,
    ),
    Route(
        "/v1/completions", "openai", streams=False, kind="openai.CompletionRequest", nameless=404
    ),
    Route("/v1/embeddings", "openai", streams=False, kind="openai.EmbedRequest", nameless=404),
    Route("/v1/audio/transcriptions", "openai", streams=False, kind=multipart.KIND, nameless=400),
    Route("/v1/responses", "openai", streams=False, kind="openai.ResponsesRequest", nameless=400),
    Route(
        "/v1/messages", "anthropic", streams=False, kind="anthropic.MessagesRequest", nameless=400
    ),
)


_WIRE: Final = {route.path: route.path.encode("ascii") for route in ROUTES}


class Inference:
    """All requests of one front that wait for a node or are on one."""

    def __init__(
        self,
        control: Control,
        loop: asyncio.AbstractEventLoop,
        ids: RequestIds,
        waits: Waits,
    ) -> None:
        """Begin with none."""
        self._control = control
        self._loop = loop
        self.now_s: Callable[[], float] = loop.time
        self._ids = ids
        self._waits = waits
        self._flights: dict[RequestId, Flight] = {}
        self._pools: dict[str, Pool] = {}
        self._spellings: dict[str, str] = {}
        self._asked: dict[str, str] = {}
        self._resident: set[str] = set()
        self._urls: set[str] = set()
        self._spoken = Spoken()
        self._refusers = Refusers()
        self._online = False
        self._products: dict[bytes, str] = {}
        self._swept_s = loop.time()
        self.look(control.view)

    def handlers(self) -> dict[str, Callable[[Exchange], None]]:
        """Return what answers each route."""
        return {route.path: partial(self.ask, route) for route in ROUTES}

    def look(self, view: View) -> None:
        """Know the fleet's models, and how they are spelled."""
        pulled = {key(it.model): normalise(it.model) for node in view.nodes for it in node.pulls}
        self._spellings = pulled | {
            key(model.name): model.name for node in view.nodes for model in node.models
        }
        self._asked = {}
        self._resident = {model.name for node in view.nodes for model in node.resident}
        self._urls = {node.url for node in view.nodes}
        self._spoken.look(view)
        for url, pool in self._pools.items():
            pool.known = self._spoken.node(url)
        self._online = any(node.answers for node in view.nodes)

    def ask(self, route: Route, exchange: Exchange) -> None:
        """Admit a request."""
        request = exchange.request
        try:
            noted = noted_of(request)
            if noted.coding:
                open_body(request, noted.coding)
            if route.kind == multipart.KIND:
                asked = multipart.read(request.body, request.header(b"content-type"))
            else:
                asked = read(request.body, streams=route.streams, kind=route.kind)
        except BadRequestError as error:
            self._turn_away(route, exchange, error.status, error.what)
            return
        model = self._spelled(asked.model)
        if model is None:
            self._refuse_name(route, exchange, asked.model)
            return
        if asked.extras:
            request.body = without_extras(request.body)
        why_not = self._spoken.why_native(route.path, request.body, model)
        if why_not and not self._spoken.native(model):
            text = f"model '{asked.model}' is on servers without Ollama's own routes, and herd "
            self._turn_away(route, exchange, 400, f"{text}cannot translate: {why_not}")
            return
        path, target = route.wire, request.target
        if target != path and b"?" in target:
            path += b"?" + target.partition(b"?")[2]
        flight = Flight(
            self,
            exchange,
            RequestId(request.id) if request.id else self._ids.next(),
            path=path,
            family=route.family,
            asked=asked,
            model=model,
            deadline_s=noted.deadline_s,
            translation=TRANSLATIONS.get(route.path),
        )
        self._admit(flight, exchange, route, noted, native=bool(why_not))

    # What control decides

    def granted(self, grant: Grant) -> None:
        """Send a request to its node; a slot for nobody is given back."""
        flight = self._flights.get(grant.request_id)
        if flight is None:
            self.report(endings.nobody(grant))
        elif flight.attempt is None:
            try:
                flight.dispatch(grant)
            except Exception:  # noqa: BLE001 (whatever it was, the slot is free again)
                _log.exception("a request could not be sent")
                flight.failed()
        else:
            _log.warning("request %s was granted while it runs", grant.request_id)

    def refused(self, refuse: Refuse) -> None:
        """Answer a request that gets no node."""
        if (flight := self._flights.get(refuse.request_id)) is not None:
            if (event := endings.refused(refuse, flight.model)) is not None:
                self.report(event)
            flight.refuse(refuse)

    def cancelled(self, cancel: Cancel) -> None:
        """End a request on that lease; one that was ended already has told of its end."""
        flight = self._flights.get(cancel.request_id)
        grant = None if flight is None else flight.grant
        if flight is None or grant is None or grant.lease != cancel.lease:
            return
        if cancel.reason == STALE and flight.attempt is None:
            return  # it told that this attempt failed, and may get another
        if (event := endings.ended(cancel, flight.model, grant.node_id)) is not None:
            self.report(event)
        flight.cancel(cancel)

    def carrying(self) -> tuple[tuple[RequestId, ...], tuple[CarriedRequest, ...]]:
        """Return what waits and what is in flight."""
        waiting: list[RequestId] = []
        in_flight: list[CarriedRequest] = []
        for request_id, flight in self._flights.items():
            carried = flight.carried()
            if carried is None:
                waiting.append(request_id)
            else:
                in_flight.append(carried)
        return tuple(waiting), tuple(in_flight)

    # What a flight needs

    def pool(self, url: str) -> Pool:
        """Return the connections to a node."""
        pool = self._pools.get(url)
        if pool is None:
            pool = self._pools[url] = Pool(url)
            pool.known = self._spoken.node(url)
        return pool

    def report(self, event: Event) -> bool:
        """Tell control; False if the link takes no more."""
        try:
            self._control.tell(event)
        except LinkFullError as error:
            _log.error("a fact is lost: %s", error.what)
            return False
        return True

    def ended(self, flight: Flight) -> None:
        """Forget a flight."""
        self._flights.pop(flight.request_id, None)

    def elsewhere(self, model: str, url: str) -> bool:
        """Whether a node of another address takes a model, and did not refuse it lately."""
        now_s, others = self._loop.time(), self._spoken.takers(model) - {url}
        return any(not self._refusers.lately(model, other, now_s) for other in others)

    def answered(self, model: str, url: str, *, refused: bool) -> None:
        """Know whether a node refused a model for reasons of its own."""
        self._refusers.answered(model, url, self._loop.time(), refused=refused)

    @property
    def online(self) -> bool:
        """Whether any node is online."""
        return self._online

    @property
    def active(self) -> int:
        """How many requests wait or run."""
        return len(self._flights)

    # Once a second

    def sweep(self) -> None:
        """Tell of the streams that went on; see that nobody waits for ever."""
        now_s = self._loop.time()
        elapsed_s, self._swept_s = now_s - self._swept_s, now_s
        progress: list[tuple[RequestId, int]] = []
        for flight in tuple(self._flights.values()):
            went_on = flight.progress(now_s)
            if went_on is not None:
                progress.append(went_on)
            elif flight.attempt is None and elapsed_s < SLEPT_S:  # else it hears first what came
                self._keep_time(flight, now_s)
        if progress:
            self.report(StreamsProgressed(progress=tuple(progress)))
        for url, pool in tuple(self._pools.items()):
            if url in self._urls:
                pool.sweep(elapsed_s)
            else:  # a node that left, or moved
                pool.close()
                del self._pools[url]

    def close(self) -> None:
        """Close the idle connections to nodes."""
        for pool in self._pools.values():
            pool.close()

    # Inside

    def _admit(
        self, flight: Flight, exchange: Exchange, route: Route, noted: Noted, *, native: bool
    ) -> None:
        asked, request = flight.asked, exchange.request
        key = exchange.key
        name = "" if key is None else key.key_name
        tags = cleaned((*asked.tags, *noted.tags)) if asked.tags else noted.tags
        received = RequestReceived(
            request_id=flight.request_id,
            model=flight.model,
            asked_model="" if asked.model == flight.model else asked.model,
            route=route.path,
            stream=asked.stream,
            body_bytes=0 if asked.form else len(request.body),
            client=exchange.peer,
            app=tags[0]
            if tags
            else name or asked.user or self._product(noted.agent) or exchange.peer,
            num_ctx=asked.num_ctx,
            most_tokens=asked.most_tokens,
            deadline_s=flight.deadline_s,
            priority=granted_priority(noted.priority, None if key is None else key.priority),
            tags=tags,
            fallbacks=self._fallbacks(asked.fallbacks) if asked.fallbacks else (),
            no_fallback=noted.no_fallback,
            needs=None if flight.model in self._resident or asked.form else needs_of(request.body),
            prefixes=asked.prefixes,
            trace=noted.trace,
            native=native,
            key_name=name,
        )
        try:
            self._control.tell(received)
        except LinkFullError:
            flight.answer(503, "control_away", "", 1)
        else:
            self._flights[flight.request_id] = flight

    def _keep_time(self, flight: Flight, now_s: float) -> None:
        waited_s = flight.waited_s(now_s)
        if self._control.connected:
            if waited_s >= self._waits.queue_timeout_s + FORGOTTEN_AFTER_S:
                flight.give_up("queue", 503, "queue_timeout")
        elif flight.deadline_s and flight.age_s(now_s) >= flight.deadline_s:
            flight.give_up("queue", 503, "deadline")
        elif waited_s >= self._waits.hold_timeout_s:
            flight.give_up("hold", 503, "control_away")

    def _spelled(self, asked: str) -> str | None:
        """Return the fleet's spelling of a name; None if nobody can have it."""
        model = self._asked.get(asked)
        if model is None:
            model = self._spellings.get(key(asked))
            if model is None:
                if len(asked) > LONGEST_NAME or not _NAME.fullmatch(asked.strip()):
                    return None
                model = normalise(asked)
            if len(self._asked) < _NAMES_KEPT:
                self._asked[asked] = model
        return model

    def _fallbacks(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Return the fleet's spellings; who can be no model's name is left out."""
        return tuple([model for name in names if (model := self._spelled(name)) is not None])

    def _refuse_name(self, route: Route, exchange: Exchange, name: str) -> None:
        if name.strip():
            self._turn_away(route, exchange, 400, "invalid model name")
        elif route.nameless == 400:  # noqa: PLR2004 (the two statuses that Ollama has for this)
            self._turn_away(route, exchange, 400, "model is required")
        else:
            self._turn_away(route, exchange, 404, "model '' not found")

    def _turn_away(self, route: Route, exchange: Exchange, status: int, text: str) -> None:
        again = (problems.AGAIN,) if status == 503 else ()  # noqa: PLR2004 (there is no room yet)
        exchange.refuse(status, text, again, family=route.family)

    def _product(self, agent: bytes) -> str:
        """Return the product in `User-Agent`: what runs there, as far as it says so."""
        product = self._products.get(agent)
        if product is None:
            product = agent.partition(b"/")[0].partition(b" ")[0][:80].decode("latin-1")
            if len(self._products) < _PRODUCTS_KEPT:
                self._products[agent] = product
        return product
