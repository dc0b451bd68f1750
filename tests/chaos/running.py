"""A whole herd as processes, clients that count what they get, and what the log says of it."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from events import Recorded, RequestId, RequestReceived, decode
from herd.analysis import open_log
from herd.http.client import FetchError, fetch
from herd.journal.reader import records
from herd.paths import DataDir
from herd.replay.check import Report, check

ENDED = {
    "RequestCompleted",
    "RequestFailed",
    "RequestCancelled",
    "RequestRejected",
    "RequestReaped",
    "RequestInterrupted",
}
ENDS_WITHIN_S = 12
"""Of a herd that is told to end."""


class Herd:
    """One `herd run`, its processes and its data directory."""

    def __init__(
        self,
        root: Path,
        nodes: list[str],
        *,
        port: int,
        workers: int = 1,
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        before: Sequence[str] = (),
    ) -> None:
        self.directory = DataDir(root)
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._arguments = ["--host", "127.0.0.1", "--port", str(port), "--no-mdns"]
        self._arguments += ["--data-dir", str(root), "--workers", str(workers)]
        for node in nodes:
            self._arguments += ["--node", node]
        self._arguments += options
        self.environment = {"FLEET_LOCAL_OLLAMA": "off", **(environment or {})}
        self._before = before
        """Words before the command: what sets its limits."""
        self._output = root.parent / f"{root.name}.out"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def ended(self) -> bool:
        """Whether `herd run` has ended by itself, or was killed."""
        return self._process is not None and self._process.poll() is not None

    def buried(self) -> None:
        """Wait for the end of a process that was killed."""
        if self._process is not None:
            self._process.wait(timeout=10)

    def start(self) -> None:
        self.buried()
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                [*self._before, sys.executable, "-m", "herd", "run", *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env=os.environ | self.environment,
            )

    async def ready(self, nodes: int, timeout_s: float = 20.0) -> None:
        """Wait until this many nodes are online, and all fronts are there: the banner says so."""
        ends_at = time.monotonic() + timeout_s
        while time.monotonic() < ends_at:
            status = await self.status()
            online = sum(node["status"] == "online" for node in status.get("nodes", []))
            if online >= nodes and "OLLAMA_HOST=" in self._output.read_text():
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"not ready: {self.output()}")

    async def status(self) -> dict[str, Any]:
        try:
            answer = await fetch("GET", f"{self.url}/fleet/status", timeout_s=2.0)
        except FetchError:
            return {}
        return dict(json.loads(answer.body))

    def output(self) -> str:
        tail = ""
        if self.directory.jsonl.exists():
            tail = "\n".join(self.directory.jsonl.read_text().splitlines()[-20:])
        return f"{self._output.read_text()}\n{tail}"

    def pids(self) -> dict[str, int]:
        return dict(json.loads(self.directory.run_file.read_text())["pids"])

    def kill(self, name: str) -> int:
        pid = self.pids()[name]
        os.kill(pid, signal.SIGKILL)
        return pid

    async def replaced(self, name: str, pid: int, timeout_s: float = 10.0) -> int:
        """Wait until a killed child has a successor; return its pid."""
        ends_at = time.monotonic() + timeout_s
        while time.monotonic() < ends_at:
            found = self.pids().get(name, pid)
            if found != pid and psutil.pid_exists(found):
                return found
            await asyncio.sleep(0.02)
        raise AssertionError(f"{name} was not started again: {self.output()}")

    def stop(self) -> None:
        """End it in good order; no process may be left."""
        family = self._family()
        if self._process is not None:
            self._process.terminate()
            for _ in range(ENDS_WITHIN_S):
                self._process.send_signal(signal.SIGCONT)  # it may be stopped, also just now
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(timeout=1)
                    break
            else:
                raise AssertionError(f"told to end, it runs on: {self.output()}")
        _, left = psutil.wait_procs(family, timeout=8)
        for process in left:
            process.kill()
        assert not left, f"still there: {left}: {self.output()}"

    def _family(self) -> list[psutil.Process]:
        family: list[psutil.Process] = []
        if self.directory.run_file.exists():
            for pid in self.pids().values():
                try:
                    family.append(psutil.Process(pid))
                except psutil.NoSuchProcess:
                    continue
        return family


@dataclass
class Stream:
    """What one streaming client got."""

    lines: int = 0
    done: bool = False
    error: str = ""
    status: int = 0
    first_byte_at: float = 0.0
    ended_at: float = 0.0
    started: asyncio.Event = field(default_factory=asyncio.Event)


async def stream(port: int, model: str, tokens: int, seen: Stream) -> None:
    """Ask for a streamed chat and read it to its end, whatever that is."""
    body = json.dumps(
        {
            "model": model,
            "messages": [{"role": "user", "content": "hello"}],
            "options": {"num_predict": tokens},
        }
    ).encode()
    head = f"POST /api/chat HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head + body)
        seen.status = int((await reader.readline()).split()[1])
        while line := await reader.readline():
            if not line.startswith(b"{"):
                continue
            seen.first_byte_at = seen.first_byte_at or time.monotonic()
            seen.started.set()
            seen.lines += 1
            if b'"error"' in line:
                seen.error = line.decode()
            if b'"done":true' in line:
                seen.done = True
                break
        writer.close()
    except (OSError, IndexError, ValueError) as error:
        seen.error = seen.error or repr(error)
    seen.ended_at = time.monotonic()
    seen.started.set()


def journal(directory: DataDir) -> list[Recorded]:
    return list(records(directory.journal))


def unfinished(log: list[Recorded]) -> set[RequestId]:
    """Return the requests that were received and have no end in the log."""
    received = {r.event.request_id for r in log if isinstance(r.event, RequestReceived)}
    ended = {getattr(r.event, "request_id", "") for r in log if type(r.event).__name__ in ENDED}
    return received - ended


def in_duckdb(directory: DataDir) -> tuple[int, int, int, int]:
    """Return count, distinct count, first and last `seq` of what logd moved to its database."""
    import duckdb

    with duckdb.connect(str(directory.database), read_only=True) as log:
        row = log.execute(
            "SELECT count(*), count(DISTINCT seq), min(seq), max(seq) FROM events"
        ).fetchone()
    assert row is not None
    return row[0], row[1], row[2], row[3]


def replayed(directory: DataDir) -> Report:
    with open_log(directory.root) as log:
        rows = log.execute("SELECT payload FROM events ORDER BY seq").fetchall()
    return check(decode(line.encode()) for (line,) in rows)
