"""Clients that ask all the time, each in its own way, and remember what became of it."""

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from tests.e2e.herds import until
from tests.e2e.nodes import SMALL
from tests.e2e.wire import JSON, Call, ask, chat

WITHIN_S = 60.0
PAUSE_S = 0.02


class Steady:
    """So many clients of each kind, from the first line to the last of a `with`."""

    def __init__(self, url: str, *, each: int = 2, keep_alive: bool = True) -> None:
        self._url = url
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.failures: list[str] = []
        self.answered: Counter[str] = Counter()
        """By kind of client."""
        self.request_ids: list[str] = []
        self.slowest_s = 0.0
        kinds = [self._whole, self._stream, *([self._kept] if keep_alive else [])]
        self._connections: dict[int, http.client.HTTPConnection] = {}
        """By thread."""
        self._threads = [
            threading.Thread(target=self._go_on, args=(kind,), name=kind.__name__, daemon=True)
            for kind in kinds
            for _ in range(each)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        self.go_on()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(WITHIN_S)
        for connection in self._connections.values():
            connection.close()

    def go_on(self, more: int = 5) -> None:
        """Wait until so many more were answered, of each kind."""
        before = Counter(self.answered)
        kinds = {thread.name for thread in self._threads}
        assert until(
            lambda: all(self.answered[kind] >= before[kind] + more for kind in kinds), WITHIN_S
        ), f"the clients do not go on: {self.answered} after {before}, {self.failures}"

    def _go_on(self, ask_once: Callable[[], str]) -> None:
        kind = ask_once.__name__
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                request_id = ask_once()
            except (AssertionError, OSError, http.client.HTTPException) as error:
                with self._lock:
                    self.failures.append(f"{kind}: {error!r}")
            else:
                with self._lock:
                    self.request_ids.append(request_id)
                    self.answered[kind] += 1
                    self.slowest_s = max(self.slowest_s, time.monotonic() - began)
            time.sleep(PAUSE_S)

    def _whole(self) -> str:
        answer = ask(self._url, "/api/chat", chat(SMALL), timeout_s=WITHIN_S)
        assert answer.status == 200, answer.body
        return answer.request_id

    def _stream(self) -> str:
        body = chat(SMALL, stream=True)
        with Call(self._url, "/api/chat", body, timeout_s=WITHIN_S) as call:
            *_, last = filter(None, call.lines())
            assert b'"done":true' in last, last
            return call.response.getheader("X-Herd-Request-Id") or ""

    def _kept(self) -> str:
        """Ask on one connection for as long as the balancer keeps it, as SDKs do."""
        here = threading.get_ident()
        if here not in self._connections:
            parts = urlsplit(self._url)
            self._connections[here] = http.client.HTTPConnection(
                parts.hostname or "", parts.port, timeout=WITHIN_S
            )
        connection = self._connections[here]
        connection.request("POST", "/api/chat", json.dumps(chat(SMALL)), JSON)
        response = connection.getresponse()
        body = response.read()
        assert response.status == 200, body
        return response.getheader("X-Herd-Request-Id") or ""
