"""Looks at a virtual fleet as the health page does: its log is taken in while it grows."""

from typing import TypeVar

import duckdb
import msgspec

from actors.core.state import US, State
from events import Recorded
from herd.control.restore import apply, head_of_segment
from herd.control.view import view_of
from herd.health.finding import Finding
from herd.health.picture import Context, LogState, Picture, Trouble, Work
from herd.health.report import findings
from herd.journal.segments import Journal
from herd.logd.ingest import Ingest
from herd.logd.queries import QUERIES
from herd.logd.rollup import aim
from herd.paths import DataDir
from tests.herd.virtual.small import START_US

HOUR_US = 3_600 * US
DAY_US = 24 * HOUR_US

T = TypeVar("T", bound=msgspec.Struct)


class Watch:
    """Writes the log as it grows, has it taken in, and asks what is not well."""

    def __init__(
        self, directory: DataDir, connection: duckdb.DuckDBPyConnection, every_hours: int
    ) -> None:
        self.journal = Journal.open(directory.journal, directory.snapshots)
        self.state = State()
        self.told: list[tuple[int, Finding]] = []
        self.looks = 0
        self._every_hours = every_hours
        self._connection = connection
        self._ingest = Ingest(connection, directory.journal)
        self._batch: list[Recorded] = []

    def begin(self) -> None:
        """Begin the log with a fleet that nothing is known of."""
        head = head_of_segment(self.state, START_US)
        apply(self.state, head)
        self.journal.rotate(head)

    def __call__(self, record: Recorded) -> None:
        hour = (record.recorded_at - START_US) // HOUR_US
        if hour >= (self.looks + 1) * self._every_hours and not record.cause:
            self.looks += 1
            self._look(hour)
        self._batch.append(record)

    def _look(self, hour: int) -> None:
        self.journal.append(self._batch)
        self._batch = []
        while self._ingest.step() is not None:
            pass
        aim(self._connection)
        self.told += [(hour, found) for found in findings(self._picture(hour))]

    def _picture(self, hour: int) -> Picture:
        now_us = START_US + hour * HOUR_US
        day = {"from_us": now_us - DAY_US}
        spans = day | {"recent_us": now_us - HOUR_US}
        return Picture(
            view=view_of(self.state, recording=True),
            troubles=self._rows("health_troubles", spans, Trouble),
            work=self._rows("health_work", spans, Work),
            contexts=self._rows("health_contexts", day, Context),
            log=LogState(free_bytes=1 << 40),
        )

    def _rows(self, name: str, parameters: dict[str, int], kind: type[T]) -> tuple[T, ...]:
        found = self._connection.execute(QUERIES[name], parameters)
        names = [column[0] for column in found.description or ()]
        rows = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
        return tuple(msgspec.convert(row, kind) for row in rows)
