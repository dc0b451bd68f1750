"""How the machine is used, measured on this one."""

import time
from types import SimpleNamespace

import psutil
import pytest

from events import Limits
from herd import platform
from herd.agent import meter
from herd.agent.meter import Meter, lending
from herd.agent.owner import Use, Wishes


class Machine:
    """Four cores; the times are in seconds of all together."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.busy_s = self.idle_s = 0.0
        self.processes: dict[int, tuple[str, float]] = {}
        monkeypatch.setattr(psutil, "cpu_times", self._times)
        monkeypatch.setattr(psutil, "process_iter", self._iter)
        monkeypatch.setattr(platform, "idle_s", lambda: 7.0)

    def _times(self) -> "Times":
        return Times((self.busy_s, 0.0, self.idle_s))

    def _iter(self, wanted: list[str]) -> list[SimpleNamespace]:
        assert set(wanted) == {"name", "cpu_times", "create_time"}
        return [
            SimpleNamespace(
                pid=pid,
                info={
                    "name": name,
                    "create_time": 1.0,
                    "cpu_times": SimpleNamespace(user=took_s, system=0.0),
                },
            )
            for pid, (name, took_s) in self.processes.items()
        ]


class Times(tuple[float, ...]):
    """As psutil's: a tuple with names."""

    __slots__ = ()

    @property
    def idle(self) -> float:
        return self[2]


def test_the_work_of_the_servers_of_models_is_not_its_owners(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = Machine(monkeypatch)
    machine.processes = {1: ("ollama", 100.0), 2: ("editor", 5.0)}
    read = Meter()
    machine.busy_s, machine.idle_s = 15.0, 5.0
    machine.processes = {1: ("ollama", 108.0), 2: ("editor", 7.0), 3: ("Ollama.exe", 2.0)}
    assert read.read() == Use(25.0, 7.0)
    machine.busy_s, machine.idle_s = 25.0, 15.0
    assert read.read() == Use(50.0, 7.0)
    assert read.read() == Use(0.0, 7.0)


def test_this_machine_says_something() -> None:
    found = Meter()
    time.sleep(0.05)
    use = found.read()
    assert 0.0 <= use.others_pct <= 100.0
    assert use.idle_s is None or use.idle_s >= 0.0


def test_it_is_measured_only_where_the_owner_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(_meter: meter.Meter) -> Use:
        return Use(100.0, 0.0)

    monkeypatch.setattr(meter.Meter, "read", busy)
    assert lending(Wishes(max_requests=1))() == Limits(max_requests=1)
    assert lending(Wishes(spare=True))().paused


@pytest.mark.parametrize(
    ("told", "idle_s"),
    [
        ("IdleHint=no\nIdleSinceHintMonotonic=0\n", 0.0),
        ("IdleHint=yes\nIdleSinceHintMonotonic=90000000\n", 10.0),
        ("IdleHint=yes\nIdleSinceHintMonotonic=190000000\n", 0.0),
        ("IdleHint=yes\n", None),
        ("", None),
    ],
)
def test_what_logind_says(told: str, idle_s: float | None) -> None:
    assert platform.logind_idle_s(told, 100.0) == idle_s
