"""`herd top` on a terminal shows what happens while it runs, and leaves the screen as it was."""

import os
import select
import signal
import subprocess
import sys
import time

import pytest

from tests.e2e.herds import Herd
from tests.e2e.nodes import SMALL
from tests.e2e.wire import ask, chat

pty = pytest.importorskip("pty", reason="PTY: this system has no pseudo-terminals")
LEAVES = b"\x1b[?1049l"
PATIENCE_S = 20.0


def read_until(terminal: int, what: bytes) -> bytes:
    seen, end = b"", time.monotonic() + PATIENCE_S
    while what not in seen and time.monotonic() < end:
        ready, _, _ = select.select([terminal], [], [], 0.1)
        if ready:
            try:
                seen += os.read(terminal, 65_536)
            except OSError:  # its other end is closed
                break
    assert what in seen, seen[-2000:]
    return seen


def test_it_is_live_until_it_is_interrupted(herd: Herd) -> None:
    ours, its = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "herd", "top", "--url", herd.url, "--every", "0.2"],
        stdin=its,
        stdout=its,
        stderr=its,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "160", "LINES": "40"},
    )
    os.close(its)
    try:
        read_until(ours, b"nodes online")
        assert ask(herd.url, "/api/chat", chat(SMALL)).status == 200
        read_until(ours, b"completed")
        process.send_signal(signal.SIGINT)
        read_until(ours, LEAVES)
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        os.close(ours)


def test_a_pipe_gets_one_plain_picture(herd: Herd) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "herd", "top", "--url", herd.url],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "nodes online" in done.stdout
    assert "\x1b" not in done.stdout
