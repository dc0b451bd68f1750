"""A recorded log to read from: the one of a data directory, or an incident file.

Every tool that looks back reads through here, from the view `events`; only a restart of control
reads the journal itself.
"""

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import duckdb

from actors.core.state import State
from events import Recorded, decode
from herd.analysis import open_log
from herd.control.restore import apply
from herd.errors import HerdError

BATCH = 10_000
_LAST = 1 << 62
_TRIES = 3


class Source:
    """One log, open for reading; a context manager."""

    def __init__(self, path: Path | str | None = None) -> None:
        """Open a data directory, an incident file, or the default directory if none is named."""
        self.log = open_log(path)
        """DuckDB with all the views."""
        [(first, last, head)] = self.log.execute(
            "SELECT min(seq), max(seq), min(seq) FILTER (kind = 'state_snapshotted') FROM events"
        ).fetchall()
        self.first_seq: int = first or 0
        self.last_seq: int = last or 0
        """Of the newest event; 0 if there is none."""
        self.first_head: int = head or 0
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

    def records(self, first: int = 0, last: int = _LAST) -> Iterator[Recorded]:
        """Yield the records from one `seq` to another, both included, in order."""
        for line in self.lines(first, last):
            yield decode(line)

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
            result = cursor.execute(
                "SELECT seq, payload::VARCHAR FROM events WHERE seq BETWEEN ? AND ? ORDER BY seq",
                [first, last],
            )
            while rows := result.fetchmany(BATCH):
                yield from rows

    def head_at(self, seq: int) -> int:
        """Return the `seq` of the newest stored state that is as old as that."""
        [(head,)] = self.log.execute(
            "SELECT max(seq) FROM events WHERE kind = 'state_snapshotted' AND seq <= ?", [seq]
        ).fetchall()
        if head is None:
            raise HerdError(
                f"no stored state is as old as seq {seq}",
                f"the log can be replayed from seq {self.first_head or self.first_seq} on",
            )
        return int(head)

    def state_at(self, seq: int) -> State:
        """Return the state after the record `seq`: the newest stored one, and a fold from there."""
        state = State()
        for record in self.records(self.head_at(seq), seq):
            apply(state, record)
        return state

    def seq_at(self, time_us: int) -> int:
        """Return the `seq` of the last record at an instant or before; 0 if there is none."""
        [(seq,)] = self.log.execute(
            "SELECT max(seq) FROM events WHERE recorded_at <= make_timestamp(?)", [time_us]
        ).fetchall()
        return seq or 0
