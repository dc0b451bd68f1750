"""A herd that starts its own successor: by which command, and where it may not."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from herd import platform
from herd.processes import renewing

HERE = str(os.getpid())


def test_the_successor_is_started_by_the_command_of_this_one() -> None:
    given = ["python", "-P", "-m", "herd", "run", "--port", "80"]
    assert renewing.words(given, "/new/python") == ["/new/python", *given[1:], "--replace"]
    again = renewing.words(given, "/new/python")
    assert renewing.words(again, "/new/python") == again


def test_not_where_its_end_would_be_the_end_of_herd(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not renewing.why_not({})
    assert "end the demo" in renewing.why_not({renewing.DEMO: "1"})
    of_systemd = {"SYSTEMD_EXEC_PID": HERE}
    assert "herd run install" in renewing.why_not(of_systemd)
    assert not renewing.why_not({**of_systemd, "NOTIFY_SOCKET": "/n"})
    assert not renewing.why_not({"SYSTEMD_EXEC_PID": "1"}), "of the terminal that it runs in"
    monkeypatch.setattr(platform, "name", lambda: "Darwin")
    assert "launchd" in renewing.why_not({"XPC_SERVICE_NAME": "herd-balancer"})
    monkeypatch.setattr(os, "getpid", lambda: 1)
    assert "container" in renewing.why_not({})


def test_systemd_hears_who_is_the_service(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(address)
        systemd.settimeout(10)
        renewing.tell_systemd({"NOTIFY_SOCKET": address})
        assert systemd.recv(100) == b"MAINPID=" + HERE.encode()
    renewing.tell_systemd({"NOTIFY_SOCKET": address})  # nobody hears it
    renewing.tell_systemd({})


def test_it_is_started_with_what_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import os, sys; sys.exit(7 if sys.argv[1:] == ['--replace'] and os.environ['A'] else 1)"
    monkeypatch.setattr(sys, "orig_argv", ["python", "-c", code])
    started = renewing.start({**os.environ, "A": "1"})
    assert isinstance(started, subprocess.Popen)
    assert started.wait(60) == 7
