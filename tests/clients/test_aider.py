"""The command line `aider` edits a file, by each of its ways; the node says what the test wants.

It pins all that it needs, so it lives in an environment beside that of the other packages.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.conftest import balancer
from tests.e2e.herds import Herd
from tests.e2e.scripted import MODEL, Scripted

AIDER = Path(sys.executable).parents[1] / "aider" / "bin" / "aider"
BEFORE, AFTER = 'def hello():\n    return "hello"\n', 'def hello():\n    return "bye"\n'
ANSWER = """Here:

a.py
```python
<<<<<<< SEARCH
    return "hello"
=======
    return "bye"
>>>>>>> REPLACE
```
"""
FLAGS = """
    --edit-format diff --message-file asked --yes-always --no-pretty
    --no-git --no-gitignore --no-check-update --no-show-release-notes --no-show-model-warnings
    --analytics-disable --no-detect-urls --no-suggest-shell-commands
"""
PATIENCE_S = 100.0


@pytest.fixture(scope="module")
def server() -> Iterator[Scripted]:
    pieces = [ANSWER[at : at + 9] for at in range(0, len(ANSWER), 9)]
    with Scripted(*({"content": piece} for piece in pieces)) as scripted:
        yield scripted


@pytest.fixture(scope="module")
def aider_herd(server: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Herd]:
    yield from balancer(tmp_path_factory.mktemp("herd"), [server.flag], ["scripted"])


def run(herd: Herd, folder: Path, model: str) -> "subprocess.CompletedProcess[str]":
    """Have it answer one message in a folder."""
    (folder / "asked").write_text("Say bye.")
    (folder / "a.py").write_text(BEFORE)
    told = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "OLLAMA_API_BASE": herd.url,
        "OPENAI_API_BASE": f"{herd.url}/v1",
        "OPENAI_API_KEY": "not-needed",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    return subprocess.run(
        [str(AIDER), "--model", model, *FLAGS.split(), "a.py"],
        cwd=folder,
        env=told,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


@pytest.mark.parametrize("way", ["ollama_chat", "openai"])
def test_it_edits_the_file(aider_herd: Herd, server: Scripted, tmp_path: Path, way: str) -> None:
    asked = len(server.asked)
    said = run(aider_herd, tmp_path, f"{way}/{MODEL}")
    assert (tmp_path / "a.py").read_text() == AFTER, said.stdout + said.stderr
    assert said.returncode == 0
    [question] = server.asked[asked:]
    assert (question["model"], question["stream"]) == (MODEL, True)
    assert any(BEFORE in str(message["content"]) for message in question["messages"])
