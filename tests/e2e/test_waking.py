"""Nodes that sleep, for real: frozen or without power, woken by a packet, and then they answer."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from tests.e2e.conftest import StartHerd
from tests.e2e.herds import Herd, command, until
from tests.e2e.machines import Card, Machine, free_port
from tests.e2e.nodes import SMALL
from tests.e2e.wire import ask, chat

SLEEPER = "dormouse"


@pytest.fixture
def card() -> Iterator[Card]:
    """A network card that is on, whatever its machine does."""
    card = Card()
    yield card
    card.close()


@pytest.fixture
def herd(start_herd: StartHerd, card: Card) -> Herd:
    """A balancer that is quick to notice silence."""
    return start_herd(
        FLEET_HEARTBEAT_TIMEOUT="1.0",
        FLEET_HEARTBEAT_OFFLINE="2.2",
        FLEET_HOLD_TIMEOUT="1.0",
        FLEET_WAKE_TO=card.address,
    )


@pytest.fixture
def machine(tmp_path: Path, herd: Herd) -> Iterator[Machine]:
    """The only one of the fleet."""
    with ExitStack() as stack:
        machine = Machine(tmp_path / "machine", SLEEPER, herd, free_port())
        stack.callback(machine.loses_power)
        stack.callback(machine.wakes)
        herd.until_online(SLEEPER)
        yield machine


def wakes_by_packet(card: Card, machine: Machine) -> threading.Thread:
    def wait() -> None:
        if card.woken.wait(20.0):
            machine.wakes()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_a_request_wakes_the_only_node_that_has_its_model(
    herd: Herd, card: Card, machine: Machine
) -> None:
    machine.sleeps()
    herd.until(lambda status: status.state_of(SLEEPER) == "sleeping", 6.0)
    listed = [model["name"] for model in ask(herd.url, "/api/tags").json["models"]]
    assert SMALL in listed
    assert ask(herd.url, "/api/show", {"model": SMALL}).json["capabilities"]
    health = ask(herd.url, "/dashboard/api/health").json["recommendations"]
    assert not [each for each in health if each["severity"] == "critical"]
    assert not card.packets, "nobody needs it"

    waiting = wakes_by_packet(card, machine)
    answer = ask(herd.url, "/api/chat", chat(SMALL))
    waiting.join()
    assert (answer.status, answer.node) == (200, SLEEPER)
    assert float(answer.headers["x-herd-predicted-wait-s"]) >= 20.0
    assert set(card.packets) == {b"\xff" * 6 + bytes.fromhex("02005e100007") * 16}
    request_id = answer.request_id
    assert until(lambda: "woken" in explained(herd, request_id), 5.0)
    told = explained(herd, request_id)
    assert f"{SLEEPER} is woken" in told
    assert f"no other node that could be asked has {SMALL}" in told
    assert herd.stop() == 0
    assert command("replay", "--check", str(herd.data_dir)).returncode == 0


def explained(herd: Herd, request_id: str) -> str:
    return command("explain", request_id, "--data-dir", str(herd.data_dir)).stdout


def test_one_that_has_lost_its_power_is_started_by_hand(
    herd: Herd, card: Card, machine: Machine
) -> None:
    refused = command("wake", "nobody", "--url", herd.url)
    assert refused.returncode == 1
    assert f"the fleet has: {SLEEPER}" in refused.stderr
    machine.loses_power()
    herd.until(lambda status: status.state_of(SLEEPER) == "sleeping", 6.0)

    def boot() -> None:
        if card.woken.wait(20.0):
            machine.boots()

    thread = threading.Thread(target=boot)
    thread.start()
    woken = command("wake", SLEEPER, "--wait", "--json", "--url", herd.url)
    thread.join()
    assert woken.returncode == 0, woken.stderr
    assert msgspec.json.decode(woken.stdout)["status"] == "online"
    assert ask(herd.url, "/api/chat", chat(SMALL)).node == SLEEPER
    assert "awake" in command("wake", SLEEPER, "--url", herd.url).stdout
