"""A machine that sleeps, or whose clock is set, while the engine runs."""

from pathlib import Path
from typing import Any

import pytest

from herd import clock as clock_module
from herd.replay.check import check
from tests.actors.cast import completed, received
from tests.conftest import Run
from tests.herd.control.rig import SRC, START, Rig

HOUR_US = 3_600_000_000


def test_its_clock_follows_the_machines_once_nothing_is_under_way(
    on_each_loop: Run[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wall_us = clock_module.wall_us

    async def play() -> None:
        rig = Rig(tmp_path)
        await rig.play(*START)
        await rig.tell(received("a"))
        monkeypatch.setattr(clock_module, "wall_us", lambda: wall_us() + HOUR_US)
        await rig.tell(completed("a", "studio", "1.1"))
        await rig.tell(received("b"))
        began, ended, after = (each.recorded_at for each in rig.log() if each.src == SRC and each.n)
        assert ended - began < HOUR_US
        assert HOUR_US <= after - ended < 2 * HOUR_US
        rig.engine.finish()
        assert check(rig.log()).divergences == []

    on_each_loop(play())
