"""`herd node` as a process: its banner, its lines, its end, its size."""

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable

import psutil
import pytest

from events import HeartbeatReceived, Limits
from herd.agent.payload import parse_heartbeat
from herd.commands.node import say
from tests.herd.small_server import SmallServer

COMMAND = "import sys; from herd.commands.node import command; sys.argv[0] = 'herd node'; command()"
MB = 1_000_000

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are told otherwise there")


class Agent:
    """The process, and what it has written."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.written = ""

    async def writes(self, words: str) -> None:
        assert self.process.stdout is not None
        async with asyncio.timeout(20):
            while words not in self.written:
                chunk = await self.process.stdout.read(4096)
                assert chunk, f"it ended without {words!r}: {self.written}"
                self.written += chunk.decode()

    async def ends(self) -> int:
        async with asyncio.timeout(10):
            return await self.process.wait()


@contextlib.asynccontextmanager
async def _agent(*arguments: str, **environment: str) -> AsyncGenerator[Agent, None]:
    with tempfile.TemporaryDirectory() as keys:
        own = {"PYTHONUNBUFFERED": "1", "FLEET_NODE_DATA_DIR": keys}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            COMMAND,
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, **own, **environment},
        )
        try:
            yield Agent(process)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.communicate()


def _play(scene: Callable[[SmallServer, SmallServer], Awaitable[None]]) -> None:
    async def play() -> None:
        ollama, balancer = SmallServer(), SmallServer()
        ollama.ollama()
        balancer.answers["/heartbeat"] = (200, {"status": "ok"})
        balancer.answers["/fleet/status"] = (200, {"queues": {}})
        async with ollama.running(), balancer.running():
            await scene(ollama, balancer)

    asyncio.run(play())


def _running(node_id: str, in_flight: int) -> tuple[int, object]:
    return 200, {"queues": {"q": {"node_id": node_id, "in_flight": in_flight}}}


def test_it_says_what_it_is_speaks_and_drains_on_a_signal() -> None:
    async def scene(ollama: SmallServer, balancer: SmallServer) -> None:
        flags = ["--ollama-host", ollama.url, "--node-id", "pytest-node"]
        async with _agent(*flags, "--router-url", balancer.url) as agent:
            await agent.writes("connected to the balancer")
            assert f"Ollama    {ollama.url}" in agent.written
            process = psutil.Process(agent.process.pid)
            assert process.memory_info().rss <= 60 * MB
            assert process.cmdline()[0].startswith("herd: node")

            balancer.answers["/fleet/status"] = _running("pytest-node", 1)
            agent.process.send_signal(signal.SIGTERM)
            await agent.writes("draining: 1 running")
            balancer.answers["/fleet/status"] = _running("pytest-node", 0)
            await agent.writes("drained")
            assert await agent.ends() == 0
        last = parse_heartbeat(balancer.bodies[-1], "127.0.0.1")
        assert isinstance(last, HeartbeatReceived)
        assert (last.node_id, last.url, last.draining) == ("pytest-node", ollama.url, True)

    _play(scene)


def test_a_second_signal_ends_it_at_once() -> None:
    async def scene(ollama: SmallServer, balancer: SmallServer) -> None:
        environment = {
            "FLEET_NODE_OLLAMA_HOST": ollama.url,
            "FLEET_NODE_ROUTER_URL": balancer.url,
            "FLEET_NODE_NODE_ID": "pytest-node",
            "OLLAMA_HOST": "http://127.0.0.1:1",
        }
        async with _agent(**environment) as agent:
            await agent.writes("connected to the balancer")
            balancer.answers["/fleet/status"] = _running("pytest-node", 1)
            agent.process.send_signal(signal.SIGINT)
            await agent.writes("draining: 1 running")
            agent.process.send_signal(signal.SIGINT)
            assert await agent.ends() == 0
            assert "drained" not in agent.written

    _play(scene)


def test_it_ends_while_it_still_looks_for_a_balancer() -> None:
    async def scene(ollama: SmallServer, _balancer: SmallServer) -> None:
        async with _agent("--router-url", "127.0.0.1:1", OLLAMA_HOST=ollama.url) as agent:
            await agent.writes("no balancer at http://127.0.0.1:1: connection refused")
            assert f"Ollama    {ollama.url}" in agent.written
            agent.process.send_signal(signal.SIGTERM)
            assert await agent.ends() == 0

    _play(scene)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--node-id", "a b"], "a node id has 1 to 64"),
        (["--router-url", "ftp://x"], "not an http:// or https:// address"),
        (["--ollama-host", "ftp://x"], "--ollama-host ftp://x"),
        (["--hours", "at night"], "--hours 'at night': no hours"),
    ],
)
def test_what_it_cannot_use_ends_it(flags: list[str], words: str) -> None:
    async def play() -> None:
        async with _agent(*flags) as agent:
            await agent.writes(words)
            assert await agent.ends() == 1

    asyncio.run(play())


def test_what_the_network_says_does_nothing_to_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    say("the balancer refuses this node: 403 \x1b[2J")
    assert capsys.readouterr().err == "herd node: the balancer refuses this node: 403 ?[2J\n"


def test_what_its_owner_lends_is_told_and_shown() -> None:
    async def scene(ollama: SmallServer, balancer: SmallServer) -> None:
        environment = {
            "FLEET_NODE_OLLAMA_HOST": ollama.url,
            "FLEET_NODE_ROUTER_URL": balancer.url,
            "FLEET_NODE_MAX_REQUESTS": "2",
            "FLEET_NODE_MAX_MEMORY_GB": "12.5",
        }
        async with _agent("--hours", "0:00-24:00", **environment) as agent:
            await agent.writes("connected to the balancer")
            assert "0:00-24:00, at most 2 requests at once, models of 12.5 GB" in agent.written
        beat = parse_heartbeat(balancer.bodies[-1], "127.0.0.1")
        assert isinstance(beat, HeartbeatReceived)
        assert beat.limits == Limits(max_requests=2, max_bytes=12_500_000_000)

    _play(scene)
