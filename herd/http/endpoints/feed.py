"""`/dashboard/api/events`: the fleet as it changes, as Server-Sent Events.

Rules
1. One feed a front, however many pages are open: what changed is worked out and written down once,
   at most twice a second, and not at all while nobody listens: then only four numbers a second
   are kept, so that a page begins with the last minutes.
2. Each event has an id. Who comes again with the last one it saw gets what came after it, if that
   is kept; else a snapshot, of which all later events are changes.
3. A reader that does not take what was written is dropped: its browser comes again by itself. One
   that may not look any more, since there is a key now or its cookie has ended, is told nothing.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import parse_qs

import msgspec

from herd.clock import wall_s
from herd.http.endpoints import fleet
from herd.http.exchange import Exchange
from herd.http.lately import Lately
from herd.http.problems import JSON_UTF8
from herd.http.routes import Methods
from herd.http.wire import Header
from herd.link.client import Control
from herd.link.messages import View

PATH: Final = "/dashboard/api/events"
EVERY_S: Final = 0.5
HEARTBEAT_S: Final = 15.0
MOST_READERS: Final = 64
KEPT: Final = 64
"""Events that a reader who was away may still get."""
RETRY_MS: Final = 2000
BEAT: Final = b"event: heartbeat\ndata: {}\n\n"

_HEADERS: Final[tuple[Header, ...]] = (
    (b"Content-Type", b"text/event-stream"),
    (b"Cache-Control", b"no-store"),
)
_PARTS: Final = ("nodes", "queues")


class Feed:
    """The changes of control's view, to everybody who listens."""

    def __init__(self, control: Control, may_look: Callable[[Exchange], bool]) -> None:
        """Begin without readers; on the loop it will live on."""
        self._control = control
        self._may_look = may_look
        self._loop = asyncio.get_running_loop()
        self._readers: set[Exchange] = set()
        self._life = secrets.token_hex(4)
        self._n = 0
        self._kept: deque[tuple[int, bytes]] = deque(maxlen=KEPT)
        self._lately = Lately()
        self._last: dict[str, dict[str, object]] = {}
        """The state after the last event."""
        self._looked_s = float("-inf")
        self._looking: asyncio.TimerHandle | None = None
        self._beating = self._loop.call_later(HEARTBEAT_S, self._beat)

    @property
    def readers(self) -> int:
        """How many listen."""
        return len(self._readers)

    def routes(self) -> dict[str, Methods]:
        """Return what answers the path."""
        return {PATH: {b"GET": self.join}}

    def join(self, exchange: Exchange) -> None:
        """Answer with events until the reader leaves."""
        if len(self._readers) >= MOST_READERS:
            text = f"{MOST_READERS} pages are open already: close some"
            exchange.respond(503, (JSON_UTF8,), msgspec.json.encode({"error": text}))
            return
        if not self._readers:
            self._look()
        given = parse_qs(exchange.request.query).get("last", [""])[-1]
        missed = self._missed(exchange.request.header(b"last-event-id").decode("latin-1") or given)
        first = self._snapshot() if missed is None else missed
        exchange.on_gone = lambda: self._readers.discard(exchange)
        self._readers.add(exchange)
        exchange.start(200, _HEADERS, first=b"retry: %d\n\n%b" % (RETRY_MS, first))

    def changed(self) -> None:
        """Look soon: control's view is another."""
        self._lately.saw(self._control.view, self._loop.time())
        if self._readers and self._looking is None:
            wait_s = max(0.0, self._looked_s + EVERY_S - self._loop.time())
            self._looking = self._loop.call_later(wait_s, self._look)

    def close(self) -> None:
        """End every stream; browsers come again by themselves."""
        self._beating.cancel()
        if self._looking is not None:
            self._looking.cancel()
        readers, self._readers = self._readers, set()
        for exchange in readers:
            exchange.finish()

    def _look(self) -> None:
        """Tell what is otherwise than at the last look."""
        self._looking = None
        self._looked_s = self._loop.time()
        now = self._state()
        before, self._last = self._last, now
        if not before or now == before:
            return
        delta: dict[str, object] = {
            part: changes for part in _PARTS if (changes := _changes(before[part], now[part]))
        }
        if now["fleet"] != before["fleet"]:
            delta["fleet"] = now["fleet"]
        if delta:
            self._tell("delta", delta | {"timestamp": wall_s()})
        what = [name for name, part in _HINTS if now[part] != before[part]]
        if what:
            self._tell("changed", {"what": what})

    def _state(self) -> dict[str, dict[str, object]]:
        view = self._control.view
        status = msgspec.to_builtins(fleet.status(view, 0.0, current=self._control.answers))
        return {
            "fleet": status["fleet"],
            "nodes": {node["node_id"]: node for node in status["nodes"]},
            "queues": status["queues"],
            "settings": dict(view.settings),
            "benchmark": _benchmark(view),
            "pulls": {
                node.node_id: [pull.model for pull in node.pulls]
                for node in view.nodes
                if node.pulls
            },
            "pins": {str(node_id): models for node_id, models in view.pinned.items()},
            "keys": {key.key_name: key.digest for key in view.keys},
            "trust": {"pins": view.pins, "knocks": view.knocks},
        }

    def _snapshot(self) -> bytes:
        """Return `/fleet/status` as of the last look, the queues' totals and the last minutes."""
        told: dict[str, object] = {
            "fleet": self._last["fleet"],
            "nodes": list(self._last["nodes"].values()),
            "queues": self._last["queues"],
            "timestamp": wall_s(),
        }
        totals = fleet.queue(self._control.view, 0.0)
        told["lately"] = self._lately.told(self._loop.time())
        told["queue"] = {k: v for k, v in totals.items() if k not in {"queues", "timestamp"}}
        return self._frame("snapshot", told)

    def _missed(self, last: str) -> bytes | None:
        """Return what came after an event; None if that is not known any more."""
        life, _, number = last.partition("-")
        if life != self._life or not (number.isascii() and number.isdecimal()):
            return None
        seen = int(number[:18])
        oldest = self._kept[0][0] if self._kept else self._n + 1
        if not oldest - 1 <= seen <= self._n:
            return None
        return b"".join(frame for n, frame in self._kept if n > seen)

    def _tell(self, event: str, data: dict[str, object]) -> None:
        self._n += 1
        frame = self._frame(event, data)
        self._kept.append((self._n, frame))
        self._write(frame)

    def _frame(self, event: str, data: dict[str, object]) -> bytes:
        body = msgspec.json.encode(data)
        return b"id: %b-%d\nevent: %b\ndata: %b\n\n" % (
            self._life.encode(),
            self._n,
            event.encode(),
            body,
        )

    def _write(self, data: bytes) -> None:
        for exchange in tuple(self._readers):
            if exchange.blocked:
                self._readers.discard(exchange)
                exchange.abort()
            elif not self._may_look(exchange):
                self._readers.discard(exchange)
                exchange.finish()
            else:
                exchange.write(data)

    def _beat(self) -> None:
        self._beating = self._loop.call_later(HEARTBEAT_S, self._beat)
        if self._looking is None:
            self._look()  # a control that has stopped tells nobody
        self._write(BEAT)  # a comment would be heard by no page


_HINTS: Final = (
    ("requests", "queues"),
    ("settings", "settings"),
    ("benchmarks", "benchmark"),
    ("pulls", "pulls"),
    ("pins", "pins"),
    ("keys", "keys"),
    ("trust", "trust"),
)
"""What pages should ask again for, when which part of the state has changed."""


def _benchmark(view: View) -> dict[str, object]:
    """Return that one runs or has ended; how far it is, is asked for."""
    found = view.benchmark
    return {} if found is None else {"run_id": found.run_id, "status": found.status}


def _changes(before: Mapping[str, object], now: Mapping[str, object]) -> dict[str, object]:
    """Return the rows that are new or otherwise, and null for those that are gone."""
    changes = {key: row for key, row in now.items() if before.get(key) != row}
    return changes | {key: None for key in before if key not in now}
