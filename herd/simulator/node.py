"""A simulated Ollama node: its routes, its faults, its counters, on herd's own HTTP server.

It answers like Ollama (`/`, `/api/*`, `/v1/*`), or, if its dialect is `openai`, like a server that
has the `/v1` routes only. It says in every answer that it is simulated, and has
two routes of its own: `GET /sim/stats`, and `POST /sim/fault` to make something go wrong.
"""

import asyncio
from collections.abc import Callable
from typing import TypeAlias

import msgspec

from herd.http.server import Exchange
from herd.simulator import asks, ollama_bodies, openai_bodies
from herd.simulator.asks import AskError
from herd.simulator.engine import Engine
from herd.simulator.faults import NONE, Fault, FaultKind, Stats
from herd.simulator.gate import Gate
from herd.simulator.hardware import NodeSpec
from herd.simulator.inference import ERRORS, JSON_TYPES, NEWER, ROUTES, Planner, find
from herd.simulator.newer import has_them
from herd.simulator.physics import Timings
from herd.simulator.reply import End, Plan, Reply
from herd.simulator.shelf import BLOBS, Shelf

GARBAGE = bytes(range(256)) + b'\n{"half": \n'
"""What a node answers whose memory is broken."""

_JSON = ((b"Content-Type", ollama_bodies.Chat.whole_type),)
_TEXT = ((b"Content-Type", b"text/plain; charset=utf-8"),)
_PLAIN = ((b"Content-Type", b"text/plain"),)
_GET = (b"GET",)
_GET_HEAD = (b"GET", b"HEAD")
_POST = (b"POST",)

Served: TypeAlias = tuple[tuple[bytes, ...], Callable[[Exchange], None]]
"""The methods of a path, and who answers."""


class SimulatedNode:
    """One node on one port."""

    engine: Engine
    """Made by `start`, on its loop."""

    def __init__(
        self, spec: NodeSpec, *, time_scale: float = 1.0, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        """Describe it; `time_scale` 10 makes all its work ten times as fast."""
        self.spec = spec
        self._gate = Gate(self._serve, host, port)
        self._time_scale = time_scale
        self._planner = Planner(spec)
        self.shelf = Shelf(self._planner, lambda: self.engine)
        self._stats = Stats(name=spec.name)
        self._replies: dict[int, Reply] = {}
        self._held: dict[Exchange, None] = {}
        self._fault = NONE
        self._hits_left = 0
        self._healing: asyncio.TimerHandle | None = None
        self._routes: dict[str, Served] = {
            "/": (_GET_HEAD, self._root),
            "/api/version": (_GET_HEAD, self._version),
            "/api/tags": (_GET_HEAD, self._tags),
            "/api/ps": (_GET, self._ps),
            "/api/show": (_POST, self._show),
            "/api/pull": (_POST, self._kept(lambda asked: self.shelf.pull(asked, self.rate))),
            "/api/push": (_POST, self._kept(self.shelf.push)),
            "/api/create": (_POST, self._kept(self.shelf.create)),
            "/api/copy": (_POST, self._kept(self.shelf.copy)),
            "/api/delete": ((b"DELETE",), self._kept(self.shelf.delete)),
            "/v1/models": (_GET, self._models),
            "/sim/stats": (_GET, self._tell_stats),
            "/sim/fault": (_POST, self._take_fault),
            **dict.fromkeys(ROUTES, (_POST, self._infer)),
        }
        if not has_them(spec.facts.version):
            for path in NEWER:
                del self._routes[path]
        if spec.facts.dialect == "openai":
            kept = ("/v1/", "/sim/")
            self._routes = {
                path: each for path, each in self._routes.items() if path.startswith(kept)
            }

    @property
    def url(self) -> str:
        """Where it listens."""
        host = f"[{self._gate.host}]" if ":" in self._gate.host else self._gate.host
        return f"http://{host}:{self._gate.port}"

    @property
    def port(self) -> int:
        """The port of that address; the one wanted before `start`."""
        return self._gate.port

    # Life.

    async def start(self) -> str:
        """Listen, and return the address."""
        self.engine = Engine(self.spec, asyncio.get_running_loop(), self._time_scale)
        await self._gate.open()
        return self.url

    async def stop(self) -> None:
        """End everything at once: what is under way is cut off."""
        if self._healing is not None:
            self._healing.cancel()
        self.shelf.close()
        self.engine.close()
        await self._gate.end()

    # Faults.

    def fault(
        self,
        kind: FaultKind,
        *,
        after_tokens: int = 0,
        count: int = 0,
        factor: float = 2.0,
        for_s: float = 0.0,
    ) -> None:
        """Make something go wrong, in place of what went wrong before; `none` heals."""
        self.set_fault(
            Fault(kind=kind, after_tokens=after_tokens, count=count, factor=factor, for_s=for_s)
        )

    def set_fault(self, fault: Fault) -> None:
        """Do the same, with the fault as a value."""
        if self._healing is not None:
            self._healing.cancel()
            self._healing = None
        self._fault = fault
        self._hits_left = fault.count
        slower = {"freeze": 0.0, "deadlock": 0.0, "slow": 1 / fault.factor}.get(fault.kind, 1.0)
        self.engine.rate = self._time_scale * slower
        if fault.kind == "refuse":
            self._gate.shut()
        else:
            self._gate.reopen()
        if fault.kind not in {"freeze", "deadlock"}:
            held, self._held = self._held, {}
            for exchange in held:
                self._serve(exchange)
        if fault.for_s > 0:
            loop = asyncio.get_running_loop()
            self._healing = loop.call_later(fault.for_s, self.set_fault, NONE)

    def _hit(self) -> None:
        """Count a request that the fault hit; the last of them heals it."""
        if self._hits_left:
            self._hits_left -= 1
            if not self._hits_left:
                self.set_fault(NONE)

    # What replies need of their node.

    @property
    def rate(self) -> float:
        """Simulated seconds in a real one."""
        return self.engine.rate or self._time_scale

    def dies(self, tokens: int) -> bool:
        """Return whether an answer with so many tokens is cut off now."""
        return self._fault.kind == "die" and tokens >= self._fault.after_tokens

    def ended(self, reply: Reply, how: End) -> None:
        """Count a reply that is over, and free what it held."""
        job = reply.plan.job.id
        if self._replies.pop(job, None) is None:
            return
        if how in {"cancelled", "failed"}:
            self.engine.cancel(job)
        self._count(how)
        if how == "failed":
            self._hit()

    def _count(self, how: End) -> None:
        match how:
            case "served":
                self._stats.served += 1
            case "cancelled":
                self._stats.cancelled += 1
            case "refused":
                self._stats.refused += 1
            case "failed":
                self._stats.failed += 1

    # Requests.

    def _serve(self, exchange: Exchange) -> None:
        path = exchange.request.path
        if self._holds(path):
            self._held[exchange] = None
            exchange.on_gone = lambda: self._leave(exchange)
            return
        found = self._routes.get(path)
        if found is None and path.startswith("/v1/models/"):
            found = (_GET, self._one_model)
        if found is None and path.startswith(BLOBS) and "/api/pull" in self._routes:
            found = ((b"HEAD", b"POST"), self._kept(self.shelf.blob))
        if found is None:
            exchange.respond(404, _PLAIN, b"404 page not found")
        elif exchange.request.method not in found[0]:
            allowed = (b"Allow", b", ".join(sorted(found[0])))
            exchange.respond(405, (*_PLAIN, allowed), b"405 method not allowed")
        else:
            found[1](exchange)

    def _holds(self, path: str) -> bool:
        """Whether a request is not answered until the node is well again."""
        if self._fault.kind == "deadlock":
            return path in ROUTES and path in self._routes
        return self._fault.kind == "freeze" and not path.startswith("/sim/")

    def _leave(self, exchange: Exchange) -> None:
        del self._held[exchange]
        if exchange.request.path in ROUTES:
            self._stats.requests += 1
            self._count("cancelled")

    def _infer(self, exchange: Exchange) -> None:
        self._stats.requests += 1
        path = exchange.request.path
        family = ROUTES[path].family
        if self._fault.kind == "error":
            self._hit()
            self._count("failed")
            self._refuse(exchange, family, AskError(500, "a simulated fault: error"))
            return
        if self._fault.kind == "garbage":
            self._hit()
            self._count("failed")
            exchange.start(200, ((b"Content-Type", JSON_TYPES[family]),), None, GARBAGE)
            exchange.finish()
            return
        try:
            plan = self._planner.plan(path, exchange.request.body, self.engine.next_id())
        except AskError as error:
            self._count("refused")
            self._refuse(exchange, family, error)
            return
        self._begin(exchange, plan)

    def _begin(self, exchange: Exchange, plan: Plan) -> None:
        reply = Reply(self, exchange, plan)
        self._replies[plan.job.id] = reply
        self._stats.peak_in_flight = max(self._stats.peak_in_flight, len(self._replies))
        if plan.reason == "unload":
            self.engine.unload(plan.job.model)
            reply.finished(Timings())
        else:
            self.engine.submit(plan.job, reply)

    def _refuse(self, exchange: Exchange, family: asks.Family, error: AskError) -> None:
        headers = ((b"Content-Type", JSON_TYPES[family]),)
        exchange.respond(error.status, headers, ERRORS[family](error.status, error.text))

    def _kept(self, answer: Callable[[Exchange], None]) -> Callable[[Exchange], None]:
        """Return what answers a route of the shelf, refusals included."""

        def answered(exchange: Exchange) -> None:
            try:
                answer(exchange)
            except AskError as error:
                self._refuse(exchange, "ollama", error)

        return answered

    # The other routes.

    def _root(self, exchange: Exchange) -> None:
        exchange.respond(200, _TEXT, b"Ollama is running")

    def _version(self, exchange: Exchange) -> None:
        body = msgspec.json.encode({"version": self.spec.facts.version, "simulated": True})
        exchange.respond(200, _JSON, body)

    def _tags(self, exchange: Exchange) -> None:
        exchange.respond(200, _JSON, ollama_bodies.tags(self.shelf.models))

    def _ps(self, exchange: Exchange) -> None:
        resident = self.engine.up_to_date().resident()
        exchange.respond(200, _JSON, ollama_bodies.ps(resident, self.rate))

    def _show(self, exchange: Exchange) -> None:
        try:
            asked = asks.decode(exchange.request.body, asks.ShowRequest)
            model = find(self._planner.models, asked.model or asked.name)
        except AskError as error:
            self._refuse(exchange, "ollama", error)
        else:
            exchange.respond(200, _JSON, ollama_bodies.show(model))

    def _models(self, exchange: Exchange) -> None:
        exchange.respond(200, _JSON, openai_bodies.models(self.shelf.models))

    def _one_model(self, exchange: Exchange) -> None:
        try:
            model = find(self._planner.models, exchange.request.path.removeprefix("/v1/models/"))
        except AskError as error:
            self._refuse(exchange, "openai", error)
        else:
            exchange.respond(200, _JSON, msgspec.json.encode(openai_bodies.model_row(model)))

    def stats(self) -> Stats:
        """Return what was counted so far."""
        machine = self.engine.up_to_date()
        return msgspec.structs.replace(
            self._stats,
            in_flight=len(self._replies) + len(self._held),
            running=machine.running(),
            waiting=machine.waiting(),
            peak_running=machine.peak_running,
            loads=self.engine.loads,
            evictions=self.engine.evictions,
            tokens=self.engine.tokens,
            fault=self._fault.kind,
        )

    def _tell_stats(self, exchange: Exchange) -> None:
        exchange.respond(200, _JSON, msgspec.json.encode(self.stats()))

    def _take_fault(self, exchange: Exchange) -> None:
        try:
            fault = asks.decode(exchange.request.body, Fault)
        except AskError as error:
            self._refuse(exchange, "ollama", error)
            return
        exchange.respond(200, _JSON, msgspec.json.encode(fault))
        self.set_fault(fault)
