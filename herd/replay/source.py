"""A recorded log to read from: the one of a data directory, or an incident file.

Every tool that looks back reads through here, from the view `events`; only a restart of control
reads the journal itself.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

import duckdb

from actors.core.state import State
from events import Recorded
from herd.analysis import open_log
from herd.control.restore import apply
from herd.errors import HerdError
from herd.journal.reader import decoded
from herd.logd.sql import QUIET

BATCH = 10_000
_LAST = 1 << 62
_TRIES = 3

Watched: TypeAlias = Callable[[Iterator[Recorded], int], Iterable[Recorded]]
"""Passes records on, so many, and may show how far it has come."""


def unwatched(records: Iterator[Recorded], total: int) -> Iterator[Recorded]:
    """Pass the records on, and show nothing."""
    del total
    return records


class Source:
    """One log, open for reading; a context manager."""

    def __init__(self, path: Path | str | None = None) -> None:
        """Open a data directory, an incident file, or the default directory if none is named."""
        self.path = path
        self.log = open_log(path)
        """DuckDB with all the views."""
        [(first, last, heads)] = self.ask(
            "SELECT min(seq), max(seq), list(seq) FILTER (kind = 'state_snapshotted') FROM events"
        )
        self.first_seq: int = first or 0
        self.last_seq: int = last or 0
        """Of the newest event; 0 if there is none."""
        self.heads: list[int] = sorted(heads or ())
        """Of every stored state: each suffix of the log that begins there can be replayed."""
        self.first_head: int = self.heads[0] if self.heads else 0
        """Of the oldest stored state: no state before it is known; 0 if there is none."""

    def __enter__(self) -> Self:
        """Return the source."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the DuckDB."""
        self.log.close()

    def ask(self, query: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a query; asked again if logd just sealed what it was to read."""
        for left in reversed(range(_TRIES)):
            try:
                return self.log.execute(query, parameters).fetchall()
            except duckdb.IOException:
                if not left:
                    raise
        raise AssertionError("the last try returns or raises")

    def records(self, first: int = 0, last: int = _LAST) -> Iterator[Recorded]:
        """Yield the records from one `seq` to another, both included, in order.

        A line that cannot be read is left out, as at a restart: its number is missing then.
        """
        for _, record in decoded(self.lines(first, last)):
            yield record

    def lines(self, first: int = 0, last: int = _LAST) -> Iterator[bytes]:
        """Yield the same as they are stored, without their line breaks."""
        tries = _TRIES
        while True:
            try:
                for seq, line in self._rows(first, last):
                    first = seq + 1
                    yield line.encode()
            except duckdb.IOException:  # logd took a sealed segment's file out of the journal
                tries -= 1
                if not tries:
                    raise
            else:
                return

    def _rows(self, first: int, last: int) -> Iterator[tuple[int, str]]:
        with self.log.cursor() as cursor:
            cursor.execute(QUIET)  # each cursor has settings of its own
            result = cursor.execute(
                "SELECT seq, payload::VARCHAR FROM events WHERE seq BETWEEN ? AND ? ORDER BY seq",
                [first, last],
            )
            while rows := result.fetchmany(BATCH):
                yield from rows

    def head_at(self, seq: int) -> int:
        """Return the `seq` of the newest stored state that is as old as that."""
        older = bisect_right(self.heads, seq)
        if not older:
            raise HerdError(
                f"no stored state is as old as seq {seq}",
                f"the log can be replayed from seq {self.first_head or self.first_seq} on",
            )
        return self.heads[older - 1]

    def state_at(self, seq: int, watched: Watched = unwatched) -> State:
        """Return the state after the record `seq`: the newest stored one, and a fold from there."""
        state = State()
        head = self.head_at(seq)
        for record in watched(self.records(head, seq), seq - head + 1):
            apply(state, record)
        return state

    def seq_at(self, time_us: int) -> int:
        """Return the `seq` of the last record at an instant or before; 0 if there is none."""
        [(seq,)] = self.ask(
            "SELECT max(seq) FROM events WHERE recorded_at <= make_timestamp(?)", [time_us]
        )
        return seq or 0
