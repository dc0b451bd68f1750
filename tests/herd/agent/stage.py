"""An agent between a small Ollama and a small balancer, on real sockets."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable

import msgspec

from events import HeartbeatReceived, Limits, NodeFacts
from herd.agent.heartbeat import Agent, Terms
from herd.agent.keypair import Keypair
from herd.agent.payload import parse_heartbeat
from herd.agent.search import Search
from herd.mdns import Balancer
from herd.tasks import spawn
from tests.herd.small_server import SmallServer

MACHINE = NodeFacts(agent_version="0.1.0", slots=4, cores=8, memory_bytes=2**34, vram_bytes=2**33)
QUICK = Terms(
    node_id="studio",
    ollama_url="",
    interval_s=0.02,
    ollama_timeout_s=0.2,
    timeout_s=1.0,
    browse_s=0.01,
    drain_s=5.0,
    drain_poll_s=0.01,
)


class Stage:
    """An Ollama, a balancer, and an agent between them."""

    def __init__(self, ollama: SmallServer, balancer: SmallServer) -> None:
        self.ollama = ollama
        self.balancer = balancer
        self.balancers: list[Balancer] = []
        self.said: list[str] = []
        self.lent = Limits()
        self._speaking = asyncio.Event()
        self.agent = self.with_terms()

    def with_terms(self, keys: Keypair | None = None, **terms: object) -> Agent:
        given = {"ollama_url": self.ollama.url, "router_url": self.balancer.url} | terms
        self.agent = Agent(
            msgspec.structs.replace(QUICK, **given),
            MACHINE,
            Search(self._browse, self.say),
            self.say,
            lambda: self.lent,
            keys=keys,
        )
        return self.agent

    def say(self, line: str) -> None:
        self.said.append(line)
        self._speaking.set()

    async def hears(self, words: str, times: int = 1) -> str:
        """Wait until the agent has said something with these words so often."""
        async with asyncio.timeout(5):
            while len(found := [line for line in self.said if words in line]) < times:
                self._speaking.clear()
                await self._speaking.wait()
        return found[-1]

    async def beats(self, more: int = 1, *, at: SmallServer | None = None) -> HeartbeatReceived:
        """Wait for that many more heartbeats; return the last."""
        balancer = at or self.balancer
        await balancer.asked_times("/heartbeat", balancer.asked.count("/heartbeat") + more)
        beat = parse_heartbeat(balancer.bodies[-1], "127.0.0.1")
        assert isinstance(beat, HeartbeatReceived)
        return beat

    @contextlib.asynccontextmanager
    async def living(self) -> AsyncGenerator[None, None]:
        task = spawn(self.agent.run(), name="agent")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})
            assert task.cancelled()

    async def _browse(self, _timeout_s: float) -> tuple[Balancer, ...]:
        await asyncio.sleep(0)
        return tuple(self.balancers)


def play(scene: Callable[[Stage], Awaitable[None]]) -> None:
    async def on_stage() -> None:
        ollama, balancer = SmallServer(), SmallServer()
        ollama.ollama()
        balancer.answers["/heartbeat"] = (200, {"status": "ok"})
        async with ollama.running(), balancer.running():
            await scene(Stage(ollama, balancer))

    asyncio.run(on_stage())
