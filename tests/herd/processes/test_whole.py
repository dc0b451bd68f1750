"""`herd run` with its real processes and no node: it comes up, survives a death, and ends."""

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from herd.processes.run_file import RunFile

pytestmark = pytest.mark.timeout(40)


class Herd:
    """One `herd run`."""

    def __init__(self, data_dir: Path, *options: str) -> None:
        self.data_dir = data_dir
        self.said: list[str] = []
        common = ("--data-dir", str(data_dir), "--host", "127.0.0.1", "--no-mdns")
        environment = {k: v for k, v in os.environ.items() if not k.startswith("FLEET_")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "herd", "run", *common, *options],
            env=environment | {"FLEET_LOCAL_OLLAMA": "off", "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def hears(self, pattern: str) -> str:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.said.append(line)
            if found := re.search(pattern, line):
                return found[1]
        raise AssertionError(f"{pattern!r} was never said: {self.said}")

    def pids(self) -> dict[str, int]:
        content = (self.data_dir / "run" / "herd.json").read_bytes()
        return msgspec.json.decode(content, type=RunFile).pids

    def ends(self) -> int:
        assert self._process.stdout is not None
        self.said += self._process.stdout.readlines()
        return self._process.wait(15)

    def clear(self) -> None:
        for process in psutil.process_iter():
            try:
                if os.getsid(process.pid) == self.pid:
                    process.kill()
            except (OSError, psutil.Error):
                continue
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


def family(herd: Herd) -> list[psutil.Process]:
    """Return all its processes, those that are nowhere listed too."""
    supervisor = psutil.Process(herd.pid)
    return [supervisor, *supervisor.children(recursive=True)]


def running(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Return those that have not ended; in a container nobody may bury a zombie."""
    return [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def ready(url: str, within_s: float = 5.0) -> dict[str, object]:
    """Ask until herd says that it is ready; a refused connection is an answer like another."""
    until = time.monotonic() + within_s
    while True:
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=2) as answer:  # noqa: S310 (ours)
                return msgspec.json.decode(answer.read(), type=dict[str, object])
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)


@pytest.fixture
def node() -> Iterator[str]:
    """Return the address of a simulated node that takes 50 ms for a token."""
    options = ("--profile", "ideal", "--step-s", "0.05", "--json")
    with subprocess.Popen(
        [sys.executable, "-m", "herd.simulator", *options], stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            yield str(msgspec.json.decode(process.stdout.readline(), type=dict[str, object])["url"])
        finally:
            process.kill()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Herd]]:
    herds: list[Herd] = []

    def begin(*options: str) -> Herd:
        herds.append(Herd(tmp_path, *options))
        return herds[-1]

    yield begin
    for herd in herds:
        herd.clear()


@pytest.mark.parametrize(
    ("workers", "names"),
    [
        (0, {"supervisor", "logd", "single"}),
        (2, {"supervisor", "logd", "control", "front 1", "front 2"}),
    ],
)
def test_it_comes_up_and_ends_with_no_process_left(
    run: Callable[..., Herd], workers: int, names: set[str]
) -> None:
    herd = run("--port", "0", "--workers", str(workers))
    url = herd.hears(r"herd \S+  (http://127.0.0.1:\d+)")
    assert ready(url)["status"] == "ready"
    assert herd.pids().keys() == names
    everyone = family(herd)
    assert {process.pid for process in everyone} >= set(herd.pids().values())
    os.kill(herd.pid, signal.SIGTERM)
    before = time.monotonic()
    assert herd.ends() == 0
    assert time.monotonic() - before < 5
    assert running(everyone) == []
    again = run("--port", url.rpartition(":")[2], "--workers", str(workers))
    assert again.hears(r"herd \S+  (http://127.0.0.1:\d+)") == url


@pytest.mark.parametrize("name", ["front 1", "control"])
def test_a_killed_process_is_replaced_and_herd_is_ready_again(
    run: Callable[..., Herd], name: str
) -> None:
    herd = run("--port", "0", "--workers", "1")
    url = herd.hears(r"herd \S+  (http://127.0.0.1:\d+)")
    assert ready(url)
    before = herd.pids()
    os.kill(before[name], signal.SIGKILL)
    herd.hears(f"({name} ended .signal 9.; it is started again)")
    assert ready(url)["status"] == "ready"
    after = herd.pids()
    assert after.pop(name) != before.pop(name)
    assert after == before


def test_after_the_supervisor_is_killed_the_next_takes_port_and_log_soon(
    run: Callable[..., Herd],
) -> None:
    herd = run("--port", "0", "--workers", "1")
    url = herd.hears(r"herd \S+  (http://127.0.0.1:\d+)")
    assert ready(url)
    before = family(herd)
    killed_at = time.monotonic()
    os.kill(herd.pid, signal.SIGKILL)
    again = run("--port", url.rpartition(":")[2], "--workers", "1")
    assert again.hears(r"herd \S+  (http://127.0.0.1:\d+)") == url
    assert ready(url)
    assert time.monotonic() - killed_at < 7  # one second where nothing else runs
    assert running(before) == []


def test_an_answer_outlives_the_supervisor_and_is_recorded(
    run: Callable[..., Herd], node: str, tmp_path: Path
) -> None:
    herd = run("--port", "0", "--workers", "1", "--node", node)
    url = herd.hears(r"herd \S+  (http://127.0.0.1:\d+)")
    assert ready(url)
    everyone = family(herd)
    body = b'{"model":"llama3.2:3b","prompt":"hello","options":{"num_predict":20}}'
    with urllib.request.urlopen(f"{url}/api/generate", body, timeout=10) as answer:  # noqa: S310 (ours)
        answer.readline()
        os.kill(herd.pid, signal.SIGKILL)
        lines = answer.readlines()
    assert msgspec.json.decode(lines[-1], type=dict[str, object])["done"] is True
    until = time.monotonic() + 5
    while running(everyone) and time.monotonic() < until:
        time.sleep(0.02)
    assert running(everyone) == []
    journal = max((tmp_path / "log" / "journal").glob("0*.ndjson")).read_bytes()
    assert journal.count(b'"k":"request_completed"') == 1
