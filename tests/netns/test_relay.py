"""An Ollama on a machine of its own that listens on loopback only."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.netns.lan import OLLAMA, PORT, Lan, laid, online, stop, until, why_not

HERE = f"http://127.0.0.1:{PORT}"
START_S = 30.0


@pytest.fixture
def lan(tmp_path: Path) -> Iterator[Lan]:
    if reason := why_not():
        pytest.skip(reason)
    with laid(tmp_path) as found:
        yield found


def test_an_ollama_on_loopback_is_used_from_another_machine(lan: Lan, tmp_path: Path) -> None:
    desk = lan.machine("desk", "10.77.0.1/24")
    laptop = lan.machine("laptop", "10.77.0.2/24")
    herd = desk.balancer("--no-mdns")
    laptop.start(
        *(sys.executable, "-m", "herd.simulator", "--profile", "mini", "--name", "laptop"),
        *("--host", "127.0.0.1", "--port", str(OLLAMA), "--step-s", "0", "--answer-tokens", "5"),
    )
    until(lambda: laptop.get(f"http://127.0.0.1:{OLLAMA}/api/tags") is not None, START_S, "Ollama")
    laptop.start(
        *(sys.executable, "-m", "herd", "node", "--node-id", "laptop"),
        *("--data-dir", str(tmp_path / "agent"), "--router-url", f"http://10.77.0.1:{PORT}"),
    )
    until(lambda: online(desk, HERE) == ["laptop"], START_S, "the agent joins")
    assert "the agent relays for this Ollama" in laptop.said()
    assert desk.get(f"http://10.77.0.2:{OLLAMA}/api/tags") is None, "nobody else reaches it"
    asked = {"model": "llama3.2:3b", "prompt": "hello", "stream": False}
    assert desk.get(f"{HERE}/api/generate", asked)["done"] is True

    stop(herd)
    desk.balancer("--no-mdns")
    until(lambda: online(desk, HERE) == ["laptop"], START_S, "the agent is back")
    assert desk.get(f"{HERE}/api/generate", asked)["done"] is True
