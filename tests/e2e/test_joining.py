"""Agents that sign, for real: the first key of a name keeps it, and a closed fleet stays closed."""

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.conftest import StartHerd
from tests.e2e.herds import Herd, Program, command
from tests.e2e.nodes import SMALL, Nodes
from tests.e2e.wire import ask, chat

StartAgent = Callable[..., Program]


@pytest.fixture
def start_agent(tmp_path: Path, pair: Nodes) -> Iterator[StartAgent]:
    """Start agents called `ada`, each with a key of its own, that end with the test."""
    with ExitStack() as stack:

        def start(herd: Herd, machine: str, *options: str) -> Program:
            words = ["-m", "herd", "node", "--ollama-host", pair.url("alpha"), "--node-id", "ada"]
            words += ["--router-url", herd.url, "--data-dir", str(tmp_path / machine)]
            agent = Program([*words, "--heartbeat-interval", "0.3", *options], {})
            stack.callback(agent.clear)
            return agent

        yield start


def changed(herd: Herd, *words: str) -> str:
    done = command("nodes", *words, "--url", herd.url)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_first_key_of_a_name_keeps_it(start_herd: StartHerd, start_agent: StartAgent) -> None:
    herd = start_herd()
    first = start_agent(herd, "first")
    first.hears("connected to the balancer")
    herd.until_online("ada")
    forged: dict[str, object] = {
        "node_id": "ada",
        "ollama_host": "http://10.6.6.6:11434",
        "ollama": {},
    }
    assert ask(herd.url, "/heartbeat", forged).status == 403
    assert ask(herd.url, "/heartbeat", {"node_id": "ada", "draining": True}).status == 403
    start_agent(herd, "second").hears("another key speaks for 'ada'")
    assert ask(herd.url, "/api/chat", chat(SMALL)).node == "ada"
    assert not herd.status().draining

    assert first.stop(signal.SIGTERM) == 0
    rotated = start_agent(herd, "first", "--rotate-key")
    rotated.hears("the new key of this node is in use")
    herd.until_online("ada")
    changed(herd, "revoke", "ada")
    rotated.hears("was revoked")
    assert not herd.status().nodes
    changed(herd, "approve", "ada")
    herd.until_online("ada")
    assert "pinned" in changed(herd, "list")
    assert herd.stop() == 0
    assert command("replay", "--check", str(herd.data_dir)).returncode == 0


def test_a_fleet_with_a_token_takes_who_knows_it(
    start_herd: StartHerd, start_agent: StartAgent
) -> None:
    herd = start_herd(FLEET_JOIN="token")
    told = command("nodes", "token", "--data-dir", str(herd.data_dir)).stdout.strip()
    assert ask(herd.url, "/heartbeat", {"node_id": "ada", "ollama": {}}).status == 403
    start_agent(herd, "second", "--join-token", "a-guess").hears("herd nodes token")
    start_agent(herd, "first", "--join-token", told).hears("connected to the balancer")
    herd.until_online("ada")
    holding = [
        path
        for path in herd.data_dir.rglob("*")
        if path.is_file() and told.encode() in path.read_bytes()
    ]
    assert [path.name for path in holding] == ["join.token"]


def test_a_fleet_that_asks_takes_who_is_approved(
    start_herd: StartHerd, start_agent: StartAgent
) -> None:
    herd = start_herd(FLEET_JOIN="ask")
    agent = start_agent(herd, "first")
    agent.hears("waits for an operator: `herd nodes approve ada`")
    assert "waits" in changed(herd, "list")
    assert not herd.status().nodes
    changed(herd, "approve", "ada")
    agent.hears("connected to the balancer")
    herd.until_online("ada")
