"""What the check finds, and what it lets pass."""

from collections.abc import Callable
from itertools import count

import msgspec
import pytest

from actors.core.placement import Choice
from actors.core.policies import place
from actors.core.state import SCHEMA, Request, State, dump, load
from actors.run_queue import fold
from events import (
    Event,
    NodeDegraded,
    NodeId,
    Recorded,
    RequestDispatched,
    RequestQueued,
    StateSnapshotted,
    TimerFired,
    Unknown,
    decode,
    encode,
)
from herd.control.restore import head_of_segment
from herd.errors import HerdError
from herd.replay.check import Report, check
from tests.actors.cast import MODEL, book, completed, node, received
from tests.playbook import Playbook


def played() -> Playbook:
    """Two nodes, five requests, two of which wait; 18 records or so."""
    playing = book(*node("ada", slots=1), *node("bob", slots=2))
    playing.given(*(received(f"r{number}") for number in range(5)))
    for each in list(playing.state.requests.values())[:2]:
        playing.given(completed(each.request_id, each.node_id, each.lease))
    return playing


@pytest.fixture
def log() -> list[Recorded]:
    """As it comes from the disk."""
    return [decode(encode(record)) for record in played().log]


def first(log: list[Recorded], kind: type[Event]) -> int:
    return next(place for place, each in enumerate(log) if isinstance(each.event, kind))


def with_event(record: Recorded, event: Event) -> Recorded:
    return msgspec.structs.replace(record, event=event)


def renumbered(log: list[Recorded]) -> list[Recorded]:
    """The same without a gap, causes included."""
    numbers = count(log[0].seq)
    new: dict[int, int] = {}
    for record in log:
        new.setdefault(record.seq, next(numbers))
    return [
        msgspec.structs.replace(record, seq=seq, cause=new.get(record.cause, record.cause))
        for seq, record in enumerate(log, log[0].seq)
    ]


def found(log: list[Recorded]) -> tuple[int, str]:
    """Return where the check sees the only divergence, and after what."""
    (divergence,) = check(log).divergences
    return divergence.seq, divergence.fact


def test_a_true_log_has_no_divergence(log: list[Recorded]) -> None:
    report = check(log)
    assert report.divergences == []
    assert (report.events, report.skipped, report.gaps) == (len(log), 0, [])
    assert (report.dispatches, report.snapshots, report.unknown) == (5, 0, 0)
    assert report.facts + report.decisions == len(log) - 1, "all but the head"


def test_a_changed_decision_is_found(log: list[Recorded]) -> None:
    at = first(log, RequestDispatched)
    decision = log[at].event
    assert isinstance(decision, RequestDispatched)
    other = NodeId("ada" if decision.node_id == "bob" else "bob")
    log[at] = with_event(log[at], msgspec.structs.replace(decision, node_id=other))
    assert found(log) == (log[at].seq, "request_received")
    (divergence,) = check(log).divergences
    assert f'"node_id":"{other}"' in divergence.recorded
    assert f'"node_id":"{decision.node_id}"' in divergence.replayed


def test_the_smallest_change_of_a_term_is_found(log: list[Recorded]) -> None:
    at = first(log, RequestDispatched)
    decision = log[at].event
    assert isinstance(decision, RequestDispatched)
    terms = (msgspec.structs.replace(decision.terms[0], score=99.999999), *decision.terms[1:])
    log[at] = with_event(log[at], msgspec.structs.replace(decision, terms=terms))
    assert found(log) == (log[at].seq, "request_received")


def test_a_missing_decision_is_found(log: list[Recorded]) -> None:
    at = first(log, RequestQueued)
    del log[at]
    assert found(renumbered(log)) == (at + 1, "request_received")
    (divergence,) = check(renumbered(log)).divergences
    assert divergence.recorded == ""
    assert '"k":"request_queued"' in divergence.replayed


def test_an_extra_decision_is_found(log: list[Recorded]) -> None:
    at = first(log, RequestQueued)
    extra = with_event(log[at], NodeDegraded(node_id=NodeId("ada")))
    log.insert(at + 1, extra)
    assert found(renumbered(log)) == (at + 2, "request_received")
    (divergence,) = check(renumbered(log)).divergences
    assert '"k":"node_degraded"' in divergence.recorded
    assert divergence.replayed == ""


def test_another_policy_diverges(log: list[Recorded]) -> None:
    def backwards(state: State, request: Request) -> Choice | None:
        choice = place(state, request)
        if choice is None or len(choice.candidates) == 1:
            return choice
        candidates = choice.candidates[::-1]
        return Choice(state.nodes[candidates[0].node_id], candidates, choice.more, choice.draw)

    assert check(log, backwards).divergences != []


# Heads of segments


def with_head(change: Callable[[State], None]) -> tuple[list[Recorded], Report]:
    """A log with a second segment, whose stored state was changed."""
    playing = played()
    stored = load(dump(playing.state))
    change(stored)
    head = head_of_segment(stored, playing.now_us)
    head = msgspec.structs.replace(head, seq=playing.state.seq + 1)
    later = Playbook()
    later.state = load(dump(stored))
    later.state.seq = head.seq
    later.log, later.now_us = [head], playing.now_us
    later.given(received("later"), received("last"))
    log = [*playing.log, *later.log]
    return log, check(log)


def unchanged(_state: State) -> None:
    pass


def test_a_stored_state_is_compared_with_the_folded_one() -> None:
    _, report = with_head(unchanged)
    assert (report.snapshots, report.divergences) == (1, [])


def test_a_wrong_stored_state_is_found_and_the_check_goes_on_from_it() -> None:
    def wrong(state: State) -> None:
        state.nodes[NodeId("ada")].tallies.clear()

    log, report = with_head(wrong)
    (divergence,) = report.divergences
    assert divergence.fact == "state_snapshotted"
    assert divergence.recorded != divergence.replayed
    assert (report.skipped, report.events) == (0, len(log))


def test_a_stored_state_that_cannot_be_read_is_named() -> None:
    state = msgspec.Raw(b'{"seq":"many"}')
    head = Recorded(7, 7, StateSnapshotted(state=state, schema=SCHEMA, version="9.9"))
    with pytest.raises(HerdError, match=r"at seq 7, written by herd 9\.9, cannot be read"):
        check([head])


def test_a_stored_state_of_a_newer_herd_is_refused_naming_it() -> None:
    newer = StateSnapshotted(state=msgspec.Raw(b"{}"), schema=SCHEMA + 1, version="9.9")
    with pytest.raises(HerdError, match=rf"herd 9\.9, whose format \({SCHEMA + 1}\) is newer"):
        check([Recorded(7, 7, newer)])


def test_after_a_divergence_the_check_goes_on_at_the_next_head() -> None:
    log, _ = with_head(unchanged)
    at = first(log, RequestDispatched)
    log[at] = with_event(log[at], NodeDegraded(node_id=NodeId("ada")))
    report = check(log)
    assert [each.seq for each in report.divergences] == [log[at].seq]
    assert report.skipped > 5
    assert report.snapshots == 0, "nothing trustworthy to compare the head with"
    assert report.facts > 2, "the second segment was checked"


def test_what_comes_before_the_first_stored_state_is_skipped() -> None:
    log, _ = with_head(unchanged)
    report = check(log[3:])
    heads = [place for place, each in enumerate(log) if isinstance(each.event, StateSnapshotted)]
    assert report.skipped == heads[1] - 3
    assert report.divergences == []


def test_an_empty_log_is_fine() -> None:
    assert check([]) == Report()


# Gaps


def test_a_time_without_recording_is_a_gap_not_a_divergence() -> None:
    log, _ = with_head(unchanged)
    heads = [place for place, each in enumerate(log) if isinstance(each.event, StateSnapshotted)]
    second = heads[1]
    shifted = [
        msgspec.structs.replace(each, seq=each.seq + 100, cause=each.cause and each.cause + 100)
        for each in log[second:]
    ]
    report = check([*log[:second], *shifted])
    assert report.gaps == [(log[second].seq, log[second].seq + 99)]
    assert (report.divergences, report.skipped) == ([], 0)


def test_lost_lines_are_a_gap(log: list[Recorded]) -> None:
    facts = [place for place, each in enumerate(log) if each.cause == 0]
    lost = log[facts[4] : facts[5]]
    report = check([*log[: facts[4]], *log[facts[5] :]])
    assert report.gaps == [(lost[0].seq, lost[-1].seq)]
    assert report.divergences == []
    assert report.skipped == len(log) - facts[5]


@pytest.mark.parametrize("further", [0, 1])
def test_a_lost_line_is_a_gap_whatever_it_told(log: list[Recorded], further: int) -> None:
    """The fact whose decisions are still there, or one of its decisions."""
    place = next(place for place, each in enumerate(log) if each.cause and place > 4)
    place -= 1 - further
    report = check([*log[:place], *log[place + 1 :]])
    assert report.gaps == [(log[place].seq, log[place].seq)]
    assert (report.divergences, report.cut_off) == ([], 0)


# Other versions


def unknown(record: Recorded) -> Recorded:
    line = encode(record).replace(b'"k":"', b'"k":"later_')
    return decode(line)


def test_a_fact_of_a_later_version_is_kept_and_what_follows_goes_on(log: list[Recorded]) -> None:
    strange = unknown(Recorded(log[-1].seq + 1, log[-1].recorded_at, TimerFired()))
    assert isinstance(strange.event, Unknown)
    seq = strange.seq
    decision = Recorded(
        seq + 1, strange.recorded_at, NodeDegraded(node_id=NodeId("ada")), cause=seq
    )
    report = check([*log, strange, decision])
    assert (report.divergences, report.gaps, report.unknown) == ([], [], 2)


def test_a_decision_of_a_later_version_is_not_compared(log: list[Recorded]) -> None:
    at = first(log, RequestQueued)
    log[at] = unknown(log[at])
    report = check(log)
    assert report.divergences == []
    assert report.unknown == 2
    assert MODEL.encode() in encode(log[at])


def test_decisions_that_a_kill_cut_off_are_no_divergence() -> None:
    """The fact is the last of its process: a start begins with a head, or the log ends there."""
    playing = book(*node("ada", slots=1))
    short = playing.log[:]
    playing.given(received("r0"))
    cut = [decode(encode(record)) for record in playing.log[: len(short) + 1]]
    again = State()
    for record in cut:
        fold(again, record)
    head = head_of_segment(again, cut[-1].recorded_at + 1)
    for log in (cut, [*cut, head]):
        report = check(log)
        assert (report.divergences, report.cut_off, report.skipped) == ([], 1, 0)
