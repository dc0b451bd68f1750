"""Control's clock beside the machine's."""

import pytest

from herd import clock
from herd.clock import US, Clock


def test_it_goes_on_to_the_wall_clock_and_never_back(monkeypatch: pytest.MonkeyPatch) -> None:
    wall_us = [1_760_000_000 * US]
    monkeypatch.setattr(clock, "wall_us", lambda: wall_us[0])
    ours = Clock()
    wall_us[0] += 3600 * US
    before_us = ours.now_us()
    assert 3599 * US < ours.follow() <= 3600 * US
    assert wall_us[0] <= ours.now_us() < before_us + 3601 * US
    assert ours.follow() == 0
    wall_us[0] -= 1800 * US
    assert ours.follow() == 0
    assert ours.now_us() >= before_us + 3599 * US
