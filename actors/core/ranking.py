"""Ranks: in which order those who wait are served.

Each request has a start, and its priority moves that: an interactive one counts as if it had
started `interactive_ahead_s` earlier, one of a batch `batch_behind_s` later. So nobody is passed by
those who come much later than that: however many there are, a batch goes on. A long one counts as
if it had started later, too, by `length_behind` times what it is predicted to take alone, so that
those who want little do not wait for those who want much (shortest job first, with a bound).

Starts share a line out between applications, by the work they ask for (start-time fair queueing:
Goyal, Vin, Cheng, "Start-time fair queueing", 1996; by tokens: Sheng et al., "Fairness in serving
large language models", 2024). The first waiting request of an application starts where the last
that was sent did; each further one later by the time that the line needs for the one before. So of
two who ask for more than there is each gets half, whoever came first with however much, and who
asks alone gets all. Where no speed is known yet, the order is that of arrival. What an application
gets of other models counts too (`sharing`).
"""

from actors.core import sharing
from actors.core.estimates import alone_s
from actors.core.predicting import freed_per_s
from actors.core.state import US, Line, Request, Share, State
from events import Priority


def join(state: State, line: Line, request: Request, priority: Priority) -> None:
    """Take a new request into its line."""
    _join(state, line, request, _moved_us(state, priority) + _length_us(state, request))


def move(state: State, line: Line, request: Request) -> None:
    """Take a request into its line that was in that of another model; what moved it stays."""
    _join(state, line, request, request.rank_us - request.start_us)


def _join(state: State, line: Line, request: Request, moved_us: int) -> None:
    request.start_us = request.received_us
    if state.settings.fair_shares:
        _share(state, line, request)
    request.rank_us = request.start_us + moved_us
    if next(reversed(line.waiting.values()), 0) <= request.rank_us:
        line.waiting[request.request_id] = request.rank_us
    else:
        insert(state, line, request)


def rejoin(state: State, line: Line, request: Request) -> None:
    """Take a request back at its old place."""
    share = _share_of(line, request)
    share.waiting += 1
    insert(state, line, request)


def insert(state: State, line: Line, request: Request) -> None:
    """Put a request where it belongs by its rank, and among equals by its admission."""
    line.waiting[request.request_id] = request.rank_us
    ranked = [(rank, state.requests[name].seq, name) for name, rank in line.waiting.items()]
    ranked.sort()
    line.waiting = {name: rank for rank, _, name in ranked}


def give_back(state: State, line: Line, request: Request) -> None:
    """Let an application begin earlier again, by what it asked for and did not get."""
    for share in line.shares:
        if share.app == request.app:
            share.next_us = max(request.start_us, share.next_us - _lasts_us(state, request))


def leave(line: Line, request: Request | None, *, sent: bool) -> None:
    """Note that a request has left its line: the line goes on from there if it was sent."""
    if request is None:
        return
    if sent:
        line.sent_us = max(line.sent_us, request.start_us)
    for share in line.shares:
        if share.app == request.app:
            share.waiting -= 1
    line.shares = [share for share in line.shares if share.waiting > 0]
    if not line.waiting:
        line.sent_us = 0


def _share(state: State, line: Line, request: Request) -> None:
    if line.waiting and line.sent_us:
        request.start_us = min(line.sent_us, request.received_us)
    back_us = request.back_us = sharing.came(state, line, request)
    if state.settings.rules:  # as far as those before it, whose start it takes over
        request.back_us = max(back_us, sharing.stepped_back_us(state, line, request.app))
    share = _share_of(line, request)
    request.start_us = max(request.start_us, share.next_us) + back_us
    share.waiting += 1
    share.next_us = request.start_us
    if line.waiting:
        share.next_us += _lasts_us(state, request)


def _share_of(line: Line, request: Request) -> Share:
    share = next((each for each in line.shares if each.app == request.app), None)
    if share is None:
        share = Share(request.app, next_us=request.start_us)
        line.shares.append(share)
    return share


def _lasts_us(state: State, request: Request) -> int:
    """Return the time in which its line gets the work of a request done."""
    per_s = freed_per_s(state, request)
    if not per_s:
        return 0
    return int(US / per_s * sharing.portion(state, request))


def _length_us(state: State, request: Request) -> int:
    times = state.settings.length_behind
    if times <= 0:
        return 0
    length_s = alone_s(state, request.model) * sharing.portion(state, request)
    return int(min(sharing.MOST_S, times * length_s) * US)


def _moved_us(state: State, priority: Priority) -> int:
    settings = state.settings
    moved_s: dict[Priority, float] = {
        "interactive": -settings.interactive_ahead_s,
        "normal": 0.0,
        "batch": settings.batch_behind_s,
    }
    return int(moved_s[priority] * US)
