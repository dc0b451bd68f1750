"""Slots, leases and statistics: who runs where."""

from typing import TypeAlias

import pytest

from actors.core import binding, scheduling
from actors.core.slots import START, Reason, Slots
from events import (
    ControlStarted,
    Event,
    FrontConnected,
    Lease,
    NodeDiscovered,
    NodeFacts,
    RecoveryEnded,
    RequestDispatched,
    RequestQueued,
    SettingsChanged,
    SlotsChanged,
    StreamsProgressed,
    StreamStarted,
    TimerFired,
)
from tests.actors.cast import (
    MODEL,
    OTHER_MODEL,
    attempt_failed,
    book,
    cancelled,
    completed,
    configured,
    dispatched,
    failed,
    full,
    granted,
    heartbeat,
    nid,
    node,
    probed,
    queued,
    received,
    rid,
    settings,
)
from tests.playbook import FRONT, NOT_RECORDED, OTHER_FRONT, after, by, like

STUDIO = nid("studio")


def told(model: str, slots: int) -> SlotsChanged:
    return SlotsChanged(node_id=STUDIO, model=model, slots=slots, reason="told")


# Leases


def test_every_lease_is_new() -> None:
    playing = full("r2", "r3")
    playing.given(completed("r1", "studio", "1.1"), cancelled("r2", "studio", "1.2"))
    leases = [
        record.event.lease for record in playing.log if isinstance(record.event, RequestDispatched)
    ]
    assert leases == ["1.1", "1.2", "1.3"]


def test_the_grant_goes_to_the_front_that_has_the_client() -> None:
    playing = book(*node("studio", slots=2))
    playing.given(by(OTHER_FRONT, received("r1")), by(FRONT, received("r2")))
    assert [playing.state.requests[rid(name)].src for name in ("r1", "r2")] == [OTHER_FRONT, FRONT]
    grant = granted("r3", "studio", "1.3", score=99.5)
    assert (
        playing
        >> completed("r1", "studio", "1.1")
        >> by(OTHER_FRONT, received("r3"))
        << dispatched("r3", "studio", "1.3")
        << type(grant)(OTHER_FRONT, grant.message)
    )


def test_a_slot_per_model() -> None:
    assert (
        book(*node("studio", MODEL, OTHER_MODEL, slots=1), received("r1"))
        >> received("r2")
        << queued("r2", 1)
        >> received("s1", OTHER_MODEL)
        << dispatched("s1", "studio", "1.2")
        << granted("s1", "studio", "1.2")
    )


def test_a_line_whose_head_cannot_use_the_slot_lets_the_next_try() -> None:
    """The node failed the head before; it waits for the other."""
    playing = book(*node("studio", slots=1), *node("mini", slots=1, resident=()))
    playing.given(received("r1"), received("r2"), attempt_failed("r1", "studio", "1.1"))
    assert (
        playing
        >> received("r3")
        << dispatched("r3", "studio", "1.3")
        << granted("r3", "studio", "1.3")
    )
    assert list(playing.state.lines[MODEL].waiting) == ["r1"]


# Statistics


def test_what_is_counted_of_an_answer() -> None:
    playing = full()
    playing.given(
        completed("r1", "studio", "1.1", service_s=2.5, load_s=1.5, prompt_tokens=7),
        received("r2"),
        completed("r2", "studio", "1.2", service_s=0.5),
    )
    tally = playing.state.nodes[STUDIO].tallies[MODEL]
    assert (tally.completed, tally.failed, tally.service_s) == (2, 0, 3.0)
    assert (tally.load_s, tally.prompt_tokens, tally.completion_tokens) == (1.5, 7, 200)


def test_what_is_counted_of_what_was_sent_and_of_what_was_not() -> None:
    cold = book(*node("mini", slots=1, resident=()))
    cold.given(received("r1"), completed("r1", "mini", "1.1"))
    cold.given(probed("mini", MODEL, resident=(MODEL,)), received("r2"))
    tally = cold.state.nodes[nid("mini")].tallies[MODEL]
    assert (tally.sent, tally.cold) == (2, 1)
    for name in ("r3", "r4"):
        cold.given(received(name, f"made-up-{name}:latest"))
    cold.given(SettingsChanged(key="max_queue", old=1, new=0), received("r5"))
    assert cold.state.rejected == {MODEL: 1, "": 2}


@pytest.mark.parametrize(
    ("end", "failures"),
    [
        (failed("r1", "studio", "1.1"), 1),
        (failed("r1", "studio", "1.1", fault="client"), 0),
        (cancelled("r1", "studio", "1.1"), 0),
        (completed("r1", "studio", "1.1", status=404), 0),
    ],
    ids=["node", "client", "cancelled", "4xx"],
)
def test_a_slot_is_free_after_any_end_but_only_the_nodes_failures_count(
    end: Event, failures: int
) -> None:
    playing = full()
    assert playing >> end
    studio = playing.state.nodes[STUDIO]
    assert (studio.in_flight, studio.slots[MODEL].in_flight, playing.state.in_flight) == (0, 0, 0)
    tally = studio.tallies.get(MODEL)
    assert (0 if tally is None else tally.failed) == failures
    assert tally is None or tally.completed == 0


# Told slots


def test_the_command_line_tells_the_slots() -> None:
    playing = book(*node("studio", slots=3))
    for name in ("r1", "r2", "r3"):
        playing.given(received(name))
    assert playing >> received("r4") << queued("r4", 1)


def test_the_agent_tells_the_slots() -> None:
    playing = book(heartbeat("studio", MODEL, facts=NodeFacts(slots=1)), received("r1"))
    assert playing >> received("r2") << queued("r2", 1)


def test_told_slots_replace_learned_ones_and_change_when_told_again() -> None:
    playing = book(heartbeat("studio", MODEL), received("r1"), received("r2"))
    assert playing.state.nodes[STUDIO].slots[MODEL].limit == START
    assert (
        playing
        >> received("r3")
        << queued("r3", 1)
        >> heartbeat("studio", MODEL, facts=NodeFacts(slots=3))
        << told(MODEL, 3)
        << dispatched("r3", "studio", "1.3")
        << granted("r3", "studio", "1.3")
        >> heartbeat("studio", MODEL, facts=NodeFacts(slots=4))
        << told(MODEL, 4)
    )


def test_the_command_line_has_the_last_word() -> None:
    playing = book(*node("studio", slots=1), received("r1"))
    playing.given(heartbeat("studio", MODEL, facts=NodeFacts(slots=4)))
    assert playing >> received("r2") << queued("r2", 1)
    assert (
        playing
        >> configured("studio", 2)
        << told(MODEL, 2)
        << dispatched("r2", "studio", "1.2")
        << granted("r2", "studio", "1.2")
    )


def test_a_change_for_a_forgotten_node_is_nothing() -> None:
    playing = book(*node("studio"), settings(), told(MODEL, 3), probed("studio", MODEL))
    assert playing.state.nodes == {}


# Learned slots


Evidence: TypeAlias = dict[int, tuple[int, Reason]]


@pytest.fixture
def evidence(monkeypatch: pytest.MonkeyPatch) -> Evidence:
    """What the evidence calls for at each limit; learning itself has its own tests."""
    calls: Evidence = {}

    def proposal(slots: Slots, now_us: int, *, waiting: bool) -> tuple[int, Reason] | None:
        change = calls.get(slots.limit)
        return change if change and now_us and (waiting or change[1] != "trial") else None

    for module in (scheduling, binding):
        monkeypatch.setattr(module, "proposal", proposal)
    return calls


def test_who_waits_makes_the_scheduler_try_more_slots(evidence: Evidence) -> None:
    playing = book(*node("studio"), received("r1"), received("r2"))
    evidence |= {2: (4, "trial")}
    assert (
        playing
        >> received("r3")
        << SlotsChanged(node_id=STUDIO, model=MODEL, slots=4, reason="trial")
        << dispatched("r3", "studio", "1.3")
        << granted("r3", "studio", "1.3", probing=True)
        >> received("r4")
        << dispatched("r4", "studio", "1.4")
        << granted("r4", "studio", "1.4", probing=True)
        >> received("r5")
        << queued("r5", 1)
    )


def test_a_trial_ends_by_the_clock_too(evidence: Evidence) -> None:
    """Nobody waits any more, so a timer draws the conclusion."""
    playing = book(*node("studio"), received("r1"))
    evidence |= {2: (1, "stepped_back")}
    assert (
        playing
        >> TimerFired()
        << SlotsChanged(node_id=STUDIO, model=MODEL, slots=1, reason="stepped_back")
        >> TimerFired()
        << NOT_RECORDED
    )


def test_the_words_of_a_stream_are_heard() -> None:
    playing = book(*node("studio"), received("r1"), received("r2"))
    began = StreamStarted(
        request_id=rid("r1"), model=MODEL, node_id=STUDIO, lease=Lease("1.1"), ttft_s=0.2
    )
    late = StreamStarted(
        request_id=rid("r1"), model=MODEL, node_id=STUDIO, lease=Lease("0.9"), ttft_s=0.2
    )
    slots = playing.state.nodes[STUDIO].slots[MODEL]
    assert playing >> after(1.0) >> late
    assert slots.claim == 0
    assert playing >> began >> StreamsProgressed(progress=((rid("r1"), 50), (rid("r2"), 40)))
    assert slots.claim == 1
    assert slots.here.live >= 1


def test_words_of_a_stream_on_a_forgotten_node_are_nothing() -> None:
    playing = book(*node("studio"), received("r1"), settings(), after(1.0))
    began = StreamStarted(
        request_id=rid("r1"), model=MODEL, node_id=STUDIO, lease=Lease("1.1"), ttft_s=0.2
    )
    assert playing >> began >> StreamsProgressed(progress=((rid("r1"), 50),))
    assert playing.state.nodes == {}


def test_a_node_named_anew_under_work_keeps_its_count() -> None:
    """Discovery announces it again, because it failed at the first announcement."""
    playing = book(*node("studio", slots=2), received("r1"))
    playing.given(NodeDiscovered(node_id=STUDIO, url="http://studio:11434", origin="flag"))
    assert playing.state.nodes[STUDIO].in_flight == 1


def test_who_must_wait_is_told_its_place() -> None:
    assert (
        full("r2")
        >> received("r3")
        << RequestQueued(request_id=rid("r3"), model=MODEL, position=2, reason="slots")
    )
    assert book() >> received("r1") << like(RequestQueued, reason="hold")


def test_who_is_not_alone_reports_its_first_byte_at_once_and_so_do_the_first_few() -> None:
    """Overlap is the evidence; later on an undisturbed request is three events."""
    few: list[Event] = []
    for number in range(1, 4):
        few += [received(f"r{number}"), completed(f"r{number}", "studio", f"1.{number}")]
    assert (
        book(*node("studio"))
        >> received("r0")
        << dispatched("r0", "studio", "1.1")
        << granted("r0", "studio", "1.1", probing=True)
    )
    assert (
        book(*node("studio"), *few)
        >> received("r4")
        << dispatched("r4", "studio", "1.4")
        << granted("r4", "studio", "1.4", probing=False)
        >> received("r5")
        << dispatched("r5", "studio", "1.5")
        << granted("r5", "studio", "1.5", score=99.5, probing=True)
    )


# Who waits behind whom


def test_requests_that_a_node_failed_do_not_keep_others_from_it() -> None:
    """However many of them stand first in line."""
    two = book(*node("ada", slots=12), *node("bob", slots=1))
    two.given(*(received(f"r{number}") for number in range(13)))
    there = [each for each in two.state.requests.values() if each.node_id == "ada"]
    assert len(there) == 12
    two.given(*(attempt_failed(each.request_id, "ada", each.lease, status=0) for each in there))
    two.given(probed("ada", MODEL, resident=(MODEL,)), after(60.0), TimerFired())
    assert two.state.waiting == 12
    two.given(received("fresh"))
    assert two.state.requests[rid("fresh")].node_id == "ada"


def test_requests_for_ollama_s_routes_do_not_keep_others_from_another_server() -> None:
    both = book(
        *node("studio", slots=1),
        configured("llama", 4),
        probed("llama", MODEL, resident=(MODEL,), dialect="openai"),
    )
    both.given(*(received(f"r{number}") for number in range(12)))
    assert both.state.waiting == 11
    both.given(received("v1", route="/v1/chat/completions"))
    assert both.state.requests[rid("v1")].node_id == "llama"


def test_slots_that_are_told_no_more_are_learned() -> None:
    told = book(*node("studio", slots=4), received("r1"), completed("r1", "studio", "1.1"))
    assert (
        told
        >> configured("studio", 0)
        << SlotsChanged(node_id=STUDIO, model=MODEL, slots=2, reason="trial")
    )
    slots = told.state.nodes[STUDIO].slots[MODEL]
    assert (slots.limit, slots.told) == (2, False)


# A front that has not said yet what it carries


def test_a_front_gets_no_grant_before_it_has_said_what_it_carries() -> None:
    """It sends again what was not acknowledged, then what it carries: one request, one lease."""
    late = book(*node("studio", slots=2), ControlStarted(epoch=2, version="test"), RecoveryEnded())
    assert (
        late
        >> received("r1")
        << queued("r1", 1)
        >> FrontConnected(front=1, waiting=(rid("r1"),))
        << dispatched("r1", "studio", "2.1")
        << granted("r1", "studio", "2.1")
    )
