"""What the README and the issue promise, word for word, against `herd demo` on its own port."""

import json
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from openai import OpenAI

from tests.e2e.herds import Composition, Program, running

PORT = 11435
OPENAI = """
curl -s http://localhost:11435/v1/chat/completions -H "Content-Type: application/json" \
-d '{"model":"llama3.3:70b","messages":[{"role":"user","content":"Hello"}],"stream":false}'
"""
NATIVE = """
curl -s http://localhost:11435/api/chat \
-d '{"model":"llama3.3:70b","messages":[{"role":"user","content":"Hello"}],"stream":false}'
"""


def _taken() -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", PORT))
        except OSError:
            return True
    return False


@pytest.fixture(scope="module")
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the demo makes its temporary directory."""
    return tmp_path_factory.mktemp("tmp")


@pytest.fixture(scope="module")
def demo(composition: Composition, temporary: Path) -> Iterator[Program]:
    """`herd demo`, from the moment it says that it is ready."""
    if _taken():
        pytest.skip(f"THE WORDS OF THE README ARE UNTESTED HERE: port {PORT} is taken")
    program = Program(["-m", "herd", "demo"], composition.environment | {"TMPDIR": str(temporary)})
    try:
        program.hears("http://localhost:11435/v1", 30.0)
        yield program
    finally:
        program.clear()


@pytest.mark.usefixtures("demo")
def test_the_openai_client() -> None:
    client = OpenAI(base_url="http://localhost:11435/v1", api_key="not-needed")
    response = client.chat.completions.create(
        model="llama3.3:70b", messages=[{"role": "user", "content": "Hello"}]
    )
    assert "simulated" in (response.choices[0].message.content or "")
    stream = client.chat.completions.create(
        model="llama3.3:70b",
        messages=[{"role": "user", "content": "Hello"}],
        stream=True,
        max_tokens=7,
    )
    parts = [chunk.choices[0].delta.content or "" for chunk in stream]
    client.close()
    assert len(parts) > 5
    assert "".join(parts) == "This is a simulated answer from studio."


@pytest.mark.usefixtures("demo")
@pytest.mark.parametrize("line", [OPENAI, NATIVE], ids=["openai", "without Content-Type"])
def test_curl(line: str) -> None:
    if shutil.which("curl") is None:
        pytest.skip("THE WORDS OF THE README ARE UNTESTED HERE: there is no curl")
    done = subprocess.run(
        ["sh", "-c", line], capture_output=True, text=True, timeout=60, check=True
    )
    answer = json.loads(done.stdout)
    assert answer["model"] == "llama3.3:70b"
    message = answer["message"] if "message" in answer else answer["choices"][0]["message"]
    assert "simulated" in message["content"]


def test_the_screen_says_simulated_and_what_to_try(demo: Program) -> None:
    assert "simulated" in demo.words
    assert "curl -s http://localhost:11435" in demo.words
    demo.hears("answered, 0 failed", 15.0)


def test_ctrl_c_ends_all_of_it(demo: Program, temporary: Path) -> None:
    everyone = demo.family()
    assert len(everyone) >= 6  # itself, three nodes, the supervisor and its children
    (directory,) = temporary.iterdir()
    assert directory.name.startswith("herd-demo-")
    began = time.monotonic()
    demo.send(signal.SIGINT)
    assert demo.ends(10.0) == 0
    assert time.monotonic() - began < 10
    assert running(everyone) == []
    assert not any(temporary.iterdir())
    assert "0 failed" in demo.words.splitlines()[-1]
    assert not _taken()
