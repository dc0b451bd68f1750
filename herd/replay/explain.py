"""All that there is to say about one request: its life, its waits, each decision about it."""

from collections.abc import Iterator
from typing import Any

import msgspec

from actors.core.state import State
from events import (
    AttemptFailed,
    LeaseVoided,
    NodeId,
    Recorded,
    RequestDispatched,
    RequestId,
    RequestReceived,
    RequestRejected,
)
from herd.errors import HerdError
from herd.journal.reader import decoded
from herd.replay import wording
from herd.replay.contrast import Contrast, stated
from herd.replay.deciding import Decision, Moment, all_candidates, decision, moments
from herd.replay.life import ENDS, Step, steps
from herd.replay.source import Source, Watched, unwatched
from herd.replay.standing import Hindered, hindered

_MOST = 1000
"""Events of one request that are looked at."""
_NAMED = 5


class Stated(msgspec.Struct, frozen=True):
    """A contrast that proved true."""

    contrast: Contrast
    text: str


class Decided(msgspec.Struct, frozen=True):
    """A placement, and why it came out so."""

    seq: int
    at_s: float
    attempt: int
    node_id: NodeId
    policy: str
    draw: int
    candidates: list[dict[str, Any]]
    """Best first, with the fields of `events.Candidate`."""
    not_listed: int
    """Candidates whose terms were not recorded, and could not be computed again."""
    others: list[Hindered]
    """The nodes that were no candidates."""
    why: str
    contrasts: list[Stated]
    known: bool
    """The state of the decision could be folded from the log."""
    exact: bool
    """This version of herd decides the same, to the last term; otherwise nothing is stated about
    what might have been."""
    now: NodeId
    """What this version decides; empty for nobody."""


class Wait(msgspec.Struct, frozen=True):
    """A time in line."""

    from_s: float
    to_s: float | None
    """None if it waits still."""
    why: str
    """Why it could not be sent at once."""
    opened: str
    """What ended the wait; empty if nothing but its own end did."""


class Explanation(msgspec.Struct, frozen=True):
    """One request, explained."""

    request_id: RequestId
    model: str
    steps: list[Step]
    waits: list[Wait]
    decisions: list[Decided]
    rejected: str
    """Why, if it was."""
    ended: bool
    """Before the end of the log."""


def explain(source: Source, begins: str, watched: Watched = unwatched) -> Explanation:
    """Explain the request whose id begins so."""
    records = _of_request(source, begins)
    life = {record.seq: record for record in records}
    known = [seq for seq in life if source.first_head and seq > source.first_head]
    found: dict[int, Moment] = {}
    if known:
        head = source.head_at(known[0])
        span = watched(source.records(head, known[-1]), known[-1] - head + 1)
        for moment in moments(span, set(known)):
            found.update((each.seq, moment) for each in moment.chunk if each.seq in life)
    first = records[0]
    return Explanation(
        request_id=RequestId(_named(first)),
        model=getattr(first.event, "model", ""),
        steps=steps(records),
        waits=list(_waits(records, found)),
        decisions=[
            decided
            for record in records
            if isinstance(record.event, RequestDispatched)
            and (decided := _decided(record, first, found.get(record.seq))) is not None
        ],
        rejected=_rejected(records[-1], found),
        ended=any(isinstance(each.event, ENDS) for each in records),
    )


def _of_request(source: Source, begins: str) -> list[Recorded]:
    rows = source.ask(
        "SELECT payload::VARCHAR FROM events WHERE starts_with(request_id, $1) "
        "ORDER BY request_id <> $1, seq LIMIT $2",
        [begins, _MOST],
    )
    records = [record for _, record in decoded(line.encode() for (line,) in rows)]
    names = list(dict.fromkeys(_named(each) for each in records))
    if begins in names:
        return [each for each in records if _named(each) == begins]
    if not names:
        raise HerdError(
            f"no request {begins} in the log",
            "`herd log --kind request_received` shows the last ones; "
            "answers carry theirs in X-Herd-Request-Id",
        )
    if len(names) > 1:
        more = ", ..." if len(names) > _NAMED else ""
        raise HerdError(
            f"more than one request begins with {begins or 'nothing'}: "
            f"{', '.join(names[:_NAMED])}{more}",
            "give more letters",
        )
    return records


def _named(record: Recorded) -> str:
    name: str = getattr(record.event, "request_id", "")
    return name


def _decided(record: Recorded, first: Recorded, moment: Moment | None) -> Decided | None:
    event = record.event
    assert isinstance(event, RequestDispatched)  # noqa: S101 (the caller looked)
    found = None if moment is None else decision(moment, record)
    others: list[Hindered] = []
    contrasts: list[Stated] = []
    candidates = list(event.terms)
    now = NodeId("")
    if found is not None and moment is not None:
        candidates = all_candidates(found)
        others = hindered(found.state, found.request, {each.node_id for each in candidates})
        now = NodeId("") if found.choice is None else found.choice.node.node_id
        if found.exact:
            contrasts = _stated(found, moment)
    return Decided(
        seq=record.seq,
        at_s=(record.recorded_at - first.recorded_at) / 1e6,
        attempt=event.attempt,
        node_id=event.node_id,
        policy=event.policy,
        draw=event.draw,
        candidates=[msgspec.structs.asdict(each) for each in candidates],
        not_listed=len(event.terms) + event.more - len(candidates),
        others=others,
        why=wording.why(event, candidates, found),
        contrasts=contrasts,
        known=found is not None,
        exact=found is not None and found.exact,
        now=now,
    )


def _stated(found: Decision, moment: Moment) -> list[Stated]:
    met = (moment.before, moment.chunk[0])
    return [
        Stated(each, wording.contrast_words(each))
        for each in stated((found.state, found.request), met)
    ]


def _waits(records: list[Recorded], found: dict[int, Moment]) -> Iterator[Wait]:
    """Yield each time between an admission, or a return to the line, and what came next."""
    first_us = records[0].recorded_at
    since: Recorded | None = None
    for record in records:
        event = record.event
        if isinstance(event, RequestReceived | AttemptFailed | LeaseVoided):
            since = record
        elif since is not None and isinstance(event, (RequestDispatched, *ENDS)):
            if found.get(record.seq) is not found.get(since.seq):
                yield Wait(
                    (since.recorded_at - first_us) / 1e6,
                    (record.recorded_at - first_us) / 1e6,
                    _nobody(since, found),
                    _opened(record, found),
                )
            since = None
    if since is not None:
        start_s = (since.recorded_at - first_us) / 1e6
        yield Wait(start_s, None, _nobody(since, found), "")


def _nobody(since: Recorded, found: dict[int, Moment]) -> str:
    moment = found.get(since.seq)
    request_id = RequestId(_named(since))
    state = State() if moment is None else moment.until(moment.chunk[-1].seq + 1)
    request = state.requests.get(request_id)
    if request is None:
        return ""
    return wording.nobody(hindered(state, request, set()), state, _ahead(state, request_id))


def _opened(record: Recorded, found: dict[int, Moment]) -> str:
    moment, event = found.get(record.seq), record.event
    if moment is None or not isinstance(event, RequestDispatched):
        return ""
    led = [each for each in moment.chunk if each.seq < record.seq]
    return wording.opened(led, event)


def _rejected(record: Recorded, found: dict[int, Moment]) -> str:
    event, moment = record.event, found.get(record.seq)
    if not isinstance(event, RequestRejected):
        return ""
    if moment is None:
        return event.reason.replace("_", " ")
    state = moment.until(record.seq)
    return wording.rejected(event, state, _ahead(state, event.request_id))


def _ahead(state: State, request_id: RequestId) -> int:
    """Return how many wait for the same model before a request."""
    request = state.requests.get(request_id)
    line = None if request is None else state.lines.get(request.model)
    if line is None or request_id not in line.waiting:
        return 0
    return list(line.waiting).index(request_id)
