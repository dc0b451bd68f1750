"""The guide for agents: its commands are run as they are written, while a demo runs."""

import pytest

from tests.architecture.tree import ROOT
from tests.docs import markdown
from tests.docs.demo import Demo

SKILL = ROOT / "docs" / "agents" / "SKILL.md"
COMMANDS = markdown.commands(SKILL)
EXPECTED = {
    "herd status": "studio",
    "herd top": "nodes online",
    "curl -s localhost:11435/dashboard/api/health": '"health_score"',
    "curl -s localhost:11435/dashboard/api/recommendations": '"nodes"',
    "curl -s localhost:11435/fleet/queue": '"max_concurrent"',
    "curl -s 'localhost:11435/dashboard/api/traces": '"request_id"',
    "herd explain": "CANDIDATE",
    "herd log 0": "request_completed",
    'herd sql "SELECT node_id': "node_id",
    'herd sql "SELECT model': "llama",
    "herd whatif": '"whatif"',
    "herd incident": " 0 divergences",
    "herd replay": " 0 divergences",
}
"""What an answer has in it, by how the command begins."""


@pytest.mark.parametrize("text", COMMANDS)
def test_a_command_does_what_it_promises(demo: Demo, text: str) -> None:
    (expected,) = [word for begin, word in EXPECTED.items() if text.startswith(begin)]
    assert expected in demo.run("sh", "-c", demo.written(text))


def test_every_answer_was_looked_at() -> None:
    assert len(COMMANDS) == len(EXPECTED)


def test_it_says_what_it_is_and_when_to_use_it() -> None:
    head = SKILL.read_text("utf-8").split("---")[1].strip().splitlines()
    assert [line.partition(":")[0] for line in head] == ["name", "description"]
    assert "Use it when" in head[1]


def test_nothing_that_changes_a_fleet_is_typed_without_a_yes() -> None:
    changes = ("herd pull", "herd rm", "herd drain", "herd undrain", "herd run", "POST", "rm ")
    assert not [text for text in COMMANDS if any(word in text for word in changes)]
