"""What loads a balancer: wrk for small requests, and streaming clients that count what they get."""

import array
import asyncio
import json
import re
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import cast
from urllib.parse import urlsplit

import msgspec

from benchmarks.machine import quantile
from benchmarks.upstream import MODEL

SMALL_BODY = json.dumps(
    {
        "model": MODEL,
        "messages": [
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": "Why is the sky blue? " * 8},
        ],
        "stream": False,
    }
)
_SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = assert(io.open("%s", "rb")):read("*a")
function done(summary, latency, requests)
  io.write(string.format('\\n{"requests":%%d,"microseconds":%%d,"p50_us":%%d,"p99_us":%%d,' ..
    '"statuses":%%d,"sockets":%%d}\\n', summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), summary.errors.status,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
"""
_JSON_LINE = re.compile(rb'^\{"requests".*\}$', re.MULTILINE)


class Small(msgspec.Struct):
    """What wrk saw."""

    requests: int
    microseconds: int
    p50_us: int
    p99_us: int
    statuses: int
    """Answers that were not 2xx or 3xx."""
    sockets: int
    """Connections refused, broken, or silent for too long."""

    @property
    def per_s(self) -> float:
        """Requests a second."""
        return self.requests / self.microseconds * 1e6

    @property
    def errors(self) -> int:
        """Everything that went wrong."""
        return self.statuses + self.sockets


async def small(
    url: str,
    folder: Path,
    *,
    connections: int,
    seconds: float,
    path: str = "/api/chat",
    body: str = SMALL_BODY,
) -> Small:
    """Send requests that are not streamed, small unless told, over so many connections at once."""
    script, kept = folder / "small.lua", folder / "small.json"
    kept.write_text(body, encoding="utf-8")
    script.write_text(_SCRIPT % kept, encoding="utf-8")
    program = shutil.which("wrk")
    if program is None:
        raise SystemExit("wrk is missing: apt install wrk")
    process = await asyncio.create_subprocess_exec(
        program,
        "-t1",
        f"-c{connections}",
        f"-d{max(1, round(seconds))}s",
        "--timeout",
        "20s",
        "-s",
        str(script),
        url + path,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    found = _JSON_LINE.search(said)
    if found is None:
        raise RuntimeError(said.decode())
    return msgspec.json.decode(found[0], type=Small)


class Streams(msgspec.Struct):
    """What the streaming clients saw together."""

    tokens: int
    seconds: float
    gap_p50_ms: float
    gap_p99_ms: float
    errors: list[str]
    """Of streams that broke, or were not whole."""

    @property
    def per_s(self) -> float:
        """Tokens a second."""
        return self.tokens / self.seconds


_MARK = b'"done":'


class Client(asyncio.Protocol):
    """One client of one stream: counts lines and the time between arrivals."""

    def __init__(
        self,
        head_and_body: bytes,
        tokens: int,
        gaps: "array.array[float]",
        ended: "asyncio.Future[str]",
    ) -> None:
        """Ask when connected; `ended` gets the error, or nothing."""
        self._request = head_and_body
        self._expected = tokens
        self._gaps = gaps
        self._ended = ended
        self._arrived_s = 0.0
        self._tail = b""
        self.tokens = 0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Count."""
        now_s = perf_counter()  # the loop's own time is in milliseconds
        if self._arrived_s:
            self._gaps.append(now_s - self._arrived_s)
        elif not data.startswith(b"HTTP/1.1 200"):
            self._end(repr(data[:200]))
            return
        self._arrived_s = now_s
        data = self._tail + data
        self.tokens += data.count(_MARK)
        self._tail = data[-len(_MARK) + 1 :]
        if b'"done":true' in data or self.tokens > self._expected:
            self._end("" if self.tokens == self._expected else f"{self.tokens} lines")

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that it broke, if it did."""
        self._end(f"cut after {self.tokens} lines: {exc}")

    def _end(self, error: str) -> None:
        if not self._ended.done():
            self._ended.set_result(error)
        if self.transport is not None:
            self.transport.close()


def stream_request(tokens: int, model: str = MODEL) -> bytes:
    """Return a request for a stream of so many tokens, and the line that ends it."""
    body = json.dumps(
        {
            "model": model,
            "messages": [{"role": "user", "content": "Tell me a story."}],
            "stream": True,
            "options": {"num_predict": tokens},
        }
    ).encode()
    return (
        b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    )


def address(url: str) -> tuple[str, int]:
    """Return host and port of a URL."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


async def streams(url: str, *, count: int, tokens: int, within_s: float = 120.0) -> Streams:
    """Read so many streams at once to their end."""
    loop = asyncio.get_running_loop()
    host, port = address(url)
    gaps = array.array("d")
    request = stream_request(tokens)
    ends: list[asyncio.Future[str]] = [loop.create_future() for _ in range(count)]
    began_s = perf_counter()
    made = [
        await loop.create_connection(partial(Client, request, tokens + 1, gaps, ended), host, port)
        for ended in ends
    ]
    _, late = await asyncio.wait(ends, timeout=within_s)
    errors = [error for ended in ends if ended.done() and (error := ended.result())]
    errors += ["not at its end in time"] * len(late)
    seconds = perf_counter() - began_s
    for transport, _ in made:
        transport.abort()
    return Streams(
        tokens=sum(client.tokens for _, client in made),
        seconds=seconds,
        gap_p50_ms=quantile(gaps, 0.5) * 1e3,
        gap_p99_ms=quantile(gaps, 0.99) * 1e3,
        errors=errors,
    )


def first_error(errors: Sequence[str]) -> str:
    """Return how many went wrong, and the first; nothing if none."""
    return f"{len(errors)}: {errors[0]}" if errors else ""
