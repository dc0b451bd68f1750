"""`herd node` beside a simulated node: it joins, beats, drains, dies."""

import asyncio
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from herd import mdns
from herd.errors import HerdError
from tests.e2e.conftest import HerdsOf, StartHerd
from tests.e2e.herds import Herd, Program
from tests.e2e.nodes import SIMULATED, SMALL, Nodes
from tests.e2e.wire import Call, ask, chat

BEAT_S, DEGRADED_S, OFFLINE_S, HOLD_S = 0.3, 1.0, 2.2, 0.8

StartAgent = Callable[..., Program]


@pytest.fixture(scope="module")
def agents_herd(herds_of: HerdsOf) -> Iterator[Herd]:
    """A balancer without any node, quick to notice silence."""
    with herds_of("agents") as start:
        yield start(
            FLEET_HEARTBEAT_TIMEOUT=str(DEGRADED_S),
            FLEET_HEARTBEAT_OFFLINE=str(OFFLINE_S),
            FLEET_HOLD_TIMEOUT=str(HOLD_S),
        )


@pytest.fixture
def start_agent(tmp_path: Path) -> Iterator[StartAgent]:
    """Start agents that end with the test."""
    with ExitStack() as stack:

        def start(url: str, name: str, *options: str, **environment: str) -> Program:
            words = ["-m", "herd", "node", "--ollama-host", url, "--node-id", name]
            words += ["--heartbeat-interval", str(BEAT_S), *options]
            agent = Program(words, {"FLEET_NODE_DATA_DIR": str(tmp_path / name)} | environment)
            stack.callback(agent.clear)
            return agent

        yield start


def test_an_agent_joins_with_its_name_and_slots_and_beats(
    agents_herd: Herd, pair: Nodes, start_agent: StartAgent
) -> None:
    start_agent(
        pair.url("alpha"), "joins", "--router-url", agents_herd.url, OLLAMA_NUM_PARALLEL="3"
    ).hears("connected to the balancer")
    agents_herd.until(lambda status: status.state_of("joins") == "online")
    answer = ask(agents_herd.url, "/api/chat", chat(SMALL))
    assert (answer.status, answer.node) == (200, "joins")
    assert answer.json["message"]["content"].startswith(f"{SIMULATED} alpha.")
    status = agents_herd.settled()
    (node,) = (node for node in status.nodes if node.node_id == "joins")
    assert (node.origin, node.draining) == ("agent", False)
    assert status.queues[f"joins:{SMALL}"].max_concurrent == 3
    time.sleep(DEGRADED_S + 2 * BEAT_S)  # it would be degraded by now if it had fallen silent
    assert agents_herd.status().state_of("joins") == "online"


def test_a_told_agent_lets_work_finish_and_takes_none(
    agents_herd: Herd, pair: Nodes, start_agent: StartAgent
) -> None:
    agent = start_agent(pair.url("alpha"), "drains", "--router-url", agents_herd.url)
    agents_herd.until(lambda status: status.alive == {"drains"}, 15.0)
    agents_herd.until(lambda status: status.state_of("drains") == "online")
    pair.fault("slow", "alpha", factor=12.0)
    with Call(agents_herd.url, "/api/chat", chat(SMALL, stream=True)) as running:
        assert running.response.headers["X-Fleet-Node"] == "drains"
        agent.send(signal.SIGTERM)
        agent.hears("draining: 1 running, no new work")
        agents_herd.until(lambda status: "drains" in status.draining)
        refused = ask(agents_herd.url, "/api/chat", chat(SMALL))
        assert refused.status == 503
        pair.heal("alpha")
        last = list(running.lines())[-1]
        assert b'"done":true' in last
    agent.hears("drained")
    assert agent.ends() == 0
    agents_herd.until(lambda status: status.state_of("drains") == "offline")


def test_a_killed_agent_is_degraded_then_offline(
    agents_herd: Herd, pair: Nodes, start_agent: StartAgent
) -> None:
    agent = start_agent(pair.url("alpha"), "killed", "--router-url", agents_herd.url)
    agents_herd.until(lambda status: status.state_of("killed") == "online", 15.0)
    agent.send(signal.SIGKILL)
    killed_at = time.monotonic()
    agents_herd.until(lambda status: status.state_of("killed") == "degraded")
    degraded_s = time.monotonic() - killed_at
    agents_herd.until(lambda status: status.state_of("killed") == "offline")
    offline_s = time.monotonic() - killed_at
    assert DEGRADED_S - BEAT_S - 0.1 <= degraded_s < DEGRADED_S + 0.8
    assert OFFLINE_S - BEAT_S - 0.1 <= offline_s < OFFLINE_S + 1.2
    start_agent(pair.url("alpha"), "killed", "--router-url", agents_herd.url)
    agents_herd.until(lambda status: status.state_of("killed") == "online", 15.0)


def test_a_dead_ollama_under_a_live_agent_is_seen_in_one_heartbeat(
    agents_herd: Herd, pair: Nodes, start_agent: StartAgent
) -> None:
    agent = start_agent(pair.url("beta"), "dies", "--router-url", agents_herd.url)
    agents_herd.until(lambda status: status.state_of("dies") == "online", 15.0)
    pair.fault("refuse", "beta")
    try:
        agents_herd.until(lambda status: status.state_of("dies") == "offline", 2 * BEAT_S + 0.5)
        agent.hears("no Ollama at")
    finally:
        pair.heal("beta")
    agents_herd.until(lambda status: status.state_of("dies") == "online", 2 * BEAT_S + 0.7)


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b"hello", b'{"node_id": 5}', b'{"node_id": "a b"}', b"\xff"]
)
def test_garbage_is_no_heartbeat(agents_herd: Herd, body: bytes) -> None:
    before = {node.node_id for node in agents_herd.status().nodes}
    answer = ask(agents_herd.url, "/heartbeat", body)
    assert answer.status == 400
    assert answer.json["error"]
    agents_herd.settled()
    assert {node.node_id for node in agents_herd.status().nodes} == before


@pytest.fixture(scope="session")
def multicast() -> None:
    """Skip where no balancer could be found, or others would be found as well."""

    async def look() -> tuple[bool, list[str]]:
        others = asyncio.ensure_future(mdns.browse(1.0))
        await asyncio.sleep(0)  # it has taken the real name of the service
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(mdns, "SERVICE", "_herd-pytest-e2e._tcp.local.")
            shown = await mdns.advertise(1, name="self", version="0")
            found = await mdns.browse(5.0, settle_s=0.0)
            await shown.close()
        return bool(found), [balancer.name for balancer in await others]

    try:
        works, others = asyncio.run(look())
    except HerdError as error:
        pytest.skip(f"MDNS IS UNTESTED HERE: {error.what}")
    if not works:
        pytest.skip("MDNS IS UNTESTED HERE: this network lets no multicast through")
    if others:
        pytest.skip(f"MDNS IS UNTESTED HERE: there are other balancers: {', '.join(others)}")


@pytest.mark.usefixtures("multicast")
def test_an_agent_finds_the_balancer_by_itself(
    start_herd: StartHerd, pair: Nodes, start_agent: StartAgent
) -> None:
    herd = start_herd(mdns=True)
    agent = start_agent(pair.url("alpha"), "finder")
    agent.hears("connected to the balancer")
    herd.until(lambda status: status.state_of("finder") == "online")
    assert ask(herd.url, "/api/chat", chat(SMALL)).node == "finder"
    assert herd.stop() == 0
    agent.hears("no balancer at")
