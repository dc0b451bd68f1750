"""An Ollama that nobody but its agent reaches, with real processes."""

import http.client
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from tests.e2e.conftest import StartHerd
from tests.e2e.herds import Herd, Program, command, until
from tests.e2e.nodes import SMALL, Nodes
from tests.e2e.wire import Call, ask, chat

StartAgent = Callable[..., Program]


@pytest.fixture
def start_agent(tmp_path: Path, pair: Nodes) -> Iterator[StartAgent]:
    """Start agents that relay for the node `alpha`, as `lap`."""
    with ExitStack() as stack:

        def start(herd: Herd, *options: str) -> Program:
            words = ["-m", "herd", "node", "--ollama-host", pair.url("alpha"), "--node-id", "lap"]
            words += ["--router-url", herd.url, "--data-dir", str(tmp_path / "lap"), "--relay"]
            agent = Program([*words, "--heartbeat-interval", "0.3", *options], {})
            stack.callback(agent.clear)
            return agent

        yield start


def joined(herd: Herd, start_agent: StartAgent) -> Program:
    agent = start_agent(herd)
    agent.hears("connected to the balancer")
    herd.until_online("lap")
    return agent


def test_all_goes_through_the_agent_and_nothing_listens(
    start_herd: StartHerd, start_agent: StartAgent, pair: Nodes
) -> None:
    herd = start_herd()
    agent = joined(herd, start_agent)
    listening = [
        each
        for each in psutil.Process(agent.pid).net_connections()
        if each.status == psutil.CONN_LISTEN
    ]
    assert not listening
    for _ in range(12):
        answer = ask(herd.url, "/api/chat", chat(SMALL))
        assert (answer.status, answer.node, answer.retries) == (200, "lap", 0)
    assert ask(herd.url, "/api/show", {"model": SMALL}).body == (
        ask(pair.url("alpha"), "/api/show", {"model": SMALL}).body
    )
    made = {"model": "mine:1", "from": SMALL, "stream": False}
    assert ask(herd.url, "/api/create", made).status == 200
    assert until(lambda: "mine:1" in str(ask(herd.url, "/api/tags").json), 10.0), "control looks"
    herd.settled()
    assert agent.stop(signal.SIGTERM) == 0
    assert herd.stop() == 0
    assert command("replay", "--check", str(herd.data_dir)).returncode == 0


def streaming(herd: Herd) -> Call:
    """Return a stream from `lap` that has begun."""
    call = Call(herd.url, "/api/chat", chat(SMALL, stream=True))
    assert call.response.status == 200
    assert next(call.lines())
    return call


def held(pair: Nodes) -> None:
    """Make the node's streams go on for long."""
    pair.fault("slow", "alpha", factor=200.0)


def test_who_leaves_ends_it_and_an_agent_that_dies_breaks_it_off(
    start_herd: StartHerd, start_agent: StartAgent, pair: Nodes
) -> None:
    herd = start_herd()
    agent = joined(herd, start_agent)
    held(pair)
    streaming(herd).leave()
    assert until(lambda: pair.stats("alpha").in_flight == 0, 10.0), "cancelled at the node"
    with streaming(herd) as call:
        agent.stop(signal.SIGKILL)
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            list(call.lines())
    assert until(lambda: pair.stats("alpha").in_flight == 0, 10.0)
    pair.heal("alpha")
    joined(herd, start_agent)
    assert ask(herd.url, "/api/chat", chat(SMALL)).node == "lap"
    herd.settled()


def serves(herd: Herd) -> bool:
    """Whether each of many requests is answered by the relayed node, whichever front takes it."""
    try:
        answers = [ask(herd.url, "/api/chat", chat(SMALL)) for _ in range(8)]
    except (http.client.HTTPException, OSError):
        return False
    return all((answer.status, answer.retries) == (200, 0) for answer in answers)


def test_fronts_that_die_and_a_revoked_key(
    start_herd: StartHerd, start_agent: StartAgent, pair: Nodes
) -> None:
    herd = start_herd()
    agent = joined(herd, start_agent)
    fronts = [each for each in herd.family() if "front" in each.name() or "single" in each.name()]
    assert fronts
    for each in fronts:
        each.kill()
    herd.hears("is started again")
    assert until(lambda: serves(herd), 20.0), herd.tail()
    held(pair)
    with streaming(herd) as call:
        assert command("nodes", "revoke", "lap", "--url", herd.url).returncode == 0
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            list(call.lines())
    agent.hears("was revoked")
    pair.heal("alpha")
