"""Incident files: a window of the log in one file that anybody can replay, and nobody is named in.

A file is gzip of NDJSON: a `Header`, then a stored state, then the events of the window, as they
are stored but for what `redaction` takes out. A window begins and ends between two facts with
their decisions. Where it does not begin at the head of a segment, the state before its first event
is folded and stored in a head that takes the number before it. What is written is replayed on its
way: a file whose redaction would change a decision is never made.
"""

import gzip
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

import msgspec

from actors.core.state import SCHEMA, dump
from events import Recorded, StateSnapshotted, decode, encode
from herd import clock, moments
from herd.errors import HerdError
from herd.journal.reader import decoded
from herd.replay.check import Report, check
from herd.replay.redaction import Redaction
from herd.replay.source import Source
from herd.version import version

FORMAT = 1
MINUTE_US = 60_000_000
_TIME = re.compile(r"\d{4}-\d\d-\d\d|\d\d?:\d\d|[\d.]+[smhw]|[1-9]\d*d")
"""How a time begins; an id is hexadecimal, and begins with 0 until the year 2527."""

Watch = Callable[[Iterator[bytes], int], Iterable[bytes]]
"""Passes lines on, so many, and may show how far it is."""


class Header(msgspec.Struct, frozen=True):
    """The first line of a file."""

    herd_incident: int
    """Version of the format."""
    made_by: str
    """Version of herd."""
    around: str
    """A request, or an instant in UTC."""
    minutes: float
    """Before and after it."""
    first_seq: int
    last_seq: int
    redacted: tuple[str, ...]
    """Names of fields whose values were replaced or taken out."""


class Window(msgspec.Struct, frozen=True):
    """A part of a log, in whole facts with their decisions."""

    around: str
    minutes: float
    first_seq: int
    last_seq: int
    whole: bool = True
    """False where it would begin before the first stored state, so that it begins there."""


class Content(msgspec.Struct, frozen=True):
    """What is in a file."""

    header: Header
    first_at: str
    last_at: str
    """Instants in UTC."""
    events: int
    stored_states: int
    nodes: tuple[str, ...]
    requests: dict[str, int]
    """By how they stand at the end of the window."""
    troubles: dict[str, int]
    """Kinds of events that tell of a failure, or of a start."""
    replayed: Report


TROUBLES = (
    "attempt_failed",
    "request_failed",
    "request_rejected",
    "request_reaped",
    "request_interrupted",
    "node_degraded",
    "node_went_offline",
    "circuit_opened",
    "front_lost",
    "control_started",
    "actor_failed",
    "recording_resumed",
)


# What to save


def window(source: Source, around: str, minutes: float) -> Window:
    """Return the window around a time, or around a request from its receipt to its end.

    A time is `now`, a time of day (the last such one in the log), a date and time, or an age before
    the end of the log. A request is named by its first letters.
    """
    if not source.first_head:
        raise HerdError(
            "the log holds no stored state, so nothing of it can be replayed",
            "start the balancer with `herd run`: each start stores one",
        )
    margin_us = round(minutes * MINUTE_US)
    if around == "now" or _TIME.match(around):
        last_us = _recorded_us(source, source.last_seq)
        at_us = _now_us() if around == "now" else moments.parse(around, last_us, past=True)
        around, first_us, last_us, first_needed = iso(at_us), at_us, at_us, 0
    else:
        around, first_us, last_us, first_needed = _request(source, around)
    # All of a fact's decisions carry its instant, so a time never parts them.
    [(first,)] = source.ask(
        "SELECT min(seq) FROM events WHERE recorded_at >= make_timestamp(?)",
        [first_us - margin_us],
    )
    last = source.seq_at(last_us + margin_us)
    if first is None or last < first:
        raise HerdError(f"nothing happened within {minutes:g} min of {around}", _extent(source))
    if max(last, first_needed) < source.first_head or 0 < first_needed < source.first_head:
        raise HerdError(f"no stored state is as old as {around}", _extent(source))
    begins = max(first, source.first_head)
    return Window(around, minutes, begins, last, whole=begins == first)


def iso(at_us: int) -> str:
    """Return an instant as people and DuckDB read it, in UTC."""
    return datetime.fromtimestamp(at_us / 1e6, UTC).isoformat(timespec="milliseconds")


def _now_us() -> int:
    return round(clock.wall_s() * 1e6)


def _request(source: Source, prefix: str) -> tuple[str, int, int, int]:
    """Return a request's id, its first and last instant, and its first `seq`."""
    found = source.ask(
        "SELECT request_id, epoch_us(min(recorded_at)), epoch_us(max(recorded_at)), min(seq)"
        " FROM events WHERE starts_with(request_id, ?) GROUP BY ALL ORDER BY ALL LIMIT 2",
        [prefix],
    )
    match found:
        case [(str(name), int(first_us), int(last_us), int(seq))]:
            return name, first_us, last_us, seq
        case []:
            raise HerdError(
                f"no request in the log is called {prefix}",
                "the answer's X-Herd-Request-Id names it; for a time write 14:05, or now",
            )
        case _:
            raise HerdError(
                f"several requests begin with {prefix}: {found[0][0]}, {found[1][0]}, ...",
                "write more of its letters",
            )


def _recorded_us(source: Source, seq: int) -> int:
    found = source.ask("SELECT epoch_us(recorded_at) FROM events WHERE seq = ?", [seq])
    return int(found[0][0]) if found else 0


def _extent(source: Source) -> str:
    first, last = (iso(_recorded_us(source, seq)) for seq in (source.first_head, source.last_seq))
    return f"the log can be replayed from {first} to {last}"


# Saving


def save(  # noqa: PLR0913 (what, where to, and how)
    source: Source,
    what: Window,
    path: Path,
    *,
    keep_clients: bool = False,
    force: bool = False,
    watch: Watch = lambda lines, _count: lines,
) -> Report:
    """Write an incident file, whole or not at all; return what its replay found."""
    if path.exists() and not force:
        raise HerdError(f"{path} exists", "name another file, or say --force")
    redaction = Redaction(keep_clients=keep_clients)
    header = Header(
        herd_incident=FORMAT,
        made_by=version(),
        around=what.around,
        minutes=what.minutes,
        first_seq=what.first_seq,
        last_seq=what.last_seq,
        redacted=redaction.fields,
    )
    unfinished = path.with_name(f"{path.name}.unfinished")
    try:
        with (
            unfinished.open("wb") as raw,
            gzip.GzipFile("", "wb", compresslevel=6, fileobj=raw, mtime=0) as file,
        ):
            file.write(msgspec.json.encode(header) + b"\n")
            lines = watch(_lines(source, what), what.last_seq - what.first_seq + 1)
            report = check(_written(map(redaction.line, lines), file))
        if report.divergences:
            _blame(source, what, report)
        unfinished.replace(path)
    except OSError as error:
        raise HerdError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return report


def _lines(source: Source, what: Window) -> Iterator[bytes]:
    """Return the lines of a window that can be read; the first holds the state before it."""
    head: list[bytes] = []
    if what.first_seq not in source.heads:
        state = source.state_at(what.first_seq - 1)
        stored = StateSnapshotted(state=msgspec.Raw(dump(state)), schema=SCHEMA, version=version())
        head.append(encode(Recorded(state.seq, state.recorded_at, stored)).rstrip(b"\n"))
    lines = source.lines(what.first_seq, what.last_seq)
    return chain(head, (line for line, _ in decoded(lines)))


def _written(lines: Iterable[bytes], file: gzip.GzipFile) -> Iterator[Recorded]:
    for line in lines:
        file.write(line + b"\n")
        yield decode(line)


def _blame(source: Source, what: Window, redacted: Report) -> None:
    """Raise unless the log diverges as its redacted lines do: then that is the incident."""
    itself = check(map(decode, _lines(source, what)))
    if [each.seq for each in itself.divergences] != [each.seq for each in redacted.divergences]:
        raise HerdError(
            "the redacted log would not replay as the log does: a decision rests on who asked",
            "--keep-clients saves it with the clients' addresses in it",
        )


# Looking at one


def header_of(path: Path) -> Header:
    """Return the header of a file; raises `HerdError` for any other file."""
    try:
        with gzip.open(path) as file:
            header = msgspec.json.decode(file.readline(), type=Header)
    except FileNotFoundError as error:
        raise HerdError(f"there is no {path}", "`herd incident save` makes such files") from error
    except (OSError, EOFError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise HerdError(
            f"{path} is no incident file", "`herd incident save` makes such files"
        ) from error
    if header.herd_incident > FORMAT:
        raise HerdError(f"{path} was made by a newer herd, {header.made_by}", "update herd")
    return header


def content(path: Path) -> Content:
    """Return what is in a file, and what its replay finds."""
    header = header_of(path)
    with Source(path) as source:
        count = dict(source.ask("SELECT kind, count(*) FROM events GROUP BY 1"))
        requests = source.ask("SELECT status, count(*) FROM requests GROUP BY 1 ORDER BY 2 DESC, 1")
        nodes = source.ask("SELECT DISTINCT node_id FROM events WHERE node_id <> '' ORDER BY 1")
        return Content(
            header=header,
            first_at=iso(_recorded_us(source, source.first_seq)),
            last_at=iso(_recorded_us(source, source.last_seq)),
            events=sum(count.values()),
            stored_states=count.get("state_snapshotted", 0),
            nodes=tuple(node for (node,) in nodes),
            requests=dict(requests),
            troubles={kind: count[kind] for kind in TROUBLES if kind in count},
            replayed=check(source.records()),
        )
