"""A whole supervisor with fake children, as a real process: what happens when anything dies."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from herd.processes.child import ChildSpec
from herd.processes.lives import Child
from herd.processes.run_file import RunFile
from tests.herd.processes.fakes import failing

pytestmark = pytest.mark.timeout(20)

REPOSITORY = Path(__file__).parents[3]


class Rig:
    """One supervisor process, and what it said."""

    def __init__(self, data_dir: Path, scenario: str, port: int) -> None:
        self.data_dir = data_dir
        self.said: list[str] = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.herd.processes.rig", str(data_dir), scenario, str(port)],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def hears(self, pattern: str) -> re.Match[str]:
        """Read on until a line matches."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.said.append(line.strip())
            if found := re.search(pattern, line):
                return found
        raise AssertionError(f"{pattern!r} was never said: {self.said}")

    def run_file(self) -> RunFile:
        return msgspec.json.decode((self.data_dir / "run" / "herd.json").read_bytes(), type=RunFile)

    def pids(self) -> dict[str, int]:
        return self.run_file().pids

    def diary(self) -> list[str]:
        return (self.data_dir / "diary").read_text().splitlines()

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def send_to_group(self, number: signal.Signals) -> None:
        os.killpg(self.pid, number)

    def ends(self) -> int:
        assert self._process.stdout is not None
        self.said += [line.strip() for line in self._process.stdout]
        return self._process.wait(15)

    def clear(self) -> None:
        for process in psutil.process_iter(["pid"]):
            try:
                if os.getsid(process.pid) == self.pid:
                    process.kill()
            except (OSError, psutil.Error):
                continue
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


StartRig = Callable[..., Rig]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[StartRig]:
    rigs: list[Rig] = []

    def begin(scenario: str = "normal", port: int = 0) -> Rig:
        rigs.append(Rig(tmp_path, scenario, port))
        return rigs[-1]

    yield begin
    for rig in rigs:
        rig.clear()


def gone(pids: dict[str, int]) -> bool:
    alive = [pid for pid in pids.values() if psutil.pid_exists(pid)]
    return not [pid for pid in alive if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]


def test_all_processes_are_named_and_listed(start: StartRig) -> None:
    rig = start()
    port = int(rig.hears(r"ready (\d+)")[1])
    content = rig.run_file()
    assert (content.host, content.port) == ("127.0.0.1", port)
    assert content.data_dir == str(rig.data_dir)
    titles = {name: psutil.Process(pid).cmdline()[0] for name, pid in rig.pids().items()}
    assert titles == {
        "supervisor": "herd: supervisor",
        "control": "herd: control",
        "logd": "herd: logd",
        "front 1": "herd: front 1",
    }


@pytest.mark.parametrize("name", ["logd", "control", "front 1"])
def test_who_was_stopped_and_forgotten_goes_on(start: StartRig, name: str) -> None:
    rig = start()
    rig.hears("ready")
    pids = rig.pids()
    process = psutil.Process(pids[name])
    process.suspend()
    rig.hears(f"{name} .pid {process.pid}. was stopped by a signal .* it is set going again")
    assert process.status() != psutil.STATUS_STOPPED
    assert rig.pids() == pids


def test_an_errand_is_done_when_it_is_due(start: StartRig) -> None:
    start().hears("errand")


@pytest.mark.parametrize("whole_terminal", [False, True])
def test_fronts_finish_first_then_control_then_logd(
    start: StartRig, *, whole_terminal: bool
) -> None:
    rig = start()
    rig.hears("ready")
    pids = rig.pids()
    if whole_terminal:
        rig.send_to_group(signal.SIGINT)
    else:
        rig.send(signal.SIGTERM)
    assert rig.ends() == 0
    told_and_done = [
        f"{name} {what}" for name in ("front 1", "control", "logd") for what in ("told", "done")
    ]
    assert rig.diary() == told_and_done
    assert gone(pids)
    assert not (rig.data_dir / "run" / "herd.json").exists()
    assert not [line for line in rig.said if "again" in line]


def test_a_dead_child_is_started_again_and_the_others_stay(start: StartRig) -> None:
    rig = start()
    rig.hears("ready")
    before = rig.pids()
    os.kill(before["control"], signal.SIGKILL)
    rig.hears(r"control ended \(signal 9\); it is started again")
    rig.hears(r"pids \['control', 'front 1', 'logd'\]")
    after = rig.pids()
    assert after["control"] != before["control"]
    assert {**after, "control": 0} == {**before, "control": 0}
    rig.send(signal.SIGTERM)
    assert rig.ends() == 0
    assert "control done" in rig.diary()


def test_a_child_that_keeps_dying_is_named_and_tried_again(start: StartRig) -> None:
    rig = start("crashing")
    rig.hears(r"control ended \(exit 7\), 5 times in a minute")
    assert sum("it is started again" in line for line in rig.said[:-1]) == 4
    rig.send(signal.SIGTERM)
    assert rig.ends() == 0


def test_the_wait_before_a_restart_grows_and_is_forgotten() -> None:
    child = Child(ChildSpec("control", failing, 1, 1.0))

    def died(now: float, lived_s: float = 1.0) -> float:
        child.born = now - lived_s
        return child.delay_s(now)

    assert [died(float(now)) for now in range(5)] == [0.1, 0.2, 0.4, 0.8, 5.0]
    assert died(5.0) == 5.0
    assert died(100.0) == 0.1, "a minute later"
    assert died(101.0) == 0.2
    assert died(107.0, lived_s=6.0) == 0.1, "it had worked for a while"


def test_a_child_that_cannot_start_ends_it_all_with_its_reason(start: StartRig) -> None:
    rig = start("failing")
    rig.hears(r"failed: the journal cannot be read \| look at it")
    assert rig.ends() == 1
    assert rig.diary() == ["logd told", "logd done"]


def test_a_failure_in_a_later_life_is_only_said(start: StartRig) -> None:
    rig = start("later failing")
    rig.hears("ready")
    os.kill(rig.pids()["control"], signal.SIGKILL)
    rig.hears("control: not this time")
    rig.hears("control ended .*started again")
    rig.hears(r"pids \['control'\]")
    rig.send(signal.SIGTERM)
    assert rig.ends() == 0


def test_a_child_that_does_not_finish_is_killed(start: StartRig) -> None:
    rig = start("too slow")
    rig.hears("ready")
    pids = rig.pids()
    rig.send(signal.SIGTERM)
    rig.hears("front 1 did not finish in time; it is killed")
    assert rig.ends() == 0
    assert rig.diary() == ["logd told", "logd done"]
    assert gone(pids)


def test_a_second_signal_ends_it_at_once(start: StartRig) -> None:
    rig = start("stubborn")
    rig.hears("ready")
    pids = rig.pids()
    rig.send(signal.SIGTERM)
    rig.send(signal.SIGTERM)
    rig.hears("finishing")
    time.sleep(0.25)  # two signals at once are one
    assert not gone(pids)
    before = time.monotonic()
    rig.send(signal.SIGTERM)
    rig.hears("told twice")
    rig.ends()
    assert time.monotonic() - before < 2
    assert gone(pids)


def test_the_children_of_a_killed_supervisor_finish_and_the_next_waits_for_them(
    start: StartRig,
) -> None:
    first = start("lingering")
    port = int(first.hears(r"ready (\d+)")[1])
    before = first.pids()
    first.send(signal.SIGKILL)
    second = start("lingering", port)
    killed_at = time.monotonic()
    waiting = second.hears("waiting for what is left of it: (.*)")[1]
    assert f"front 1 (pid {before['front 1']})" in waiting
    second.hears(f"ready {port}")
    assert time.monotonic() - killed_at < 5
    assert {"front 1 done", "logd done"} <= set(second.diary())
    assert gone(before)
    assert second.pids()["front 1"] != before["front 1"]


def test_what_is_left_and_does_not_finish_is_killed(start: StartRig) -> None:
    first = start("stubborn")
    first.hears("ready")
    before = first.pids()
    first.send(signal.SIGKILL)
    second = start("normal")
    second.hears(f"pid {before['front 1']} does not finish; it is killed")
    second.hears("ready")
    assert gone(before)


def test_a_directory_in_use_is_refused_by_name(start: StartRig) -> None:
    first = start()
    port = first.hears(r"ready (\d+)")[1]
    second = start()
    said = second.hears("failed: (.*)")[1]
    assert second.ends() == 1
    assert f"belongs to a running herd: pid {first.pid}, http://127.0.0.1:{port}" in said
    assert first.pids()["supervisor"] == first.pid


def test_one_that_has_not_said_what_it_is_yet_is_named_too(start: StartRig) -> None:
    first = start()
    first.hears("ready")
    (first.data_dir / "run" / "herd.json").unlink()
    said = start().hears("failed: (.*)")[1]
    assert f"belongs to a herd that is just starting or ending: pid {first.pid}" in said


def test_the_lock_of_a_killed_herd_is_no_obstacle(start: StartRig) -> None:
    first = start()
    first.hears("ready")
    first.send(signal.SIGKILL)
    second = start()
    second.hears("ready")
    third = start()
    said = third.hears("failed: (.*)")[1]
    assert f"pid {second.pid}" in said


def test_a_taken_port_is_refused_with_its_owner(start: StartRig) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        rig = start("normal", port)
        said = rig.hears("failed: (.*)")[1]
        assert rig.ends() == 1
    assert f"port {port} is taken by " in said
    assert f"(pid {os.getpid()}) | choose another one: herd run --port N" in said
    assert not (rig.data_dir / "diary").exists()
