"""`herd top`: one screen of what the balancer says, for terminals and for pipes."""

import io
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from rich.console import Console

from herd.commands import top
from herd.commands.top import Status, Trace, screen
from herd.errors import HerdError

FLEET: dict[str, Any] = {
    "nodes": [
        {
            "node_id": "studio[red]\x1b[2J",
            "status": "online",
            "ollama": {"models_loaded": [{"name": "llama3.2:3b", "size_gb": 3.26}]},
        },
        {"node_id": "mini", "status": "offline", "ollama": {"models_loaded": []}},
    ],
    "queues": {
        "a": {
            "node_id": "studio[red]\x1b[2J",
            "model": "llama3.2:3b",
            "in_flight": 2,
            "completed": 11,
            "max_concurrent": 4,
        },
        "*:phi4": {"model": "phi4", "pending": 3, "predicted_wait_s": 12.34},
    },
}
TRACE = Trace(1_795_000_000.0, "llama3.2:3b", "mini", "failed", 12.0, None, 2500.0, 0)


def drawn(status: Status, traces: list[Trace]) -> str:
    out = io.StringIO()
    Console(file=out, width=160).print(screen("http://x", status, traces))
    return out.getvalue()


def test_it_shows_nodes_slots_lines_and_requests() -> None:
    said = drawn(msgspec.convert(FLEET, Status), [TRACE])
    assert "1 of 2 nodes online   2 running   3 waiting" in said
    assert "llama3.2:3b 3.3 GB" in said
    assert "##.." in said
    assert "nothing in memory" in said
    assert "12.3 s" in said
    [line] = [line for line in said.splitlines() if "failed" in line and "mini" in line]
    assert "12 ms" in line
    assert "2.50 s" in line


def test_names_do_nothing_to_the_terminal() -> None:
    said = drawn(msgspec.convert(FLEET, Status), [])
    assert "\x1b" not in said
    assert "studio[red]" in said


def test_a_fleet_without_nodes_is_told_what_to_do() -> None:
    assert "herd node" in drawn(Status(), [])


def test_a_pipe_gets_one_screen_without_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(_: str, path: str) -> bytes:
        return msgspec.json.encode(FLEET if path == "/fleet/status" else {"traces": []})

    monkeypatch.setattr(top, "ask", ask)
    done = CliRunner().invoke(top.command, ["--url", "http://x"])
    assert done.exit_code == 0, done.output
    assert "nodes online" in done.output
    assert "\x1b" not in done.output


def test_without_the_log_the_fleet_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(_: str, path: str) -> bytes:
        if path != "/fleet/status":
            raise HerdError("the log is away")
        return msgspec.json.encode(FLEET)

    monkeypatch.setattr(top, "ask", ask)
    done = CliRunner().invoke(top.command, ["--url", "http://x", "--once"])
    assert "llama3.2:3b" in done.output
