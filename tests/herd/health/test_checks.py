"""Each check: a picture that makes it fire, and one close to it that keeps it silent."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from events import ModelFacts, NodeFacts, NodeId, ResidentModel
from herd.health import circuits, itself, models, nodes, pins, report, requests
from herd.health.finding import Check
from herd.health.picture import Context, LogState, Picture, Trouble, Work
from herd.link.messages import KnockView, View
from tests.herd.http.fleet import node_view

GIB = 1024**3
CARD = NodeFacts(vram_bytes=24 * GIB, agent_version="1.0")
KNOCK = KnockView(node_key="k", url="http://b:11434", by="192.0.2.7", at_s=1.0)
IDLE = Picture(view=View(nodes=(node_view("a", facts=CARD),), settled=True), version="1.0")


def seen(**change: Any) -> Picture:
    return msgspec.structs.replace(IDLE, **change)


def fleet(*views: Any) -> Picture:
    return seen(view=View(nodes=views))


def holding(size_gib: float, on_disk_gib: float = 10, card_gib: float | None = None) -> Picture:
    """One node with one model in its memory, as large as that."""
    size, card = int(size_gib * GIB), int((size_gib if card_gib is None else card_gib) * GIB)
    resident = ResidentModel(name="m", size_bytes=size, size_vram_bytes=card, context_length=4096)
    on_disk = ModelFacts(name="m", size_bytes=int(on_disk_gib * GIB))
    return fleet(node_view("a", on_disk, resident=(resident,), facts=CARD))


def trouble(kind: str, **more: Any) -> Picture:
    """Hundred whole answers, and one kind of trouble with seqs 7 and 9."""
    each = Trouble(recent=True, kind=kind, node_id="a", model="m", seqs=[9, 7])
    return seen(troubles=(msgspec.structs.replace(each, **more),), work=(worked(),))


def healed(closed: int) -> Picture:
    """A circuit that opened at 7 and 9, and closed after that, or in between."""
    opened = trouble("circuit_opened")
    shut = msgspec.structs.replace(opened.troubles[0], kind="circuit_closed", seqs=[closed])
    return msgspec.structs.replace(opened, troubles=(*opened.troubles, shut))


def worked(**more: Any) -> Work:
    each = Work(recent=False, node_id="a", model="m", completed=100)
    return msgspec.structs.replace(each, **more)


def pace(now: float) -> Picture:
    """20 tokens a second in the past, and that many now."""
    past = worked(decoded_tokens=20_000, decode_s=1000.0)
    return seen(
        work=(past, worked(recent=True, decoded_tokens=1000, decode_s=1000 / now, seqs=[5]))
    )


def asked(held: int = 0, **more: Any) -> Picture:
    each = Context(model="m", app="editor", num_ctx=8192, node_id="a", requests=3, seqs=[4])
    other = Context(model="m", app="chat", num_ctx=0, node_id="a", requests=9, seqs=[2])
    resident = (ResidentModel(name="m", context_length=held),) if held else ()
    return seen(
        view=View(nodes=(node_view("a", resident=resident),)),
        contexts=(msgspec.structs.replace(each, **more), other),
    )


def pinned(loads: int, *, on_disk: bool = True) -> Picture:
    """A model that is pinned, in no memory, and failed to load so often."""
    models = (ModelFacts(name="m"),) if on_disk else ()
    failed = Trouble(recent=True, kind="load_finished", node_id="a", model="m", seqs=[9, 7])
    return seen(
        view=View(nodes=(node_view("a", *models),), pinned={NodeId("a"): ("m",)}),
        troubles=(msgspec.structs.replace(failed, events=loads),),
    )


def waited(queue_s: float) -> Picture:
    return seen(
        view=View(nodes=(node_view("a"), node_view("idle"))),
        work=(worked(queue_s=queue_s, completed=200),),
    )


def beside(*, recent: bool = True, planned: str = "", by: Work | None = None) -> Picture:
    """A model that came into a node's memory, and who asked for it through herd."""
    came = Trouble(recent=recent, kind="model_appeared", node_id="a", model="m", seqs=[9])
    plan = Trouble(recent=True, kind="load_planned", node_id="a", model=planned)
    return seen(troubles=(came, plan), work=() if by is None else (by,))


CASES: list[tuple[Check, str, Picture, Picture]] = [
    (nodes.no_node, "no_node", seen(view=View()), IDLE),
    (nodes.no_node, "no_node", fleet(node_view("a", status="offline")), IDLE),
    (nodes.offline, "node_offline", fleet(node_view("a", status="offline")), IDLE),
    (nodes.degraded, "node_degraded", fleet(node_view("a", status="degraded")), IDLE),
    (nodes.paused, "node_paused", fleet(node_view("a", paused="in use")), IDLE),
    (nodes.memory_pressure, "memory_pressure", holding(23.5), holding(20)),
    (nodes.underutilised, "underutilised", waited(queue_s=400), waited(queue_s=10)),
    (nodes.bypassed, "node_bypassed", beside(), beside(by=worked(model="m:latest"))),
    (nodes.bypassed, "node_bypassed", beside(), beside(recent=False)),
    (nodes.bypassed, "node_bypassed", beside(planned="other"), beside(planned="m")),
    (nodes.version_mismatch, "version_mismatch", seen(version="2.0"), IDLE),
    (nodes.cpu_fallback, "cpu_fallback", holding(10, card_gib=2), holding(10)),
    (
        models.thrashing,
        "model_thrashing",
        seen(work=(worked(recent=True, again=6, again_seqs=[3]),)),
        seen(work=(worked(recent=True, cold=50, again=5), worked(again=50))),
    ),
    (models.kv_bloat, "kv_cache_bloat", holding(20), holding(20, on_disk_gib=15)),
    (models.kv_bloat, "kv_cache_bloat", holding(20), holding(16)),
    (models.context_protection, "context_protection", asked(held=4096), asked(held=8192)),
    (models.context_reload, "context_reload", asked(cold=2), asked(cold=1)),
    (
        models.prompt_truncated,
        "prompt_truncated",
        asked(most_body_bytes=80_000, prompt_tokens=8100),
        asked(most_body_bytes=80_000, prompt_tokens=600),  # a picture: no text
    ),
    (pins.not_kept, "pin_cannot_fit", pinned(3), pinned(2)),
    (
        pins.not_kept,
        "pin_cannot_fit",
        pinned(0, on_disk=False),
        msgspec.structs.replace(
            holding(10), view=View(nodes=holding(10).view.nodes, pinned={NodeId("a"): ("m",)})
        ),
    ),
    (models.grey_failure, "grey_failure", pace(now=5), pace(now=12)),
    (
        requests.error_rate,
        "high_error_rate",
        trouble("request_failed", events=10, fault="node"),
        trouble("request_failed", events=10, fault="client"),
    ),
    (
        requests.retry_rate,
        "high_retry_rate",
        trouble("attempt_failed", events=30),
        trouble("attempt_failed", events=29),
    ),
    (
        requests.timeouts,
        "timeouts",
        trouble("request_rejected", phase="queue_timeout"),
        trouble("request_rejected", phase="unknown_model"),
    ),
    (
        requests.timeouts,
        "timeouts",
        trouble("request_rejected", phase="hold_timeout"),
        trouble("request_rejected", phase="deadline"),
    ),
    (
        requests.deadlines,
        "deadlines",
        trouble("request_rejected", phase="too_late"),
        trouble("request_rejected", phase="queue_timeout"),
    ),
    (
        requests.load_timeouts,
        "model_load_timeout",
        trouble("attempt_failed", phase="first_byte", events=3),
        trouble("attempt_failed", phase="first_byte", events=3, quick=3),
    ),
    (
        requests.quick_failures,
        "fast_errors",
        trouble("attempt_failed", events=5, quick=5, status=500),
        trouble("attempt_failed", events=5, quick=4, status=500),
    ),
    (
        circuits.kept_away,
        "circuit_open",
        trouble("circuit_opened"),
        healed(closed=10),
    ),
    (
        nodes.waiting,
        "node_waits",
        seen(view=View(nodes=(node_view("a"),), knocks={NodeId("b"): KNOCK})),
        IDLE,
    ),
    (circuits.stalled, "requests_stalled", trouble("request_stalled"), IDLE),
    (
        requests.disconnects,
        "client_disconnects",
        trouble("request_cancelled", events=3),
        trouble("request_cancelled", events=2),
    ),
    (
        requests.incomplete_streams,
        "incomplete_streams",
        trouble("request_failed", phase="stream", fault="node"),
        trouble("request_failed", phase="connect", fault="node"),
    ),
    (requests.reaped, "requests_reaped", trouble("request_reaped"), IDLE),
    (itself.recording_off, "recording_off", seen(view=View(recording=False)), IDLE),
    (itself.gaps, "log_gaps", seen(log=LogState(missing_events=1)), IDLE),
    (
        itself.disk_full,
        "disk_full",
        seen(log=LogState(free_bytes=10**9 - 1)),
        seen(log=LogState(free_bytes=10**9)),
    ),
    (itself.log_away, "log_away", seen(log=LogState(away=True)), IDLE),
    (itself.log_lag, "log_lag", seen(log=LogState(lag_s=31)), seen(log=LogState(lag_s=30))),
    (itself.clock_skew, "clock_skew", seen(log=LogState(ahead_s=6)), seen(log=LogState(ahead_s=5))),
    (itself.own_failures, "herd_failures", trouble("actor_failed"), IDLE),
]


@pytest.mark.parametrize(("check", "name", "ill", "well"), CASES)
def test_a_check_fires_where_it_should_and_only_there(
    check: Check, name: str, ill: Picture, well: Picture
) -> None:
    assert [finding.check_id for finding in check(ill)] == [name]
    assert list(check(well)) == []


def test_a_node_that_its_owner_uses_is_no_alarm_unless_it_is_the_last() -> None:
    resting, awake = node_view("a", paused="its owner is using it"), node_view("b")
    (said,) = nodes.paused(fleet(resting, awake))
    assert (said.severity, said.node_id) == ("info", "a")
    assert "its owner is using it" in said.description
    assert report.score([said]) == 100
    (said,) = nodes.paused(fleet(resting, node_view("b", status="offline")))
    assert said.severity == "warning"
    assert "requests wait" in said.description


def test_a_paused_node_is_not_called_idle() -> None:
    picture = waited(queue_s=400)
    views = (node_view("a"), node_view("idle", paused="its owner is using it"))
    rested = msgspec.structs.replace(picture, view=View(nodes=views))
    assert list(nodes.underutilised(rested)) == []


def test_every_check_is_tested_and_asked() -> None:
    assert {case[0] for case in CASES} == set(report.CHECKS)


@pytest.mark.parametrize("check", report.CHECKS)
def test_an_idle_fleet_makes_no_check_fire(check: Check) -> None:
    assert list(check(IDLE)) == []


@pytest.mark.parametrize(
    ("make", "seqs"),
    [
        (lambda: trouble("request_reaped"), (9, 7)),
        (lambda: pace(now=5), (5,)),
        (lambda: asked(cold=2), (4,)),
    ],
)
def test_a_finding_names_the_events_that_made_it_fire(
    make: Callable[[], Picture], seqs: tuple[int, ...]
) -> None:
    [finding] = report.findings(make())
    assert finding.seqs == seqs


def test_a_prompt_too_long_is_told_with_its_application_and_both_numbers() -> None:
    [finding] = models.prompt_truncated(asked(most_body_bytes=80_000, prompt_tokens=8100))
    assert finding.data == {
        "app": "editor",
        "model": "m",
        "num_ctx": 8192,
        "requests": 3,
        "prompt_tokens_sent": 20_000,
        "context": 8192,
        "read": 8100,
    }


def test_memory_that_nobody_told_of_is_short_where_a_model_is_cut_in_two() -> None:
    def untold(picture: Picture) -> Picture:
        [node] = picture.view.nodes
        return fleet(msgspec.structs.replace(node, facts=NodeFacts()))

    assert list(models.kv_bloat(untold(holding(16)))) == []
    assert list(models.kv_bloat(untold(holding(16, card_gib=0)))) == [], "all on the processor"
    [finding] = models.kv_bloat(untold(holding(16, card_gib=12)))
    assert finding.severity == "warning"


def test_a_node_that_was_drained_before_it_left_is_not_missed() -> None:
    away = msgspec.structs.replace(node_view("b", status="offline"), draining=True)
    assert report.findings(fleet(node_view("a"), away)) == []


def test_a_dispatch_that_failed_before_a_byte_was_no_load() -> None:
    failures = trouble("attempt_failed", phase="first_byte")
    refused = msgspec.structs.replace(
        failures, work=(worked(recent=True, again=6, again_seqs=[3]),)
    )
    assert list(models.thrashing(refused)) == []


def test_a_circuit_that_opened_again_after_it_closed_is_open() -> None:
    [finding] = circuits.kept_away(healed(closed=8))
    assert (finding.node_id, finding.data["model"], finding.seqs) == ("a", "m", (9, 7))


def test_a_circuit_of_a_node_that_left_the_fleet_is_forgotten() -> None:
    gone = msgspec.structs.replace(trouble("circuit_opened"), view=View(nodes=(node_view("b"),)))
    assert list(circuits.kept_away(gone)) == []


def test_a_circuit_of_a_node_that_came_back_as_another_is_forgotten() -> None:
    opened = trouble("circuit_opened")
    left = msgspec.structs.replace(opened.troubles[0], kind="node_forgotten", model="", seqs=[10])
    again = msgspec.structs.replace(opened, troubles=(*opened.troubles, left))
    assert list(circuits.kept_away(again)) == []


def test_a_node_that_is_slow_has_not_failed() -> None:
    slow = msgspec.structs.replace(
        trouble("circuit_opened", phase="slow"), view=View(nodes=(node_view("a"),))
    )
    assert list(circuits.kept_away(slow)) == []


def test_what_clients_wait_is_not_blamed_on_the_fleet() -> None:
    [said] = requests.deadlines(trouble("request_rejected", phase="deadline"))
    assert said.title == "1 request could not be served within its client's deadline"
    assert said.severity == "info"
    assert "FLEET_QUEUE_TIMEOUT" not in said.fix


# The score


def vitals(picture: Picture) -> Any:
    return report.report(picture, 1.0)["vitals"]


def score(picture: Picture) -> Any:
    return vitals(picture)["health_score"]


def test_the_score_is_100_for_an_idle_fleet_and_0_without_a_node() -> None:
    assert score(IDLE) == 100
    assert score(seen(view=View())) == 0
    assert score(fleet(node_view("a"), node_view("b", status="offline"))) == 75
    assert score(waited(queue_s=400)) == 100  # that is no more than an information


def test_the_worst_comes_first() -> None:
    ill = fleet(node_view("a", status="degraded"), node_view("b", status="offline"))
    assert [each.severity for each in report.findings(ill)] == ["critical", "warning"]


def test_the_vitals_count_a_day() -> None:
    told = vitals(trouble("request_failed", events=25, phase="stream", fault="node"))
    assert (told["total_requests_24h"], told["overall_error_rate_pct"]) == (125, 20.0)
    assert told["incomplete_streams_24h"] == 25


@pytest.mark.parametrize(("status", "rate_pct"), [(503, 20.0), (429, 20.0), (404, 0.0)])
def test_who_was_turned_away_counts_as_an_error_unless_it_was_his_own(
    status: int, rate_pct: float
) -> None:
    told = vitals(trouble("request_rejected", events=25, status=status))
    assert (told["total_requests_24h"], told["overall_error_rate_pct"]) == (125, rate_pct)
