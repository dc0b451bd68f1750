"""A front's app: what clients, agents and operators ask of herd, answered on one loop.

Inference goes to the nodes that control grants; everything else is answered from the view that
control pushes, so it is answered while control is away too.
"""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from events import CarriedRequest, RequestId
from herd.clock import wall_s
from herd.config import Settings
from herd.http import limited, openapi, places, problems, tunnels
from herd.http.door import Door
from herd.http.endpoints import assets, catalogue, counting, fleet, pins, request_page, stored
from herd.http.endpoints.benchmarks import Benchmarks
from herd.http.endpoints.explained import Explained
from herd.http.endpoints.feed import Feed
from herd.http.endpoints.health import HealthPage
from herd.http.endpoints.inference import ROUTES, Inference
from herd.http.endpoints.keys import PATH as KEYS
from herd.http.endpoints.keys import KeysPage
from herd.http.endpoints.loads import PATHS as LOADING
from herd.http.endpoints.loads import Loads
from herd.http.endpoints.metrics import MetricsPage
from herd.http.endpoints.models import BLOBS, Models
from herd.http.endpoints.nodes import NodesPage
from herd.http.endpoints.pages import Pages
from herd.http.endpoints.past import Past
from herd.http.endpoints.pins import Pins
from herd.http.endpoints.settings import PATH as SETTINGS
from herd.http.endpoints.settings import SettingsPage
from herd.http.endpoints.show import Show
from herd.http.endpoints.stored import Stored
from herd.http.endpoints.told import Told
from herd.http.exchange import Exchange, Request
from herd.http.gate import Gate
from herd.http.guard import Guard
from herd.http.history import History
from herd.http.keyring import Keyring
from herd.http.lobby import Lobby
from herd.http.login import Login
from herd.http.lookback import Lookback
from herd.http.problems import JSON_UTF8, TEXT_UTF8
from herd.http.routes import MODEL_PREFIX, Handler, Methods, Routes
from herd.http.server import Limits
from herd.http.tunnels import Tunnels
from herd.http.waits import Waits
from herd.ids import RequestIds
from herd.link.client import Control
from herd.link.messages import Cancel, Grant, Refuse, View
from herd.version import version

SWEEP_S: Final = 1.0
LIMITS: Final = Limits(streamed=(BLOBS.encode(),))
"""What the clients of a front may ask of a connection."""
ORDER_BYTES: Final = 4 * 1024 * 1024
"""As large as a body may be that is not for a model to answer."""
OPENED: Final = ("/api/tags", "/api/ps", "/api/show", "/v1/models", counting.PATH)
"""Beside inference, what an API key opens."""
CONVERSATIONS: Final = frozenset({counting.PATH, *(route.path for route in ROUTES)})
"""What bodies with pictures and whole books are sent to."""


class Front:
    """The app of one front; control's messages come to it by the link (`Answers`)."""

    def __init__(  # noqa: PLR0913 (what a front is made of, by name)
        self,
        control: Control,
        *,
        gate: Gate | None = None,
        waits: Waits | None = None,
        ids: RequestIds | None = None,
        logd: Path | None = None,
        guard: Guard | None = None,
        door: Door | None = None,
        settings: Settings | None = None,
    ) -> None:
        """Start the sweep; must be made on the loop that it will live on.

        `logd` is the socket on which the log is asked; `settings` are those of the start.
        """
        self._control = control
        self._gate = gate or Gate(Settings())
        self._guard = guard or Guard()
        self._door = door or Door("open", "", unsigned=True)
        self._loop = asyncio.get_running_loop()
        self._version = version()
        self.waits = waits or Waits()
        self.lobby = Lobby(lambda: self.waits.hold_timeout_s, self._loop.call_later)
        self._keyring = Keyring(
            settings or Settings(), self._guard, lambda: not control.connected, self.lobby
        )
        self._gate.lets_stranger = self._keyring.lets_stranger
        self._login = Login(
            self._guard,
            self._keyring,
            self.lobby,
            settings.directory.spent_links if settings else None,
            secure=bool(settings and settings.tls_cert),
        )
        self._ids = ids or RequestIds()
        self.tunnels = Tunnels(lambda: control.view, 1 if settings is None else settings.workers)
        self.inference = Inference(control, self._loop, self._ids, self.waits)
        self._show = Show(lambda: control.view)
        self._request_page = request_page.RequestPage(logd)
        self._models = Models(control, self.inference.pool, self._ids.next)
        self._loads = Loads(self._models)
        self.history = History(logd)
        self._pages = Pages(control, self.history)
        self._metrics = MetricsPage(control, self.history)
        self._stored = Stored(self._models, self.history)
        self.feed = Feed(control, self._login.lets)
        self._settings = SettingsPage(control, settings or Settings())
        self._keys = KeysPage(control)
        self._pins = Pins(control, self._models.settling)
        self._nodes = NodesPage(control)
        self._health = HealthPage(
            control, self.history, settings.directory if settings else None, self._version
        )
        self._benchmarks = Benchmarks(
            control, self.history, self._models.settling, self._health.picture
        )
        lookback = Lookback(settings.directory.root if settings else None)
        self._past = Past(self.history, lookback)
        self._explained = Explained(lookback)
        self._kept: dict[tuple[str, tuple[str, ...]], bytes] = {}
        self._described: bytes | None = None
        self.routes = self._table()
        self._timer = self._loop.call_later(SWEEP_S, self._sweep)

    def __call__(self, exchange: Exchange) -> None:
        """Answer a request."""
        self._name(exchange.request)
        if self._gate.lets(exchange):
            self.routes(exchange)

    def ahead(self, exchange: Exchange) -> int:
        """Answer who may not ask, or asks for what is not here, before a large body is read.

        Return how large that body may be, in bytes.
        """
        request = exchange.request
        self._name(request)
        if not self._gate.lets(exchange) or not self.routes.has(exchange):
            return 0
        path = request.path
        if not self._keyring.lets(path, exchange):
            return 0
        return LIMITS.body_bytes if path in CONVERSATIONS else ORDER_BYTES

    def close(self) -> None:
        """Stop the sweep and the idle connections; what is under way goes on to its end."""
        self._timer.cancel()
        self.feed.close()
        self.inference.close()
        self.tunnels.close()

    # What the link calls

    def show_settings(self, settings: Settings) -> None:
        """Show these, which were read again."""
        self._settings.again(settings)

    def granted(self, grant: Grant) -> None:
        """Send the request to that node."""
        self.inference.granted(grant)

    def refused(self, refuse: Refuse) -> None:
        """Answer the request so."""
        self.inference.refused(refuse)

    def cancelled(self, cancel: Cancel) -> None:
        """End the request now."""
        self.inference.cancelled(cancel)

    def carrying(self) -> tuple[tuple[RequestId, ...], tuple[CarriedRequest, ...]]:
        """Return what waits and what is in flight."""
        return self.inference.carrying()

    def view_changed(self, view: View) -> None:
        """Answer from this from now on."""
        self._kept.clear()
        self.waits.follow(view.settings)
        self.inference.look(view)
        self.tunnels.look(view)
        self._keyring.look(view.keys)
        self._models.settling.changed()
        self.feed.changed()

    # Inside

    def _name(self, request: Request) -> None:
        if not request.id and problems.family_of(request.target) != "ollama":
            request.id = self._ids.next()

    def _table(self) -> Routes:
        by_path: dict[str, Methods] = {
            path: {b"POST": handler} for path, handler in self.inference.handlers().items()
        }
        for path in LOADING:
            by_path[path] = {b"POST": self._loads.before(path, by_path[path][b"POST"])}
        by_path.update(assets.routes())
        by_path["/"] = self._get(_root)
        by_path[request_page.DECISIONS] = {b"GET": self._request_page.decisions}
        by_path["/api/tags"] = self._get(self._from_view("tags", catalogue.tags))
        by_path["/api/show"] = {b"POST": self._show.ask}
        by_path["/api/ps"] = {b"GET": self._from_view("ps", catalogue.ps)}
        by_path["/api/version"] = self._get(
            self._from_view("version", lambda view: catalogue.version(view, self._version))
        )
        by_path["/v1/models"] = {b"GET": self._from_view("models", catalogue.models)}
        by_path[counting.PATH] = {
            b"POST": lambda exchange: counting.answer(exchange, self._control.view)
        }
        by_path["/fleet/status"] = {b"GET": self._status}
        by_path["/fleet/queue"] = {b"GET": self._queue}
        by_path["/metrics"] = self._get(self._metrics.show)
        by_path["/fleet/limits"] = {b"GET": self._limits}
        told = Told(self._control, self._door, self.inference.report)
        by_path.update(told.routes())
        for path, methods in told.orders().items():
            by_path[path] = self._admin(methods)
        by_path[tunnels.PATH] = {b"POST": self.tunnels.ask}
        by_path["/healthz"] = self._get(lambda exchange: _say(exchange, 200, {"status": "ok"}))
        by_path["/readyz"] = self._get(self._ready)
        by_path[openapi.PATH] = self._get(self._openapi)
        by_path.update(self._pages.routes())
        by_path.update(self._past.routes())
        by_path.update(self._explained.routes())
        change = self._guard.admin(self._settings.change)
        by_path[KEYS] = self._admin(self._keys.methods())
        for path, methods in self._nodes.routes().items():
            by_path[path] = self._admin(methods)
        for path in (pins.PATH, pins.DASHBOARD):
            by_path[path] = self._pins.methods(self._guard.admin)
        by_path[SETTINGS] = {b"GET": self._settings.show, b"POST": change}
        by_path.update(self._benchmarks.routes(self._guard.admin))
        by_path.update(self.feed.routes())
        by_path.update(self._health.routes())
        by_path[stored.SHOWN] = {b"GET": self._stored.show}
        pull = self._guard.admin(self._stored.pull)
        by_path[stored.PULL] = {b"GET": self._stored.pulls, b"POST": pull}
        by_path[stored.DELETE] = {b"POST": self._guard.admin(self._stored.delete)}
        for path, methods in self._models.handlers().items():
            by_path[path] = self._admin(methods)
        below: dict[str, Methods] = {
            MODEL_PREFIX: {b"GET": self._model},
            request_page.PREFIX: {b"GET": self._request_page.request},
            BLOBS: self._admin(self._models.blobs()),
            pins.BELOW: self._admin(self._pins.below()),
            **self._benchmarks.below(),
        }
        for path in (*self.inference.handlers(), *OPENED):
            by_path[path] = self._opened(path, by_path[path])
        below[MODEL_PREFIX] = self._opened(MODEL_PREFIX, below[MODEL_PREFIX])
        by_path.update(self._login.routes())
        return Routes(
            {path: self._login.guards(path, methods) for path, methods in by_path.items()},
            {path: self._login.guards(path, methods) for path, methods in below.items()},
        )

    def _opened(self, path: str, methods: Methods) -> dict[bytes, Handler]:
        """Return what answers those only who show a key, once there is one."""
        return {method: self._keyring.opens(path, handler) for method, handler in methods.items()}

    def _admin(self, methods: Mapping[bytes, Handler]) -> dict[bytes, Handler]:
        return {method: self._guard.admin(handler) for method, handler in methods.items()}

    @staticmethod
    def _get(handler: Handler) -> dict[bytes, Handler]:
        return {b"GET": handler, b"HEAD": handler}

    def _from_view(self, name: str, make: Callable[[View], dict[str, object]]) -> Handler:
        """Return a handler whose answer is made once a view."""

        def answer(exchange: Exchange) -> None:
            kept = (name, limited.patterns(exchange))
            body = self._kept.get(kept)
            if body is None:
                view = limited.seen(self._control.view, exchange.key)
                body = self._kept[kept] = msgspec.json.encode(make(view))
            exchange.respond(200, (JSON_UTF8,), body)

        return answer

    def _openapi(self, exchange: Exchange) -> None:
        if self._described is None:
            self._described = msgspec.json.encode(openapi.document(self.routes, self._version))
        exchange.respond(200, (JSON_UTF8,), self._described)

    def _model(self, exchange: Exchange) -> None:
        name = exchange.request.path.removeprefix(MODEL_PREFIX)
        view = self._control.view
        if limited.refuses(exchange, view, name):
            return
        found = catalogue.model(view, places.meant(view, name))
        if found is None:
            exchange.refuse(404, f"model '{name}' not found")
        else:
            _say(exchange, 200, found)

    def _status(self, exchange: Exchange) -> None:
        control = self._control
        _say(exchange, 200, fleet.status(control.view, wall_s(), current=control.answers))

    def _queue(self, exchange: Exchange) -> None:
        _say(exchange, 200, fleet.queue(self._control.view, wall_s()))

    def _limits(self, exchange: Exchange) -> None:
        _say(exchange, 200, fleet.limits(self._control.view, wall_s()))

    def _ready(self, exchange: Exchange) -> None:
        view, ready = self._control.view, self._control.answers
        why = "control does not answer" if self._control.silent else "control is away"
        detail = {
            "status": "ready" if ready else why,
            "nodes_online": sum(node.answers for node in view.nodes),
            "settled": view.settled,
            "recording": view.recording,
        }
        _say(exchange, 200 if ready else 503, detail)

    def _sweep(self) -> None:
        self._timer = self._loop.call_later(SWEEP_S, self._sweep)
        self.inference.sweep()
        self.tunnels.sweep()


def _root(exchange: Exchange) -> None:
    if assets.wants_page(exchange):
        assets.to_page(exchange)
    else:
        exchange.respond(200, (TEXT_UTF8,), b"Ollama is running")


def _say(exchange: Exchange, status: int, answer: object) -> None:
    exchange.respond(status, (JSON_UTF8,), msgspec.json.encode(answer))
