"""Each check on a fleet in virtual time: it fires where something is wrong, and is silent without.

Log, database, queries and checks are those that ship; only the machines and the time are not real.
What takes real processes is in `tests/e2e/test_health.py`.
"""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from herd.health.finding import Finding
from tests.herd.health import test_checks, troubles
from tests.herd.health.scenes import Scene
from tests.herd.health.troubles import SMALL, naming, sized

MEMORY = "heartbeat_received node_probed"
Make = Callable[[], Scene]


class Case(NamedTuple):
    """What is wrong, who tells of it, of which events; and the same fleet without."""

    checks: str
    ill: Make
    events: str
    """Kinds; empty where no event can tell of it."""
    well: Make = Scene
    node_id: str | None = "tower"


CASES = (
    Case("no_node", partial(troubles.silent, 31, "tower", "studio", "mini"), "node_went_offline",
         node_id=None),
    Case("node_offline", partial(troubles.silent, 31, "tower"), "node_went_offline"),
    Case("node_did_not_wake", partial(troubles.asleep, wakes=False), "node_went_offline",
         partial(troubles.asleep, wakes=True)),
    Case("node_degraded", partial(troubles.silent, 20, "tower"), "node_degraded"),
    Case("node_waits", troubles.knocking, "node_knocked", node_id="new"),
    Case("node_paused", troubles.paused, "node_paused", node_id="studio"),
    Case("version_mismatch", troubles.older, "heartbeat_received"),
    Case("node_bypassed", partial(troubles.beside, 90, 95), MEMORY, partial(troubles.beside, 0, 5),
         "studio"),
    Case("underutilised", partial(troubles.crowded, 600), "request_completed",
         partial(troubles.crowded, 60), "idle"),
    Case("memory_pressure", lambda: Scene(sized(8.6)), MEMORY, lambda: Scene(sized(9.4))),
    Case("kv_cache_bloat", lambda: Scene(sized(34, 8, 16384)), MEMORY,
         lambda: Scene(sized(48, 8, 16384))),
    Case("cpu_fallback", partial(troubles.card_lost, told=True), MEMORY, lambda: Scene(SMALL)),
    Case("cpu_fallback", partial(troubles.card_lost, told=False), MEMORY, lambda: Scene(SMALL)),
    Case("grey_failure", partial(troubles.throttled, 60), "request_completed circuit_opened"),
    Case("grey_failure", partial(troubles.throttled, 20), "request_completed circuit_opened"),
    Case("context_reload", partial(naming, {"app-0": 16384}), "request_received",
         partial(naming, {}, others=16384)),
    Case("context_protection", partial(naming, {}, "qwen2.5:7b", others=65536), "request_received",
         partial(naming, {}, "qwen2.5:7b", others=8192)),
    Case("prompt_truncated", partial(troubles.writing, 80_000), "request_received",
         partial(troubles.writing, 30_000)),
    Case("pin_cannot_fit", partial(troubles.pinned, "llama3.3:70b"), "model_pinned",
         partial(troubles.pinned, "qwen2.5:7b")),
    Case("pin_cannot_fit", partial(troubles.pinned, "qwen2.5:7b", breaks=True),
         "load_finished model_pinned", partial(troubles.pinned, "qwen2.5:7b")),
    Case("model_load_timeout requests_stalled circuit_open", troubles.deaf,
         "attempt_failed request_stalled circuit_opened"),
    Case("model_load_timeout", partial(troubles.for_the_large, 5), "request_cancelled",
         partial(troubles.for_the_large, 900), "studio"),
    Case("client_disconnects", partial(troubles.for_the_large, 5), "request_cancelled",
         partial(troubles.for_the_large, 900), None),
    Case("high_retry_rate", troubles.failing_now_and_then, "attempt_failed", node_id=None),
    Case("fast_errors high_error_rate", troubles.failing_now_and_then, "attempt_failed",
         node_id="studio"),
    Case("requests_reaped", partial(troubles.stops_at, 30), "request_reaped",
         partial(troubles.stops_at, 59)),
    Case("timeouts", partial(troubles.crowded, 1200), "request_rejected",
         partial(troubles.crowded, 60), None),
    Case("deadlines", partial(troubles.crowded, 300, 5.0), "request_rejected",
         partial(troubles.crowded, 300, 900.0), None),
    Case("herd_failures", troubles.raising, "actor_failed", node_id=None),
    Case("recording_off", partial(troubles.unrecorded, 100, 200), "", node_id=None),
    Case("log_gaps", partial(troubles.unrecorded, 80, 90), "", node_id=None),
    Case("log_lag", troubles.behind, "", node_id=None),
    Case("clock_skew", partial(troubles.looked_at, -600), "",
         partial(troubles.looked_at, 600), node_id=None),
)  # fmt: skip

ELSEWHERE = {
    "model_thrashing": "test_healthy_week.py",
    "incomplete_streams": "tests/e2e/test_health.py",
    "log_away": "tests/chaos/test_overload.py",
}
"""Who shows the others on a fleet that runs."""


DISK = "disk_full"


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Finding]:
    """What is said of the demo's fleet when all is well."""
    return Scene().plays(tmp_path_factory.mktemp("quiet"))


def test_nothing_is_said_of_a_fleet_at_work(quiet: dict[str, Finding]) -> None:
    assert quiet == {}


@pytest.mark.parametrize("case", CASES, ids=lambda each: each.checks)
def test_a_check_fires_on_what_a_fleet_records(
    case: Case, quiet: dict[str, Finding], tmp_path: Path
) -> None:
    scene = case.ill()
    found = scene.plays(tmp_path / "ill")
    without = quiet if case.well is Scene else case.well().plays(tmp_path / "well")
    for name in case.checks.split():
        assert name in found
        assert name not in without
        said = found[name]
        assert said.node_id == case.node_id
        assert {scene.kinds[seq] for seq in said.seqs} <= set(case.events.split())
        assert bool(said.seqs) == bool(case.events)
        assert said.fix.count("`") >= 2, "the next step is a command"


def test_nothing_is_said_of_a_node_that_wakes(tmp_path: Path) -> None:
    scene = troubles.asleep(wakes=True)
    assert scene.plays(tmp_path) == {}
    happened = list(scene.kinds.values())
    slept = happened.index("node_slept")
    assert slept < happened.index("wake_planned") < happened.index("node_became_healthy", slept)


@pytest.mark.parametrize(
    ("free_bytes", "severity"), [(900 << 20, "warning"), (9 << 20, "critical")]
)
def test_a_disk_that_fills_up(
    free_bytes: int, severity: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=free_bytes)

    def disk_usage(_path: Path) -> object:
        return usage

    monkeypatch.setattr(shutil, "disk_usage", disk_usage)
    assert Scene(hours=1).plays(tmp_path)[DISK].severity == severity


def test_every_check_fires_on_a_fleet() -> None:
    shown = {name for case in CASES for name in case.checks.split()} | {DISK, *ELSEWHERE}
    assert shown == {case[1] for case in test_checks.CASES} | {"node_did_not_wake"}
