"""Who runs and does nothing is killed; who is stopped, held, starting, or merely late is not."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from types import SimpleNamespace
from typing import Any, cast

import psutil
import pytest

from herd.processes.beats import PAUSES, Beats, pause_s
from herd.processes.child import heard, nothing, say_ready
from herd.processes.lives import Child
from herd.processes.stuck import Stuck
from tests.e2e.herds import until
from tests.herd.processes.test_supervisor import StartRig, start

__all__ = ["start"]

AFTER_S = 90.0


class Supervisor:
    """Has one child, and does later what it is told to."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.due: list[tuple[float, Callable[[], None]]] = []

    def children(self) -> list[Child]:
        return [self.child]

    def later(self, after_s: float, act: Callable[[], None]) -> None:
        self.due.append((after_s, act))


class Scene:
    """A child with a process of its own, and who looks at it."""

    def __init__(self, process: "subprocess.Popen[bytes]", patience: float = 1.0) -> None:
        self.process = process
        killed = SimpleNamespace(pid=process.pid, kill=process.kill)
        self.child = Child(cast("Any", SimpleNamespace(name="front 1", patience=patience)))
        self.child.life = cast("Any", SimpleNamespace(process=killed))
        self.said: list[str] = []
        self.supervisor = Supervisor(self.child)
        self.stuck = Stuck(cast("Any", self.supervisor), self.said.append, AFTER_S)
        self.stuck.begin()

    def looks(self, times: int) -> None:
        for _ in range(times):
            after_s, look = self.supervisor.due.pop(0)
            assert after_s == pause_s(AFTER_S)
            look()


@pytest.fixture
def scene() -> Iterator[Scene]:
    """Someone who has started, and waits for what is typed."""
    waits = [sys.executable, "-c", "print(flush=True); input()"]
    with subprocess.Popen(waits, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        yield Scene(process)
        process.kill()


def test_who_gives_no_sign_for_so_many_looks_is_killed(scene: Scene) -> None:
    scene.child.gives_signs = True
    scene.looks(PAUSES - 1)
    assert scene.said == []
    scene.looks(1)
    [line] = scene.said
    assert line == (
        f"front 1 (pid {scene.process.pid}) runs, but has done nothing for 90 s: it is killed"
    )
    assert scene.process.wait(10) < 0


def test_one_sign_is_enough_to_begin_anew(scene: Scene) -> None:
    scene.child.gives_signs = True
    for _ in range(3):
        scene.looks(PAUSES - 1)
        scene.child.signs = 1
        scene.looks(1)
    assert scene.said == []


def test_who_has_given_none_yet_is_still_starting(scene: Scene) -> None:
    scene.looks(10 * PAUSES)
    assert scene.said == []


def test_who_is_stopped_is_set_going_elsewhere(scene: Scene) -> None:
    scene.child.gives_signs = True
    process = psutil.Process(scene.process.pid)
    process.suspend()
    assert until(lambda: process.status() == psutil.STATUS_STOPPED, 10.0)
    scene.looks(3 * PAUSES)
    assert scene.said == []
    process.resume()
    assert until(lambda: process.status() == psutil.STATUS_SLEEPING, 10.0)
    scene.looks(PAUSES)
    assert len(scene.said) == 1


@pytest.mark.parametrize("status", ["disk-sleep", "tracing-stop", "zombie"])
def test_who_waits_for_a_disk_or_is_held_does_not_count(
    scene: Scene, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.child.gives_signs = True

    def told(_: psutil.Process) -> str:
        return status

    monkeypatch.setattr(psutil.Process, "status", told)
    scene.looks(3 * PAUSES)
    assert scene.said == []


def test_another_process_is_not_blamed_for_the_one_before(scene: Scene) -> None:
    scene.child.gives_signs = True
    scene.looks(PAUSES - 1)
    life = cast("Any", scene.child.life)
    life.process = SimpleNamespace(pid=os.getpid(), kill=nothing)
    scene.looks(PAUSES - 1)
    assert scene.said == []


def test_whom_nobody_waits_for_has_longer(scene: Scene) -> None:
    patient = Scene(scene.process, patience=7.0)
    patient.child.gives_signs = True
    patient.looks(7 * PAUSES - 1)
    assert patient.said == []
    patient.looks(1)
    assert "630 s" in patient.said[0]


def test_nobody_looks_where_nobody_wants_it(scene: Scene) -> None:
    Stuck(cast("Any", scene.supervisor), scene.said.append, 0.0).begin()
    assert len(scene.supervisor.due) == 1, "that of the scene itself"


def test_a_sign_is_never_waited_for_and_is_told_from_words() -> None:
    here, there = get_context("spawn").Pipe(duplex=False)
    with here, there:
        say_ready(there)
        assert heard(here) is True
        beats = Beats(there, 1e-9)
        for _ in range(100_000):  # nobody reads, as with a supervisor that is stopped
            beats.say()
        assert heard(here) is None
        assert heard(here) is None


def test_signs_come_as_often_as_they_are_looked_for() -> None:
    here, there = get_context("spawn").Pipe(duplex=False)
    with here, there:
        rare, none = Beats(there, 3600.0), Beats(there, 0.0)
        for _ in range(9):
            rare.say()
            none.say()
        assert heard(here) is None
        assert not here.poll()
    assert pause_s(3600.0) == 5.0
    rare = Beats(there, 0.0)
    rare.say()


@pytest.mark.timeout(60)
def test_a_real_one_that_turns_in_a_circle_is_started_again(start: StartRig) -> None:
    rig = start("circling")
    rig.hears("ready")
    before = rig.pids()
    rig.hears(f"front 1 .pid {before['front 1']}. runs, but has done nothing for 2 s")
    rig.hears("front 1 ended .signal 9.; it is started again")
    rig.hears("pids .*front 1")
    after = rig.pids()
    assert after["front 1"] != before["front 1"]
    assert after["logd"] == before["logd"], "it gave no sign, since it never did"
