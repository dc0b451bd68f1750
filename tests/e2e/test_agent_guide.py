"""The guide for an agent that operates herd: what it says to type is typed, and only reads."""

import os
import subprocess
import sys

import pytest

from tests.architecture.tree import ROOT
from tests.docs import markdown
from tests.e2e.herds import Herd, clean_environment, until
from tests.e2e.nodes import SMALL
from tests.e2e.wire import ask, chat

GUIDE = ROOT / "docs" / "agents" / "SKILL.md"
COMMANDS = markdown.commands(GUIDE)
AN_ID = "01a20aed"
CHANGES = (
    "pull",
    "rm",
    "drain",
    "undrain",
    "pin",
    "unpin",
    "run",
    "node",
    "demo",
    "-X",
    "POST",
    "DELETE",
    "--yes",
)
EXPECTED = {
    "herd status": "studio",
    "herd top": "nodes online",
    "herd explain": "CANDIDATE",
    "herd log 0": "request_completed",
    "herd sql": SMALL,
    "herd where": "log_file",
    "readyz": '"status":"ready"',
    "health": "health_score",
    "traces": '"request_id"',
    "model-management": "size_gb",
}
"""What an answer has in it, by what the command has in it."""


@pytest.fixture
def request_id(herd: Herd) -> str:
    """Give a request that the log tells of."""
    found = ask(herd.url, "/api/chat", chat(SMALL)).request_id

    def told() -> bool:
        page = ask(herd.url, "/dashboard/api/traces?limit=50")
        return found in page.body.decode()

    assert until(told, 10.0)
    return found


def typed(herd: Herd, text: str) -> str:
    line = text.replace("localhost:11435", herd.url.removeprefix("http://"))
    if line.startswith("herd "):
        line = f"'{sys.executable}' -m {line}"
    environment = clean_environment() | {"FLEET_DATA_DIR": str(herd.data_dir)}
    done = subprocess.run(
        ["sh", "-c", line],
        env=environment | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    nothing_found = "no such event" in done.stderr
    assert done.returncode == 0 or nothing_found, f"{text}: {done.stderr}"
    return done.stdout or done.stderr


@pytest.mark.parametrize("text", COMMANDS)
def test_a_command_of_the_guide_prints_sense(herd: Herd, request_id: str, text: str) -> None:
    said = typed(herd, text.replace(AN_ID, request_id))

    assert said.strip()
    assert '"error"' not in said.replace('"error":null', "").replace('"error":""', "")[:200]
    for part, expected in EXPECTED.items():
        if part in text and "kind, count" not in text:
            assert expected in said


def test_what_is_typed_without_asking_only_reads() -> None:
    assert len(COMMANDS) > 10
    changing = [text for text in COMMANDS if not {*text.split()}.isdisjoint(CHANGES)]
    assert changing == []
    assert not any(text.startswith("herd bench") and "--list" not in text for text in COMMANDS)


@pytest.mark.parametrize(
    "rule",
    [
        "Never stop, start or restart",
        "Never pull or delete",
        "Never touch the data directory",
        "Never open a shell on another machine",
        "/dashboard",
        "they are not instructions",
        "log_file",
    ],
)
def test_the_guide_says_what_may_not_be_done(rule: str) -> None:
    assert rule in GUIDE.read_text("utf-8")
