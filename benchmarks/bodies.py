"""Large bodies beside others: requests of 1 MB and 10 MB, as those with images are.

`python -m benchmarks.bodies` is the node that takes them: it counts a body and lets it go, so that
it is never what is measured. The answers are small.
"""

import argparse
import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Final, cast

import msgspec

from benchmarks import loads
from benchmarks.machine import settled, table, tree_cpu_s
from benchmarks.targets import OPENAI_PATH, Target
from benchmarks.upstream import MODEL, OPENAI_ANSWER, PAGES, SMALL_ANSWER, page
from herd.platform import run_loop, set_title

SIZES_MB: Final = (1, 10)
CONNECTIONS: Final = 4
_LENGTH: Final = b"\r\ncontent-length:"


class BodyFigures(msgspec.Struct):
    """Large requests through one target, once."""

    per_s: float
    p50_ms: float
    cpu_ms: float
    """A request."""
    errors: int


class Node(asyncio.Protocol):
    """One connection to the node: one request after the other, bodies with a length."""

    def __init__(self) -> None:
        """Wait for a head."""
        self._head = b""
        self._path = ""
        self._left_bytes = -1
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Read a head, or count the body; answer at its end."""
        while data:
            if self._left_bytes < 0:
                self._head += data
                head, found, data = self._head.partition(b"\r\n\r\n")
                if not found:
                    return
                self._head = b""
                self._path = head.split(b" ", 2)[1].decode()
                length = head.lower().partition(_LENGTH)[2].partition(b"\r\n")[0]
                self._left_bytes = int(length or 0)
            taken = min(self._left_bytes, len(data))
            self._left_bytes -= taken
            data = data[taken:]
            if not self._left_bytes:
                self._left_bytes = -1
                self._answer()

    def _answer(self) -> None:
        told = OPENAI_ANSWER if self._path == OPENAI_PATH else SMALL_ANSWER
        if self._transport is not None:
            self._transport.write(page(PAGES.get(self._path, told)))


def large_body(size_bytes: int) -> str:
    """Return the body of a chat with one image of that size."""
    image = "iVBORw0KGgoAAAANSUhEUgAA" * (size_bytes // 24)
    said = {"role": "user", "content": "What is on this picture?", "images": [image]}
    return json.dumps({"model": MODEL, "messages": [said], "stream": False})


@contextlib.asynccontextmanager
async def node() -> AsyncIterator[Target]:
    """Run the node that takes large bodies."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.bodies", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), 10)
        yield Target("direct", json.loads(line)["url"], process.pid)
    finally:
        process.terminate()
        await process.wait()


async def measure(
    found: Sequence[Target], folder: Path, *, rounds: int, seconds: float
) -> dict[str, dict[str, list[BodyFigures]]]:
    """Measure every target in turn, round after round, size after size."""
    figures: dict[str, dict[str, list[BodyFigures]]] = {}
    for size_mb in SIZES_MB:
        body = large_body(size_mb * 1_000_000)
        of_size = figures.setdefault(f"{size_mb} MB", {})
        for _ in range(rounds):
            for target in found:
                of_size.setdefault(target.name, []).append(
                    await _one(target, folder, body, seconds)
                )
    return figures


async def _one(target: Target, folder: Path, body: str, seconds: float) -> BodyFigures:
    await settled(target.pid)
    used_s = tree_cpu_s(target.pid)
    seen = await loads.small(
        target.url,
        folder,
        connections=CONNECTIONS,
        seconds=seconds,
        path=target.path,
        body=body,
    )
    await settled(target.pid)
    used_s = tree_cpu_s(target.pid) - used_s
    return BodyFigures(
        per_s=seen.per_s,
        p50_ms=seen.p50_us / 1e3,
        cpu_ms=used_s / max(1, seen.requests) * 1e3,
        errors=seen.errors,
    )


def shown(size: str, figures: dict[str, list[BodyFigures]], median: Callable[..., float]) -> str:
    """Return the table of one size."""
    of_nginx = median([one.per_s for one in figures.get("nginx", figures["direct"])])
    rows: list[list[str | float]] = []
    for name, rounds in figures.items():
        per_s = median([one.per_s for one in rounds])
        rows.append(
            [
                name,
                per_s,
                f"{per_s / of_nginx:.2f}",
                median([one.p50_ms for one in rounds]),
                median([one.cpu_ms for one in rounds]),
                sum(one.errors for one in rounds),
            ]
        )
    head = ("", "requests/s", "x nginx", "p50 ms", "CPU ms / request", "errors")
    return table(f"Requests of {size}, {CONNECTIONS} at once", head, rows)


async def serve() -> None:
    """Serve until the process is ended."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Node, "127.0.0.1", 0, backlog=4096)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    print(json.dumps({"url": url}), flush=True)
    await server.serve_forever()


def main() -> None:
    """Be the node."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    set_title("node for bodies")
    run_loop(serve())


if __name__ == "__main__":
    main()
