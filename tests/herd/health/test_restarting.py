"""What is told of starting Ollama again fits the machine, as far as that is known."""

import msgspec
import pytest

from events import NodeFacts
from herd.health import report
from herd.health.picture import Picture
from herd.health.restarting import restart
from tests.herd.health.test_checks import fleet, pace, trouble
from tests.herd.http.fleet import node_view

LINUX, MACOS, WINDOWS = "systemctl", "menu bar", "task bar"
NONE: set[str] = set()
APPLE = NodeFacts(arch="apple_silicon", chip="Apple M2 Ultra")


def on(facts: NodeFacts, picture: Picture) -> Picture:
    return msgspec.structs.replace(picture, view=fleet(node_view("a", facts=facts)).view)


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        (APPLE, {MACOS}),
        (NodeFacts(arch="arm64", chip="Apple M1"), {MACOS}),
        (NodeFacts(arch="x86_64", chip="AMD Ryzen 9"), {LINUX, MACOS, WINDOWS}),
        (NodeFacts(), {LINUX, MACOS, WINDOWS}),
        (NodeFacts(dialect="openai"), NONE),
    ],
)
def test_it_is_worded_for_the_system_of_the_node(facts: NodeFacts, told: set[str]) -> None:
    words = restart(fleet(node_view("a", facts=facts)), "a")
    assert {each for each in (LINUX, MACOS, WINDOWS) if each in words} == told
    assert ("Ollama" in words) == bool(told)


def test_nodes_of_which_one_is_not_known_are_told_of_all_systems() -> None:
    picture = fleet(node_view("a", facts=APPLE), node_view("b"))
    assert LINUX not in restart(picture, "a")
    assert LINUX in restart(picture, "a", "b")
    assert LINUX in restart(picture, "gone")


@pytest.mark.parametrize(
    "picture",
    [
        trouble("attempt_failed", phase="first_byte", fault="node", events=5),
        trouble("request_reaped"),
        trouble("request_stalled"),
        pace(now=5),
    ],
)
def test_no_check_tells_a_mac_of_systemd(picture: Picture) -> None:
    [words] = [each.fix for each in report.findings(on(APPLE, picture)) if MACOS in each.fix]
    assert LINUX not in words
    assert any(LINUX in each.fix for each in report.findings(picture))
