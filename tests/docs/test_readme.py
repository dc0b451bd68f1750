"""The README's commands are run, as they are written, while a demo runs."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from herd.demo.recent import Recent
from herd.paths import DataDir
from tests.docs import markdown

USUAL_PORT = "11435"
USUAL_TIME = "14:05"
REQUEST_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
ENOUGH_REQUESTS = 5
PATIENCE_S = 60.0

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
    "herd sql": "llama",
    "herd status": "studio",
    "herd replay --check": " 0 divergences",
    "herd replay --at": "models on nodes",
    "herd explain": "CANDIDATE",
    "herd incident": " 0 divergences",
    "herd whatif": "RE-RUN",
}
"""What an answer has in it, by how the command begins."""


class Demo(NamedTuple):
    """A demo that runs."""

    port: int
    directory: Path

    def written(self, text: str) -> str:
        """Return what a reader would type here."""
        recent = Recent(DataDir(self.directory).journal)
        recent.refresh()
        done = next(each for each, row in recent.rows.items() if row.outcome == "done")
        text = text.replace(USUAL_PORT, str(self.port)).replace(USUAL_TIME, "1s")
        return REQUEST_ID.sub(done, text)

    def run(self, *words: str) -> str:
        """Run a command, and return what it said."""
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "FLEET_DATA_DIR": str(self.directory),
        }
        ended = subprocess.run(
            words,
            env=environment,
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    directory = tmp_path_factory.mktemp("demo")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    arguments = [
        "--port",
        str(port),
        "--data-dir",
        str(directory),
        "--rate",
        "5",
        "--time-scale",
        "50",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "herd", "demo", *arguments], stdout=subprocess.DEVNULL
    )
    try:
        _until_answered(directory, process)
        yield Demo(port, directory)
    finally:
        process.terminate()
        process.wait()


def _until_answered(directory: Path, process: "subprocess.Popen[bytes]") -> None:
    recent = Recent(DataDir(directory).journal)
    ends_at = time.monotonic() + PATIENCE_S
    while recent.completed < ENOUGH_REQUESTS:
        assert process.poll() is None, "the demo ended"
        assert time.monotonic() < ends_at, "the demo answered too little"
        time.sleep(0.1)
        recent.refresh()


@pytest.mark.parametrize("text", RUN)
def test_a_command_does_what_it_promises(demo: Demo, text: str) -> None:
    if shutil.which("sh") is None or (text.startswith("curl") and shutil.which("curl") is None):
        pytest.skip("needs sh and curl")

    said = demo.run("sh", "-c", demo.written(text))

    expected = [word for begin, word in EXPECTED.items() if text.startswith(begin)]
    assert len(expected) == 1, "EXPECTED must know it, or STARTS_SOMETHING"
    assert expected[0] in said


def test_the_example_in_python_streams(demo: Demo) -> None:
    (code,) = markdown.blocks(markdown.README, "python")

    assert "simulated" in demo.run(sys.executable, "-c", demo.written(code))


def test_the_first_two_commands_are_the_first() -> None:
    assert COMMANDS[:2] == ["make demo", "make test"]
    assert len(RUN) >= 8
