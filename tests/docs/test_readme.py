"""The README's commands are run, as they are written, while a demo runs."""

import re
import shutil
import sys

import pytest

from tests.docs import markdown
from tests.docs.demo import Demo

STARTS_SOMETHING = re.compile(
    r"make (demo|test)|python3 -m venv .venv|\.venv/bin/(pip install \.|herd demo)"
    r"|herd (run|node)\b.*"
)
"""Set-up, and what goes on until Ctrl-C: `test_commands` knows that they exist."""

COMMANDS = markdown.commands(markdown.README)
RUN = [text for text in COMMANDS if not STARTS_SOMETHING.fullmatch(text)]
EXPECTED = {
    "curl": "simulated",
    "OLLAMA_HOST": "simulated",
    "herd log": "request_",
    "herd sql": "llama|qwen|nomic",
    "herd status": "studio",
    "herd replay --check": " 0 divergences",
    "herd replay --at": "models on nodes",
    "herd explain": "CANDIDATE",
    "herd incident": " 0 divergences",
    "herd whatif": "RE-RUN",
}
"""What an answer has in it, as a pattern, by how the command begins."""


@pytest.mark.parametrize("text", RUN)
def test_a_command_does_what_it_promises(demo: Demo, text: str) -> None:
    if shutil.which("sh") is None or (text.startswith("curl") and shutil.which("curl") is None):
        pytest.skip("needs sh and curl")

    said = demo.run("sh", "-c", demo.written(text))

    expected = [word for begin, word in EXPECTED.items() if text.startswith(begin)]
    assert len(expected) == 1, "EXPECTED must know it, or STARTS_SOMETHING"
    assert re.search(expected[0], said)


def test_the_example_in_python_streams(demo: Demo) -> None:
    (code,) = markdown.blocks(markdown.README, "python")

    assert "simulated" in demo.run(sys.executable, "-c", demo.written(code))


def test_the_first_two_commands_are_the_first() -> None:
    assert COMMANDS[:2] == ["make demo", "make test"]
    assert len(RUN) >= 8
