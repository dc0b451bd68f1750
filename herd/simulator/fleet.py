"""Simulated nodes as real processes: for `herd demo` and the end-to-end tests.

Each is a `python -m herd.simulator --supervised`. It is ready when it has said its address; it
ends when it is told to, and when this process is gone, however that ended: its stdin is a pipe
whose other end is held here. It has a session of its own, so that Ctrl-C reaches only us.
"""

import asyncio
import contextlib
import sys
from asyncio.subprocess import PIPE, Process
from types import TracebackType
from typing import Protocol, Self

import msgspec

from herd.errors import HerdError
from herd.simulator.faults import Fault

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 3.0


class Order(Protocol):
    """A node to be started as a process that says its address as JSON, and ends with its stdin."""

    @property
    def called(self) -> str:
        """What it is called."""
        ...

    def arguments(self) -> list[str]:
        """Return what follows `python`."""
        ...


class NodeOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A simulated node to be started."""

    profile: str = "studio"
    spec: str = ""
    """A file with a `NodeSpec` as JSON, in place of a profile."""
    name: str = ""
    """Empty: as the profile."""
    host: str = "127.0.0.1"
    port: int = 0
    time_scale: float = 1.0
    parallel: int = 0
    """OLLAMA_NUM_PARALLEL; 0: as the profile."""
    max_queue: int = -1
    """OLLAMA_MAX_QUEUE; below 0: as the profile."""
    step_s: float = -1.0
    """A fixed time for each token, 0 for at once; below 0: as the profile."""
    answer_tokens: int = 0
    """The length of all answers that nobody bounds below it; 0: drawn from the prompt."""
    seed: int = 0
    v1_only: bool = False
    """Without Ollama's own routes."""
    version: str = ""
    """The version it says it has; empty: as the profile."""

    @property
    def called(self) -> str:
        """What it is called."""
        return self.name or self.profile

    def arguments(self) -> list[str]:
        """Return what follows `python`."""
        wanted = {
            "--profile": self.profile,
            "--name": self.called,
            "--host": self.host,
            "--port": str(self.port),
            "--time-scale": str(self.time_scale),
            "--seed": str(self.seed),
        }
        if self.spec:
            wanted["--spec"] = self.spec
        if self.parallel:
            wanted["--parallel"] = str(self.parallel)
        if self.max_queue >= 0:
            wanted["--max-queue"] = str(self.max_queue)
        if self.step_s >= 0:
            wanted["--step-s"] = str(self.step_s)
        if self.version:
            wanted["--server-version"] = self.version
        if self.answer_tokens:
            wanted["--answer-tokens"] = str(self.answer_tokens)
        named = [word for pair in wanted.items() for word in pair]
        flags = ["--json", "--supervised", *(["--v1-only"] if self.v1_only else [])]
        return ["-m", "herd.simulator", *flags, *named]


class _Ready(msgspec.Struct, frozen=True):
    url: str


class NodeProcess:
    """A simulated node that runs."""

    def __init__(self, name: str, url: str, process: Process) -> None:
        """Hold the process and its pipe."""
        self.name = name
        self.url = url
        self._process = process

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process has not ended."""
        return self._process.returncode is None

    def fault(self, fault: Fault) -> None:
        """Make something go wrong there, or heal it, even while nothing listens."""
        if self._process.stdin is not None and not self._process.stdin.is_closing():
            self._process.stdin.write(msgspec.json.encode(fault) + b"\n")

    def kill(self) -> None:
        """End it as a power cut would."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def ended(self) -> int:
        """Wait for its end, and return its exit code."""
        return await self._process.wait()

    async def stop(self) -> None:
        """End it in good order; kill it if that takes too long."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await self._process.wait()
        except TimeoutError:
            self.kill()
            await self._process.wait()


async def start_node(order: Order) -> NodeProcess:
    """Start a node, and wait until it answers."""
    name = order.called
    process = await asyncio.create_subprocess_exec(
        sys.executable, *order.arguments(), stdin=PIPE, stdout=PIPE, start_new_session=True
    )
    line = b""
    try:
        if process.stdout is not None:
            async with asyncio.timeout(START_TIMEOUT_S):
                line = await process.stdout.readline()
        url = msgspec.json.decode(line, type=_Ready).url
    except (TimeoutError, msgspec.MsgspecError, asyncio.CancelledError) as error:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        if isinstance(error, asyncio.CancelledError):
            raise
        raise HerdError(
            f"the node {name} did not start",
            f"see what `python {' '.join(order.arguments()[:-1])}` says",
        ) from error
    return NodeProcess(name, url, process)


class SimulatedFleet:
    """Several nodes, started together and stopped together: `async with SimulatedFleet(...)`."""

    def __init__(self, orders: tuple[Order, ...]) -> None:
        """Name the nodes; nothing is started yet."""
        self.nodes: list[NodeProcess] = []
        self._orders = orders

    async def __aenter__(self) -> Self:
        """Start all of them; if one fails, none is left."""
        starts = (start_node(order) for order in self._orders)
        results = await asyncio.gather(*starts, return_exceptions=True)
        self.nodes = [found for found in results if isinstance(found, NodeProcess)]
        for failed in results:
            if isinstance(failed, BaseException):
                await self.stop()
                raise failed
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop all of them."""
        await self.stop()

    async def stop(self) -> None:
        """Stop all of them at once."""
        await asyncio.gather(*(node.stop() for node in self.nodes))

    def __getitem__(self, name: str) -> NodeProcess:
        """Return the node of that name."""
        return next(node for node in self.nodes if node.name == name)


def demo_orders(time_scale: float = 1.0) -> tuple[NodeOrder, ...]:
    """Return the three unequal nodes of the demo."""
    return tuple(
        NodeOrder(profile=profile, time_scale=time_scale) for profile in ("studio", "tower", "mini")
    )
