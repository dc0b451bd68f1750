"""Recompute every recorded decision, and compare.

Each fact of the log is run through the same run queue as it was live; the whole list of decisions
that follows must be the recorded one: a missing or an extra decision is a divergence too. At each
head of a segment the stored state must equal the folded one, if it is of this version's `SCHEMA`.
After a divergence the state cannot be trusted, so the check goes on at the next head. So it does
after a gap in the log, and after a fact whose decisions a kill cut off: a start begins with a head,
so that is where it shows.

What follows from a kind of event that this version does not know is folded, not compared.
"""

from collections.abc import Iterable, Iterator
from itertools import zip_longest

import msgspec

from actors.core.commands import Command
from actors.core.placement import Policy
from actors.core.policies import place
from actors.core.state import SCHEMA, State, dump
from actors.core.step import Address, step
from actors.run_queue import Deliver, fold, fold_envelope, run
from events import Event, Recorded, RequestDispatched, StateSnapshotted, Unknown, encode
from herd.control.restore import become, stored


class Divergence(msgspec.Struct, frozen=True):
    """A place where the log and its replay part."""

    seq: int
    fact: str
    """The kind of the fact whose consequences differ."""
    recorded: str
    """The line in the log; empty where replay decided more."""
    replayed: str
    """The line that replay gives; empty where the log holds more."""


class Report(msgspec.Struct):
    """What a check found."""

    events: int = 0
    facts: int = 0
    decisions: int = 0
    dispatches: int = 0
    snapshots: int = 0
    """Stored states compared with the folded one."""
    skipped: int = 0
    """Events between a divergence and the next head of a segment, or before the first."""
    unknown: int = 0
    """Events that were folded but not compared, because of a kind that this version lacks."""
    cut_off: int = 0
    """Facts whose last decisions a process did not live to write, or the log ends in: nobody acted
    on any of them."""
    gaps: list[tuple[int, int]] = []
    """First and last `seq` of what is missing: of a time without recording, of damaged lines."""
    divergences: list[Divergence] = []


def check(log: Iterable[Recorded], policy: Policy = place) -> Report:
    """Replay a log, in the order of `seq`, from its first stored state on."""
    report = Report()
    state = State()
    trusted = False
    short: Divergence | None = None
    last_seq = 0
    deliver = _to_actors(state, policy)
    for chunk in _facts_with_decisions(log):
        fact = chunk[0]
        report.events += len(chunk)
        head = isinstance(fact.event, StateSnapshotted)
        gap = 0 < last_seq < fact.seq - 1
        if gap:
            report.gaps.append((last_seq + 1, fact.seq - 1))
            trusted = False
        last_seq = chunk[-1].seq
        if short is not None:
            if not gap:  # else its last decisions are among what is missing
                _judge(report, short, cut_off=head)
            short = None
        if head:
            trusted = _head(state, fact, report, trusted=trusted)
        elif not trusted:
            report.skipped += len(chunk)
        else:
            found = _compare(state, deliver, chunk, report)
            trusted = found is None
            if found is not None and not found.recorded:
                short = found
            elif found is not None:
                _judge(report, found, cut_off=False)
    if short is not None:
        _judge(report, short, cut_off=True)
    return report


def _to_actors(state: State, policy: Policy) -> Deliver:
    def deliver(address: Address, record: Recorded) -> list[Command]:
        return step(state, address, record, policy)

    return deliver


def _judge(report: Report, found: Divergence, *, cut_off: bool) -> None:
    """Count what was found as a divergence, or as what a process did not live to write."""
    if cut_off:
        report.cut_off += 1
    else:
        report.divergences.append(found)


def _facts_with_decisions(log: Iterable[Recorded]) -> Iterator[list[Recorded]]:
    """Yield each fact with the decisions that follow from it; a gap cuts between two of them."""
    records = iter(log)
    first = next(records, None)
    if first is None:
        return
    chunk = [first]
    for record in records:
        if record.cause == 0 or record.seq > chunk[-1].seq + 1:
            yield chunk
            chunk = [record]
        else:
            chunk.append(record)
    yield chunk


def _head(state: State, record: Recorded, report: Report, *, trusted: bool) -> bool:
    event = record.event
    assert isinstance(event, StateSnapshotted)  # noqa: S101 (the caller looked)
    told = stored(record, event)
    if trusted and event.schema == SCHEMA:
        report.snapshots += 1
        folded = dump(state)
        if folded != dump(told):
            report.divergences.append(
                Divergence(record.seq, "state_snapshotted", *_difference(dump(told), folded))
            )
    become(state, told)
    state.seq = record.seq - 1
    fold_envelope(state, record)
    return True


def _compare(
    state: State, deliver: Deliver, chunk: list[Recorded], report: Report
) -> Divergence | None:
    fact = chunk[0]
    report.facts += 1
    dispatches = 0
    for record in chunk:
        kind = type(record.event)
        if kind is RequestDispatched:
            dispatches += 1
        elif kind is Unknown:
            _fold(state, chunk, report)
            return None
    replayed = run(state, deliver, fact.event, fact.recorded_at, (fact.src, fact.n)).records
    report.decisions += len(chunk) - 1
    report.dispatches += dispatches
    if chunk == replayed:
        return None
    recorded, again = next(pair for pair in zip_longest(chunk, replayed) if pair[0] != pair[1])
    return _divergence(fact.event, recorded, again)


def _fold(state: State, chunk: list[Recorded], report: Report) -> None:
    """Fold what cannot be compared."""
    report.unknown += len(chunk)
    for record in chunk:
        fold(state, record)


def _divergence(fact: Event, recorded: Recorded | None, replayed: Recorded | None) -> Divergence:
    known = recorded or replayed
    assert known is not None  # noqa: S101 (one of them is there)
    return Divergence(known.seq, _kind(fact), _line(recorded), _line(replayed))


def _kind(event: Event) -> str:
    return str(event.__struct_config__.tag)


def _line(record: Recorded | None) -> str:
    return "" if record is None else encode(record).decode().rstrip("\n")


def _difference(stored: bytes, folded: bytes) -> tuple[str, str]:
    """Return both states around the first place where they differ."""
    same = 0
    while same < min(len(stored), len(folded)) and stored[same] == folded[same]:
        same += 1
    window = slice(max(0, same - 120), same + 120)
    return stored[window].decode(errors="replace"), folded[window].decode(errors="replace")
