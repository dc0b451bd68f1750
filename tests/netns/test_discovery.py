"""Agents and balancers on machines of their own: how they find one another, and again."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.netns.lan import PORT, Lan, Machine, laid, online, stop, until, why_not

HERE = f"http://127.0.0.1:{PORT}"
START_S = 30.0
AGAIN_S = 15.0


@pytest.fixture
def lan(tmp_path: Path) -> Iterator[Lan]:
    if reason := why_not():
        pytest.skip(reason)
    with laid(tmp_path) as found:
        yield found


def joined(lan: Lan) -> tuple[Machine, Machine, subprocess.Popen[bytes]]:
    """Return a desk with a balancer, a studio whose agent has found it, and the balancer."""
    desk = lan.machine("desk", "10.77.0.1/24")
    studio = lan.machine("studio", "10.77.0.2/24")
    herd = desk.balancer()
    studio.agent()
    until(lambda: online(desk, HERE) == ["studio"], START_S, "the agent joins")
    return desk, studio, herd


def test_an_agent_finds_the_balancer_and_is_asked(lan: Lan) -> None:
    joined(lan)
    phone = lan.machine("phone", "10.77.0.3/24")
    asked = {"model": "llama3.2:3b", "prompt": "hello", "stream": False}
    answer = phone.get(f"http://10.77.0.1:{PORT}/api/generate", asked)
    assert answer["done"] is True


def test_an_agent_that_was_there_before_the_balancer(lan: Lan) -> None:
    desk = lan.machine("desk", "10.77.0.1/24")
    studio = lan.machine("studio", "10.77.0.2/24")
    studio.agent()
    until(lambda: "still looking" in studio.said(), START_S, "the agent says that it looks")
    desk.balancer()
    until(lambda: online(desk, HERE) == ["studio"], START_S, "the agent joins")


def test_a_balancer_that_starts_again(lan: Lan) -> None:
    desk, studio, herd = joined(lan)
    stop(herd)
    until(lambda: "no balancer at" in studio.said(), START_S, "the agent misses it")
    desk.balancer()
    connected = "connected to the balancer"
    until(lambda: studio.said().count(connected) == 2, AGAIN_S, "the agent is back")
    assert online(desk, HERE) == ["studio"]


def test_a_balancer_that_moved_to_another_machine(lan: Lan) -> None:
    _, _, herd = joined(lan)
    shelf = lan.machine("shelf", "10.77.0.4/24")
    stop(herd)
    shelf.balancer()
    until(lambda: online(shelf, HERE) == ["studio"], START_S, "the agent joins the new one")


def test_a_balancer_with_a_new_address_while_all_are_up(lan: Lan) -> None:
    desk, studio, _ = joined(lan)
    desk.ip(*["address", "del", "10.77.0.1/24", "dev", "eth0"])
    desk.ip(*["address", "add", "10.77.0.101/24", "dev", "eth0"])
    desk.ip(*["route", "replace", "224.0.0.0/4", "dev", "eth0"])
    until(lambda: "http://10.77.0.101:11435" in studio.said(), AGAIN_S, "the agent finds it again")
    until(lambda: online(desk, HERE) == ["studio"], 5.0, "the node counts as online")


def test_an_agent_with_a_new_address(lan: Lan) -> None:
    desk, studio, _ = joined(lan)
    studio.ip(*["address", "del", "10.77.0.2/24", "dev", "eth0"])
    studio.ip(*["address", "add", "10.77.0.102/24", "dev", "eth0"])
    studio.ip(*["route", "replace", "224.0.0.0/4", "dev", "eth0"])

    def moved() -> bool:
        status = desk.get(f"{HERE}/fleet/status")
        return [node["ollama_url"] for node in status["nodes"]] == ["http://10.77.0.102:11434"]

    until(moved, AGAIN_S, "the node is known at its new address")
    asked = {"model": "llama3.2:3b", "prompt": "hello", "stream": False}
    until(lambda: desk.get(f"{HERE}/api/generate", asked) is not None, AGAIN_S, "it answers")


@pytest.mark.parametrize("host_name", ["shelf", "desk"])
def test_two_balancers_on_one_network(lan: Lan, host_name: str) -> None:
    desk = lan.machine("desk", "10.77.0.1/24")
    shelf = lan.machine("shelf", "10.77.0.4/24")
    studio = lan.machine("studio", "10.77.0.2/24")
    shelf.host_name = host_name
    desk.balancer()
    shelf.balancer()
    until(lambda: "2 balancers" in desk.herd("doctor"), START_S, "both can be found")
    studio.agent()
    until(lambda: "also here" in studio.said(), START_S, "the agent says that there are two")
    until(
        lambda: sorted([online(desk, HERE), online(shelf, HERE)]) == [[], ["studio"]],
        START_S,
        "it joins one of them",
    )


def test_of_several_addresses_one_that_can_be_reached_is_taken(lan: Lan) -> None:
    desk = lan.machine("desk", "10.88.0.1/24", switch="sw1")
    lan.plug(desk, "eth1", "10.77.0.1/24", "fd77::1/64")
    studio = lan.machine("studio", "10.77.0.2/24")
    desk.balancer()
    studio.agent()
    until(lambda: online(desk, HERE) == ["studio"], START_S, "the agent joins")
    assert "http://10.77.0.1:11435" in studio.said()


def test_a_network_of_ipv6_only(lan: Lan) -> None:
    desk = lan.machine("desk", "fd77::1/64")
    studio = lan.machine("studio", "fd77::2/64")
    desk.balancer()
    studio.agent()
    until(lambda: online(desk, HERE) == ["studio"], START_S, "the agent joins")
    asked = {"model": "llama3.2:3b", "prompt": "hello", "stream": False}
    assert studio.get(f"http://[fd77::1]:{PORT}/api/generate", asked)["done"] is True


def test_a_doctor_sees_that_multicast_is_blocked(lan: Lan) -> None:
    desk = lan.machine("desk", "10.77.0.1/24")
    studio = lan.machine("studio", "10.77.0.2/24")
    desk.run("nft", "add table inet wall")
    desk.run("nft", "add chain inet wall in { type filter hook input priority 0 ; }")
    desk.run("nft", "add rule inet wall in udp dport 5353 drop")
    desk.balancer()
    until(lambda: desk.get(f"{HERE}/healthz") is not None, START_S, "it is up")
    told = desk.herd("doctor")
    assert "multicast is blocked" in told
    assert "--router-url" in told

    studio.agent("--router-url", "http://10.77.0.1:11435")
    until(lambda: online(desk, HERE) == ["studio"], START_S, "the flag is the way out")


needs_avahi = pytest.mark.skipif(
    shutil.which("avahi-daemon") is None or shutil.which("avahi-publish") is None,
    reason="needs avahi: apt-get install avahi-daemon avahi-utils",
)


@needs_avahi
def test_avahi_sees_a_balancer(lan: Lan) -> None:
    desk = lan.machine("desk", "10.77.0.1/24")
    other = lan.machine("other", "10.77.0.5/24")
    desk.balancer()
    until(lambda: "found desk" in desk.herd("doctor"), START_S, "it can be found")
    other.avahi()
    browse = ("avahi-browse", "--resolve", "--parsable", "--terminate", "_fleet-manager._tcp")

    def seen() -> bool:
        found = [line.split(";") for line in other.run(*browse).stdout.splitlines()]
        return any(
            line[0] == "=" and (line[3], line[7], line[8]) == ("desk", "10.77.0.1", str(PORT))
            for line in found
        )

    until(seen, START_S, "avahi resolves it")


@needs_avahi
def test_an_agent_finds_what_avahi_says(lan: Lan) -> None:
    desk = lan.machine("desk", "10.77.0.1/24")
    studio = lan.machine("studio", "10.77.0.2/24")
    desk.balancer("--no-mdns")
    desk.avahi()
    desk.start("avahi-publish", "--service", "from avahi", "_fleet-manager._tcp", str(PORT))
    studio.agent()
    until(lambda: online(desk, HERE) == ["studio"], START_S, "the agent joins")
    assert "from avahi" in studio.said()


@needs_avahi
def test_herd_and_avahi_share_a_machine(lan: Lan) -> None:
    desk = lan.machine("desk", "10.77.0.1/24")
    studio = lan.machine("studio", "10.77.0.2/24")
    desk.avahi()
    studio.avahi()
    desk.balancer()
    studio.agent()
    until(lambda: online(desk, HERE) == ["studio"], START_S, "the agent joins")
