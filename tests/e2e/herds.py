"""`herd run` and its like as processes of their own, with what they say kept for a failure."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import psutil

from herd.journal.files import RESERVE
from herd.paths import DataDir
from tests.e2e.wire import ask

START_S = 20.0
STOP_S = 10.0
POLL_S = 0.02
SETTLED_LOOKS = 10
TAIL_BYTES = 6_000


class Composition(NamedTuple):
    """How a balancer is put together."""

    name: str
    workers: int
    """0: one process for all."""
    loop: str

    @property
    def environment(self) -> dict[str, str]:
        return {"FLEET_WORKERS": str(self.workers), "FLEET_LOOP": self.loop}


class Queue(msgspec.Struct, kw_only=True):
    """A queue in `/fleet/status`: every field must be there."""

    node_id: str
    model: str
    pending: int
    in_flight: int
    completed: int
    failed: int
    concurrency: int
    max_concurrent: int


class Node(msgspec.Struct, kw_only=True):
    """A node in `/fleet/status`."""

    node_id: str
    status: str
    draining: bool
    origin: str


class Status(msgspec.Struct, kw_only=True):
    """What of `/fleet/status` the tests look at."""

    nodes: list[Node]
    queues: dict[str, Queue]

    def state_of(self, node_id: str) -> str:
        return next((node.status for node in self.nodes if node.node_id == node_id), "unknown")

    @property
    def online(self) -> set[str]:
        return {node.node_id for node in self.nodes if node.status == "online"}

    @property
    def alive(self) -> set[str]:
        return {node.node_id for node in self.nodes if node.status != "offline"}

    @property
    def draining(self) -> set[str]:
        return {node.node_id for node in self.nodes if node.draining}

    @property
    def waiting(self) -> dict[str, int]:
        """Requests without a slot, by model."""
        return {queue.model: queue.pending for queue in self.queues.values() if queue.pending}

    @property
    def in_flight(self) -> int:
        return sum(queue.in_flight for queue in self.queues.values())

    @property
    def idle(self) -> bool:
        return not self.in_flight and not self.waiting


class Program:
    """A process whose words are kept."""

    def __init__(self, arguments: Iterable[str], environment: dict[str, str]) -> None:
        self.said: list[str] = []
        self._process = subprocess.Popen(
            [sys.executable, *arguments],
            env=clean_environment() | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def words(self) -> str:
        return "".join(self.said)

    def hears(self, text: str, within_s: float = START_S) -> str:
        """Wait for a line with this text, and return it."""

        def found() -> str:
            return next((line for line in self.said if text in line), "")

        assert until(lambda: bool(found()) or self._reader_ended, within_s), (
            f"{text!r} was not said in {within_s:g} s: {self.words}"
        )
        assert found(), f"{text!r} was never said: {self.words}"
        return found()

    @property
    def _reader_ended(self) -> bool:
        """Whether nobody is left who could say anything."""
        return not self._reader.is_alive()

    def family(self) -> list[psutil.Process]:
        """Return it and all that it started."""
        own = psutil.Process(self.pid)
        return [own, *own.children(recursive=True)]

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def stop(self, number: signal.Signals = signal.SIGTERM, within_s: float = STOP_S) -> int:
        """Tell it to end, and return its exit code."""
        if self._process.poll() is None:
            self.send(number)
        return self.ends(within_s)

    def ends(self, within_s: float = STOP_S, *, clear: bool = True) -> int:
        """Wait for its end, and return its exit code; leave nothing of it, unless told to."""
        try:
            code = self._process.wait(within_s)
        finally:
            if clear:
                self.clear()
        return code

    def clear(self) -> None:
        """Leave nothing of it, whatever has happened."""
        for process in psutil.process_iter():
            try:
                if os.getsid(process.pid) == self.pid:
                    process.kill()
            except (OSError, psutil.Error):
                continue
        self._process.kill()
        self._process.wait()
        self._reader.join(5)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _read(self) -> None:
        if self._process.stdout is not None:
            self.said.extend(iter(self._process.stdout.readline, ""))


class Herd(Program):
    """One balancer, on a free port unless one is named."""

    def __init__(
        self,
        data_dir: Path,
        composition: Composition,
        nodes: Iterable[str] = (),
        *,
        mdns: bool = False,
        host: str = "127.0.0.1",
        port: int = 0,
        replace: bool = False,
        **environment: str,
    ) -> None:
        self.data_dir = data_dir
        arguments = ["-m", "herd", "run", "--data-dir", str(data_dir), "--host", host]
        arguments += ["--port", str(port), *([] if mdns else ["--no-mdns"])]
        arguments += ["--replace"] if replace else []
        for node in nodes:
            arguments += ["--node", node]
        super().__init__(arguments, composition.environment | environment)
        self.url = ""

    def clear(self) -> None:
        """Leave nothing of it, and no room for a full disk: a thousand such rooms fill one."""
        super().clear()
        (DataDir(self.data_dir).journal / RESERVE).unlink(missing_ok=True)

    def comes_up(self) -> None:
        """Wait for the address that it says."""
        line = self.hears("  http://")
        self.url = "http://127.0.0.1:" + line.strip().rpartition(":")[2]

    def status(self) -> Status:
        return msgspec.json.decode(ask(self.url, "/fleet/status").body, type=Status)

    def until(self, true: Callable[[Status], bool], within_s: float = 5.0) -> Status:
        """Wait until this holds for its status."""
        seen = self.status()
        assert until(lambda: true(self.status()), within_s), (
            f"not true in {within_s:g} s: at first {seen}, now {self.status()}"
        )
        return self.status()

    def settled(self) -> Status:
        """Wait until it is idle and its status stays the same: it is told ten times a second."""
        seen: list[Status] = []

        def same() -> bool:
            seen.append(self.status())
            before = seen[-SETTLED_LOOKS:]
            return len(before) == SETTLED_LOOKS and all(each == seen[-1] for each in before)

        assert until(lambda: same() and seen[-1].idle, 10.0), f"it does not settle: {seen[-1]}"
        return seen[-1]

    def until_online(self, *names: str) -> None:
        self.until(lambda status: status.online >= set(names), 15.0)

    def sql(self, query: str) -> list[dict[str, Any]]:
        """Ask its log by `herd sql`."""
        rows: list[dict[str, Any]] = msgspec.json.decode(
            command("sql", "--json", "--data-dir", str(self.data_dir), query).stdout
        )
        return rows

    def tail(self) -> str:
        """Return what it said, and the end of its log file."""
        try:
            log = (self.data_dir / "logs" / "herd.jsonl").read_bytes()[-TAIL_BYTES:].decode()
        except OSError as error:
            log = str(error)
        return f"{self.words}\n--- the end of herd.jsonl\n{log}"


def command(*arguments: str, timeout_s: float = 150.0) -> subprocess.CompletedProcess[str]:
    """Run a command of herd to its end."""
    return subprocess.run(
        [sys.executable, "-m", "herd", *arguments],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def clean_environment() -> dict[str, str]:
    """Return this process's environment without any setting of herd or Ollama."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("FLEET_", "OLLAMA_"))}
    return kept | {"FLEET_LOCAL_OLLAMA": "off", "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"}


def until(true: Callable[[], bool], within_s: float) -> bool:
    """Wait until this holds; return whether it did in time."""
    ends = time.monotonic() + within_s
    while not true():
        if time.monotonic() > ends:
            return False
        time.sleep(POLL_S)
    return True


def running(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Return those that have not ended; in a container nobody may bury a zombie."""
    return [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
