"""A client leaves: how long until its node's connection is closed, and its slot is someone else's.

A node with one slot, scripted by this process, so that one clock sees everything. In every round
the client that holds the slot leaves while another waits: measured are the end of the upstream
connection, and the arrival of the waiting request at the node. For a request that leaves while it
waits in the queue there is no upstream: measured is the instant of `RequestCancelled` in the log,
and the node must never see it.
"""

import argparse
import asyncio
import contextlib
import json
import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import cast

import msgspec

from benchmarks import targets
from benchmarks.loads import address
from benchmarks.machine import Json, begin, publish, quantile, table
from benchmarks.upstream import MODEL, PAGES, STREAM_HEAD, TOKEN, page, request_of
from events import RequestCancelled
from herd.clock import wall_s
from herd.platform import run_loop
from tests.chaos.running import journal

WITHIN_S = 5.0
TARGET_MS = 50.0


class Held(asyncio.Protocol):
    """A connection at the node: requests for a model stay unanswered until the script says so."""

    def __init__(self, arrived: Callable[["Held"], None]) -> None:
        """Tell of requests for a model."""
        self._arrived = arrived
        self._data = b""
        self._transport: asyncio.Transport | None = None
        self.mark = ""
        self.at_s = 0.0
        self.closed: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer what is no request for a model; tell of the rest."""
        self._data += data
        while (found := request_of(self._data)) is not None:
            path, body, self._data = found
            if path in PAGES:
                self.write(page(PAGES[path]))
            else:
                self.at_s = perf_counter()
                self.mark = str(json.loads(body)["mark"])
                self._arrived(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note when."""
        del exc
        if not self.closed.done():
            self.closed.set_result(perf_counter())

    def write(self, data: bytes) -> None:
        """Send something."""
        assert self._transport is not None
        self._transport.write(data)


class Node:
    """The scripted node."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self.seen: dict[str, asyncio.Future[Held]] = {}
        self.url = ""

    async def start(self) -> None:
        """Listen."""
        make = partial(Held, self._arrived)
        server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def arrival(self, mark: str) -> Held:
        """Return the connection on which a request comes."""
        return await asyncio.wait_for(self._expected(mark), WITHIN_S)

    def _expected(self, mark: str) -> "asyncio.Future[Held]":
        return self.seen.setdefault(mark, asyncio.get_running_loop().create_future())

    def _arrived(self, held: Held) -> None:
        expected = self._expected(held.mark)
        if not expected.done():
            expected.set_result(held)


class Client:
    """A connection to herd with one request on it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Keep both ends."""
        self.reader = reader
        self._writer = writer

    @classmethod
    async def ask(cls, url: str, mark: str, *, stream: bool) -> "Client":
        """Send a request."""
        reader, writer = await asyncio.open_connection(*address(url))
        body = json.dumps({"model": MODEL, "messages": [], "stream": stream, "mark": mark}).encode()
        head = b"POST /api/chat HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
        writer.write(head + body)
        return cls(reader, writer)

    def leave(self, *, rudely: bool) -> float:
        """Go away, by FIN or by RST; return when."""
        now_s = perf_counter()
        if rudely:
            self._writer.transport.abort()
        else:
            self._writer.close()
        return now_s


class Left(msgspec.Struct):
    """Times after clients left, in milliseconds."""

    closed_ms: list[float] = []
    """Until the node's connection was closed."""
    granted_ms: list[float] = []
    """Until the waiting request reached the node."""
    recorded_ms: list[float] = []
    """Until `RequestCancelled` was recorded."""


async def leaves(node: Node, url: str, mark: str, how: str, *, rudely: bool, left: Left) -> None:
    """Leave while holding the only slot, `how` far the answer has come."""
    stream = "not streamed" not in how
    holder = await Client.ask(url, f"{mark}-a", stream=stream)
    held = await node.arrival(f"{mark}-a")
    if "first byte" not in how:
        data = page("x" * 4096)[:-2048] if not stream else STREAM_HEAD + TOKEN * 3
        held.write(data)
        await asyncio.wait_for(holder.reader.readuntil(b"\r\n\r\n"), WITHIN_S)
    waiter = await Client.ask(url, f"{mark}-b", stream=False)
    await asyncio.sleep(0.01)  # until it waits in the queue
    at_s = holder.leave(rudely=rudely)
    left.closed_ms.append((await asyncio.wait_for(held.closed, WITHIN_S) - at_s) * 1e3)
    freed = await node.arrival(f"{mark}-b")
    left.granted_ms.append((freed.at_s - at_s) * 1e3)
    freed.write(page("{}"))
    await asyncio.wait_for(waiter.reader.readuntil(b"{}"), WITHIN_S)
    waiter.leave(rudely=False)


async def leaves_queue(
    node: Node, url: str, mark: str, *, rudely: bool, left_at: list[int]
) -> None:
    """Leave while waiting behind another."""
    holder = await Client.ask(url, f"{mark}-a", stream=False)
    held = await node.arrival(f"{mark}-a")
    waiter = await Client.ask(url, f"{mark}-b", stream=True)
    behind = await Client.ask(url, f"{mark}-c", stream=False)
    await asyncio.sleep(0.01)
    left_at.append(round(wall_s() * 1e6))
    waiter.leave(rudely=rudely)
    await asyncio.sleep(0.02)
    held.write(page("{}"))
    last = await node.arrival(f"{mark}-c")
    assert f"{mark}-b" not in node.seen, "a request that had left was sent"
    last.write(page("{}"))
    for client in (holder, behind):
        await asyncio.wait_for(client.reader.readuntil(b"{}"), WITHIN_S)
        client.leave(rudely=False)


HOLDING = (
    "waiting for the first byte, streamed",
    "waiting for the first byte, not streamed",
    "in mid-answer, streamed",
    "in mid-answer, not streamed",
)


async def measure(times: int, *, keep: bool) -> None:
    """Measure, show and keep all of it."""
    result: dict[str, Json] = {"machine": begin("disconnect"), "target_ms": TARGET_MS}
    found = {how: Left() for how in (*HOLDING, "queued")}
    left_at: list[int] = []
    node = Node()
    await node.start()
    with tempfile.TemporaryDirectory() as name:
        async with targets.herd(Path(name), [node.url], slots=1) as herd:
            for turn in range(times):
                rudely = bool(turn % 2)
                for number, how in enumerate(HOLDING):
                    mark = f"{turn}-{number}"
                    await leaves(node, herd.url, mark, how, rudely=rudely, left=found[how])
                await leaves_queue(node, herd.url, f"{turn}-q", rudely=rudely, left_at=left_at)
            assert herd.herd is not None
        cancelled_us = [
            record.recorded_at
            for record in journal(herd.herd.directory)
            if isinstance(record.event, RequestCancelled) and record.event.phase == "queue"
        ]
    assert len(cancelled_us) == len(left_at), (len(cancelled_us), len(left_at))
    found["queued"].recorded_ms = [
        (us - at_us) / 1e3 for us, at_us in zip(cancelled_us, left_at, strict=True)
    ]
    print(table("A client leaves (every second one by RST), ms until ...", HEAD, _rows(found)))
    every = [ms for left in found.values() for ms in left.granted_ms + left.recorded_ms]
    print(f"\n{len(every)} slots freed: p95 {quantile(every, 0.95):.2f} ms; target {TARGET_MS} ms")
    result["left"] = msgspec.to_builtins(found)
    publish("disconnect", result, keep=keep)


HEAD = ("when", "what", "times", "mean", "p50", "p95", "max")


def _rows(found: dict[str, Left]) -> list[list[str | float]]:
    rows: list[list[str | float]] = []
    for how, left in found.items():
        for what, values in (
            ("upstream closed", left.closed_ms),
            ("slot granted", left.granted_ms),
            ("cancelled recorded", left.recorded_ms),
        ):
            if values:
                some: list[float] = [statistics.fmean(values), quantile(values, 0.5)]
                some += [quantile(values, 0.95), max(values)]
                rows.append([how, what, float(len(values)), *some])
    return rows


def main(arguments: list[str] | None = None) -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.disconnect", description=__doc__)
    parser.add_argument("--times", type=int, default=60)
    parser.add_argument("--quick", action="store_true", help="a few, nothing kept")
    told = parser.parse_args(arguments)
    with contextlib.suppress(KeyboardInterrupt):
        run_loop(measure(3 if told.quick else told.times, keep=not told.quick))


if __name__ == "__main__":
    main()
