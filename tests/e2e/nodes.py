"""Simulated nodes as processes, for tests that are not coroutines."""

import asyncio
from functools import partial
from types import TracebackType
from typing import Self

import msgspec

from herd.simulator.faults import NONE, Fault, FaultKind, Stats
from herd.simulator.fleet import NodeProcess, Order, SimulatedFleet
from tests.e2e.herds import until
from tests.e2e.wire import ask

SMALL, BIG, MIDDLE, EMBED = "llama3.2:3b", "llama3.3:70b", "qwen2.5:7b", "nomic-embed-text"
SIMULATED = "This is a simulated answer from"


class Nodes:
    """A simulated fleet on a loop of its own, which runs only while it is told something."""

    def __init__(self, *orders: Order) -> None:
        self._runner = asyncio.Runner()
        self._fleet = SimulatedFleet(orders)

    def __enter__(self) -> Self:
        self._runner.run(self._fleet.__aenter__())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._runner.run(self._fleet.stop())
        self._runner.close()

    def __getitem__(self, name: str) -> NodeProcess:
        return self._fleet[name]

    @property
    def names(self) -> list[str]:
        return [node.name for node in self._fleet.nodes]

    def url(self, name: str) -> str:
        return self._fleet[name].url

    def flag(self, name: str, slots: int = 0) -> str:
        """Return what follows `--node`."""
        return f"{self.url(name)},name={name}" + (f",slots={slots}" if slots else "")

    def flags(self, slots: int = 0) -> list[str]:
        return [self.flag(name, slots) for name in self.names]

    def fault(
        self,
        kind: FaultKind,
        *names: str,
        after_tokens: int = 0,
        count: int = 0,
        factor: float = 2.0,
        for_s: float = 0.0,
    ) -> None:
        """Make something go wrong on the named nodes, or on all."""
        fault = Fault(kind=kind, after_tokens=after_tokens, count=count, factor=factor, for_s=for_s)
        self._tell(fault, *names)

    def heal(self, *names: str) -> None:
        self._tell(NONE, *names)

    def stats(self, name: str) -> Stats:
        return msgspec.json.decode(ask(self.url(name), "/sim/stats").body, type=Stats)

    def kill(self, name: str) -> None:
        self._fleet[name].kill()

    def _tell(self, fault: Fault, *names: str) -> None:
        async def tell() -> None:
            for name in names or self.names:
                self._fleet[name].fault(fault)

        self._runner.run(tell())
        for name in names or self.names:
            assert until(partial(_has, self.url(name), fault.kind), 10.0), (
                f"{name} does not take the fault {fault.kind}"
            )


def _has(url: str, kind: str) -> bool:
    """Whether a node knows of its fault: an order takes a moment."""
    try:
        found = msgspec.json.decode(ask(url, "/sim/stats").body, type=Stats)
    except OSError:
        return kind == "refuse"
    return found.fault == kind != "refuse"
