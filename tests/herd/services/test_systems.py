"""Installed, started as the system would, restarted, uninstalled, purged: on each system."""

import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from herd.cli import main
from tests.architecture.tree import ROOT
from tests.herd.services.machine import Machine, variables

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the programs are scripts of sh")

PATIENCE_S = 30.0
NAME = "herd-balancer"
INSTALLED = {
    "systemd": ["daemon-reload", f"enable {NAME}.service", f"restart {NAME}.service"],
    "launchd": ["bootout", "enable", "bootstrap", "bootstrap"],
    "tasks": ["/End /TN", "/Create /TN", "/Run /TN"],
}
AGAIN = {
    "systemd": ["daemon-reload", f"enable {NAME}.service", f"start {NAME}.service"],
    "launchd": ["bootstrap", "kickstart"],
    "tasks": ["/Create /TN", "/Run /TN"],
}
REMOVED = {
    "systemd": [f"disable --now {NAME}.service", "daemon-reload"],
    "launchd": ["bootout"],
    "tasks": ["/End /TN", "/Delete /TN"],
}
RESTARTED = {**INSTALLED, "launchd": ["bootout", "enable", "bootstrap"]}


@pytest.fixture(params=["systemd", "launchd", "tasks"])
def machine(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Machine:
    made = Machine(tmp_path, request.param)
    made.be_here(monkeypatch)
    return made


def herd(*words: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert not ended.value.code


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def follows(told: list[str], expected: list[str]) -> bool:
    """Whether each was told what was expected, in that order, and nothing else."""
    return len(told) == len(expected) and all(
        words in line for words, line in zip(expected, told, strict=True)
    )


def test_from_install_to_purge(
    machine: Machine,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    system = request.node.callspec.params["machine"]
    data, port = machine.home / "data", free_port()
    monkeypatch.setenv("FLEET_HOST", "127.0.0.1")
    monkeypatch.setenv("FLEET_LOCAL_OLLAMA", "off")
    given = ("run", "install", "--data-dir", str(data), "--port", str(port))
    if system == "launchd":
        machine.make_busy()
    herd(*given, "--workers", "0", "--no-mdns")
    assert follows(machine.told(), INSTALLED[system])
    monkeypatch.delenv("FLEET_HOST")
    monkeypatch.delenv("FLEET_LOCAL_OLLAMA")

    _runs_with_what_was_given(machine, port)

    monkeypatch.setenv("FLEET_HOST", "127.0.0.1")
    monkeypatch.setenv("FLEET_LOCAL_OLLAMA", "off")
    herd(*given, "--workers", "0", "--no-mdns")
    assert follows(machine.told(), AGAIN[system])
    herd("run", "restart")
    assert follows(machine.told(), RESTARTED[system])
    herd("run", "uninstall")
    assert follows(machine.told(), REMOVED[system])
    assert not machine.manager.file(NAME).exists()
    assert not list(data.glob("*.env"))
    said = capfd.readouterr().out
    assert f"{data} keeps" in said
    herd("run", "uninstall", "--purge", "--yes", "--data-dir", str(data))
    assert f"in {data}" in capfd.readouterr().out
    assert not data.exists()
    assert machine.told() == []


def _runs_with_what_was_given(machine: Machine, port: int) -> None:
    """Start the installed herd as the system would, ask it, stop it, and read what it said."""
    started = machine.started(machine.manager.file(NAME).read_bytes())
    assert started.folder == str(machine.home / "data")
    bare = {"PATH": "/usr/bin:/bin", "HOME": str(machine.home), "PYTHONPATH": str(ROOT)}
    output = Path(started.output or machine.home / "journal")
    with output.open("ab") as out:
        process = subprocess.Popen(
            started.words,
            cwd=started.folder,
            env={**bare, **variables(started.file_of_variables)},
            stdout=out,
            stderr=out,
        )
        try:
            assert _healthy(port, process)
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE_S) == 0
    file = machine.manager.log(NAME, machine.home / "data", 50, follow=False)
    said = (file if isinstance(file, Path) else output).read_text()
    assert f"http://127.0.0.1:{port}/dashboard" in said
    assert "network" not in said, "FLEET_HOST was 127.0.0.1 when it was installed"


def _healthy(port: int, process: "subprocess.Popen[bytes]") -> bool:
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            time.sleep(0.1)
    return False


def test_what_ollama_is_told_by_its_environment_goes_with_the_service(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = machine.home / "data"
    monkeypatch.setenv("OLLAMA_MODELS", "/models of ada")
    monkeypatch.setenv("OLLAMA_DEBUG", "1")
    herd("node", "install", "--data-dir", str(data))
    assert variables(str(data / "herd-node.env")) == {"OLLAMA_MODELS": "/models of ada"}


def test_logs_of_each_system(machine: Machine, capfd: pytest.CaptureFixture[str]) -> None:
    data = machine.home / "data"
    herd("run", "install", "--data-dir", str(data))
    machine.told()
    capfd.readouterr()
    log = machine.manager.log(NAME, data, 2, follow=False)
    if isinstance(log, Path):
        log.write_text("1\n2\n3\n")
        herd("run", "logs", "-n", "2")
        assert capfd.readouterr().out == "2\n3\n"
    else:
        herd("run", "logs", "-n", "2")
        assert machine.told() == [
            f"journalctl --user-unit {NAME}.service --lines 2 --no-pager",
        ]
