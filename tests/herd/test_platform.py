import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil
import pytest

from herd import platform

PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]])
print(child.pid, flush=True)
child.wait()
"""
CHILD = "from herd import platform; platform.die_with_parent(); print('armed', flush=True); {}"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a death signal")
def test_a_child_ends_with_its_parent() -> None:
    child = CHILD.format("import time; time.sleep(30)")
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, child], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        orphan = psutil.Process(int(parent.stdout.readline()))
        assert parent.stdout.readline() == "armed\n"
        parent.kill()
        gone, _ = psutil.wait_procs([orphan], timeout=5)
    assert gone


def test_finish_is_told_once_when_the_supervisor_is_gone(
    on_each_loop: Callable[[Coroutine[Any, Any, None]], None],
) -> None:
    on_each_loop(told_once(lambda ours: ours.close()))


def test_finish_is_told_once_at_sigterm(
    on_each_loop: Callable[[Coroutine[Any, Any, None]], None],
) -> None:
    on_each_loop(told_once(lambda _: os.kill(os.getpid(), signal.SIGTERM)))


async def told_once(tell: Callable[[Connection], None]) -> None:
    ours, theirs = multiprocessing.Pipe()
    told: list[int] = []
    came = asyncio.Event()

    def finish() -> None:
        told.append(1)
        came.set()

    platform.on_finish(theirs, finish)
    await asyncio.sleep(0)
    assert not told
    tell(ours)
    await asyncio.wait_for(came.wait(), 5)
    os.kill(os.getpid(), signal.SIGTERM)
    ours.close()
    await asyncio.sleep(0.02)
    assert told == [1]
    loop = asyncio.get_running_loop()
    loop.remove_signal_handler(signal.SIGTERM)
    loop.remove_reader(theirs.fileno())
    theirs.close()


def test_a_lock_has_one_holder_until_it_is_released(tmp_path: Path) -> None:
    first, second = platform.FileLock(tmp_path / "lock"), platform.FileLock(tmp_path / "lock")
    assert first.take()
    assert not second.take()
    assert second.holder() == os.getpid()
    first.release()
    first.release()
    assert second.take()
    second.release()


def test_a_lock_is_not_inherited(tmp_path: Path) -> None:
    lock = platform.FileLock(tmp_path / "lock")
    assert lock.take()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        lock.release()
        assert platform.FileLock(tmp_path / "lock").take()
        assert child.stdin is not None
        child.stdin.write(b"\n")


@pytest.mark.parametrize(("cores", "workers"), [(1, 1), (2, 1), (8, 7)])
def test_one_core_is_left_for_control(
    cores: int, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "core_count", lambda: cores)
    monkeypatch.setattr(platform, "ONE_PROCESS_ONLY", False)
    assert platform.default_workers() == workers


def test_where_fronts_cannot_share_a_port_there_is_one_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(platform, "ONE_PROCESS_ONLY", True)
    assert platform.default_workers() == 0


async def kind_of_loop() -> str:
    return type(asyncio.get_running_loop()).__module__


def test_the_fast_loop_is_taken_where_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLEET_LOOP", raising=False)
    assert platform.run_loop(kind_of_loop(), fast=False).startswith("asyncio")
    if sys.platform != "win32":
        assert platform.run_loop(kind_of_loop()).startswith("uvloop")
    monkeypatch.setenv("FLEET_LOOP", "asyncio")
    assert platform.run_loop(kind_of_loop()).startswith("asyncio")


def test_lower_priority_lets_others_go_first() -> None:
    niceness = "from herd import platform; import os; platform.lower_priority(); print(os.nice(0))"
    shown = subprocess.run([sys.executable, "-c", niceness], capture_output=True, check=True)
    assert int(shown.stdout) >= platform.LOGD_NICENESS


def test_a_title_is_shown() -> None:
    title = "platform.set_title('front 1'); print(psutil.Process().cmdline()[0])"
    program = f"from herd import platform; import psutil; {title}"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert shown.stdout == b"herd: front 1\n"


def test_a_private_folder_is_real_ours_and_closed(tmp_path: Path) -> None:
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)
    assert platform.is_private(folder)
    (tmp_path / "link").symlink_to(folder)
    assert not platform.is_private(tmp_path / "link")
    folder.chmod(0o750)
    assert not platform.is_private(folder)
