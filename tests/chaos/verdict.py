"""What the log says of it, held against what the clients were told.

What no log can know is left out by name, never silently: what was not recorded while the disk was
full, and what a front had not yet told control when it was killed.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from events import Recorded, RecordingResumed, RequestId, RequestReceived
from herd.paths import DataDir
from herd.replay.check import Report
from herd.replay.cores import check_on_all_cores
from herd.replay.source import Source
from tests.chaos.clients import Told
from tests.chaos.running import ENDED, in_duckdb
from tests.chaos.world import LONGEST_S, Trouble

DAY_S = 86_400.0
"""Longer than any run: of a trouble that has no end."""
UNTOLD_S = 2.0
"""A front that dies takes with it what it had not told control; it tells within this."""
MEMORY_BYTES = {
    "supervisor": 150 << 20,
    "front": 400 << 20,
    "control": 500 << 20,
    "logd": 1500 << 20,
    "agent": 150 << 20,
}
"""What each kind of process may have at most."""


@dataclass
class Verdict:
    """What is wrong, and what was counted on the way."""

    wrong: list[str] = field(default_factory=list[str])
    ends: Counter[str] = field(default_factory=Counter[str])
    """Of the requests in the log."""
    untold: int = 0
    """Requests whose front died before it told how they ended."""
    unrecorded: int = 0
    """Requests of clients while nothing could be recorded."""
    lost_events: int = 0
    report: Report = field(default_factory=Report)
    check_s: float = 0.0

    def expect(self, holds: object, what: str) -> None:
        """Note what is wrong unless it holds."""
        if not holds:
            self.wrong.append(what)


class Windows:
    """The times at which something was the matter."""

    def __init__(self, troubles: Iterable[Trouble]) -> None:
        """Know all troubles."""
        self._by_minute: dict[int, list[Trouble]] = {}
        for it in troubles:
            last_s = min(it.ended_s, it.began_s + DAY_S)
            for minute in range(_minute(it.began_s), _minute(last_s) + 1):
                self._by_minute.setdefault(minute, []).append(it)

    def _around(self, from_s: float, to_s: float) -> Iterable[Trouble]:
        """Return what was the matter in these minutes, and in those beside them."""
        minutes = range(_minute(from_s) - 1, _minute(to_s) + 2)
        found = [it for minute in minutes for it in self._by_minute.get(minute, ())]
        return {id(it): it for it in found}.values()

    def touch(self, told: Told, *names: str, before_s: float = 0.0, after_s: float = 0.0) -> bool:
        """Whether a request met a trouble whose name begins so."""
        return any(
            it.name.startswith(names)
            and it.began_s - before_s <= told.ended_s
            and it.ended_s + after_s >= told.began_s
            for it in self._around(told.began_s, told.ended_s)
        )

    def untold(self, told: Told) -> bool:
        """Whether its front died before it could tell control, as far as one can know.

        While the supervisor is stopped nobody starts control again, so what a front has not told
        waits for as long.
        """
        until_s = told.ended_s
        for it in self._around(until_s, until_s + 180.0):
            if it.name.startswith("stop supervisor") and it.began_s <= until_s <= it.ended_s:
                until_s = it.ended_s
        return any(
            it.name.startswith(("kill front", "kill supervisor", "stop herd"))
            and it.began_s - UNTOLD_S <= until_s
            and it.ended_s + UNTOLD_S >= told.began_s
            for it in self._around(told.began_s, until_s)
        )

    def near(self, told: Told) -> list[str]:
        """Return what was the matter from a minute before a request until one after it."""
        return [
            f"{it.name} {it.began_s - told.began_s:+.1f} to {it.ended_s - told.began_s:+.1f} s"
            for it in self._around(told.began_s, told.ended_s)
            if it.began_s - 60 <= told.ended_s and it.ended_s + 60 >= told.began_s
        ]

    def stopped_s(self, told: Told) -> float:
        """Return how long of a request something was stopped, added up."""
        return sum(
            max(0.0, min(it.ended_s, told.ended_s) - max(it.began_s, told.began_s))
            for it in self._around(told.began_s, told.ended_s)
            if it.name.startswith("stop ")
        )


def _minute(instant_s: float) -> int:
    return int(instant_s // 60)


def judge(
    directory: DataDir, told: list[Told], troubles: list[Trouble], peaks: dict[str, int]
) -> Verdict:
    """Hold the whole log, read once herd has ended, against the clients' records."""
    verdict = Verdict()
    windows = Windows(troubles)
    with Source(directory.root) as source:
        log = Log(source.records())
        verdict.report = check_on_all_cores(source, source.first_seq)
    _judge_log(verdict, log, directory)
    for each in told:
        _judge_client(verdict, each, log, windows)
    for kind, most in MEMORY_BYTES.items():
        verdict.expect(peaks.get(kind, 0) <= most, f"{kind} had {peaks.get(kind, 0) >> 20} MB")
    return verdict


class Log:
    """What the log says of requests, and of itself."""

    def __init__(self, records: Iterator[Recorded]) -> None:
        """Read it once."""
        self.received: dict[RequestId, int] = {}
        self.ends: dict[RequestId, list[tuple[str, int]]] = {}
        """Kind, with the reason if there is one, and status, by request."""
        self.gaps: list[tuple[int, int]] = []
        self.resumed: list[RecordingResumed] = []
        self.doubled: list[int] = []
        self.first = self.last = 0
        for record in records:
            self._take(record)

    def _take(self, record: Recorded) -> None:
        seq, event = record.seq, record.event
        if not self.first:
            self.first = seq
        elif seq <= self.last:
            self.doubled.append(seq)
        elif seq > self.last + 1:
            self.gaps.append((self.last + 1, seq - 1))
        self.last = max(self.last, seq)
        kind = type(event).__name__
        if isinstance(event, RequestReceived):
            self.received[event.request_id] = seq
        elif kind in ENDED:
            said = f"{kind} {getattr(event, 'reason', '')}".strip()
            end = (said, int(getattr(event, "status", 0)))
            request_id = RequestId(getattr(event, "request_id", ""))
            self.ends.setdefault(request_id, []).append(end)
        elif isinstance(event, RecordingResumed):
            self.resumed.append(event)


def _judge_log(verdict: Verdict, log: Log, directory: DataDir) -> None:
    verdict.ends.update(said.split()[0] for ends in log.ends.values() for said, _ in ends)
    verdict.lost_events = sum(each.lost_events for each in log.resumed)
    verdict.expect(log.first == 1, f"the log begins at {log.first}")
    verdict.expect(not log.doubled, f"events there twice: {log.doubled[:5]}")
    missing = sum(last - first + 1 for first, last in log.gaps)
    verdict.expect(
        missing <= verdict.lost_events,
        f"{missing} events are missing, {verdict.lost_events} were said to be: {log.gaps[:5]}",
    )
    rows = log.last - missing
    stored = in_duckdb(directory)
    verdict.expect(stored == (rows, rows, 1, log.last), f"the database has {stored}, not {rows}")
    for request_id, seq in log.received.items():
        ends = log.ends.get(request_id, [])
        if not ends and any(first > seq for first, _ in log.gaps):
            continue  # it may have ended while nothing was recorded
        verdict.expect(ends, f"{request_id}, received at {seq}, has no end")
    for request_id, ends in log.ends.items():
        verdict.expect(len(ends) == 1, f"{request_id} ended more than once: {ends}")
    report = verdict.report
    verdict.expect(not report.divergences, f"replay differs: {report.divergences[:1]}")
    verdict.expect(report.dispatches, "nothing was dispatched")


def _judge_client(verdict: Verdict, told: Told, log: Log, windows: Windows) -> None:
    took_s = told.ended_s - told.began_s - windows.stopped_s(told)
    verdict.expect(took_s < LONGEST_S, f"{took_s:.0f} s for {told}")
    verdict.expect(told.end not in {"lie", "silent"}, f"told {told.end}: {told}")
    if told.status in {429, 503}:
        verdict.expect(told.retry_after, f"no Retry-After: {told}")
    if not told.request_id:
        verdict.expect(told.end != "success", f"an answer without an id: {told}")
        return
    if windows.touch(told, "full disk", "read-only", after_s=1.0):
        verdict.unrecorded += 1
        return
    ends = log.ends.get(RequestId(told.request_id), [])[-1:]
    interrupted = not ends or ends[0][0].startswith("RequestInterrupted")
    # Its front could not tell it to a control that was about to die, and did not outlive that.
    before_s = UNTOLD_S if ends and ends[0][0] == "RequestInterrupted front_lost" else 0.0
    died = windows.untold(told) or windows.touch(
        told, "stop control", "kill control", before_s=before_s, after_s=UNTOLD_S
    )
    if interrupted and died:
        verdict.untold += told.end == "success"
        return
    if not ends:
        verdict.wrong.append(f"{told} has no end in the log; meanwhile {windows.near(told)}")
    else:
        fits = _fits(told, *ends[0])
        verdict.expect(fits or (told.end == "cut" and died), f"{told}, but in the log: {ends[0]}")


def _fits(told: Told, kind: str, status: int) -> bool:
    """Whether a client and the log saw the same end."""
    match told.end:
        case "success":
            return kind == "RequestCompleted" and status < 400
        case "failure":
            return kind != "RequestCompleted" or status >= 400
        case "cut":
            return kind != "RequestCompleted"
        case _:
            return True
