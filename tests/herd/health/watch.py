"""Looks at a virtual fleet as the health page does: its log is taken in while it grows."""

from typing import Any

import duckdb

from actors.core.state import US, State
from events import Recorded
from herd.control.restore import apply, head_of_segment
from herd.control.view import view_of
from herd.health.finding import Finding
from herd.health.looking import HOUR_S, picture_of, questions
from herd.health.report import findings
from herd.journal.segments import Journal
from herd.logd.ingest import Ingest
from herd.logd.queries import QUERIES
from herd.logd.rollup import aim
from herd.paths import DataDir
from tests.herd.virtual.small import START_US

HOUR_US = HOUR_S * US


class Watch:
    """Writes the log as it grows, has it taken in, and asks what is not well.

    By itself every so many hours; 0: only when it is told to.
    """

    version = "1.0"
    """Of the balancer."""
    recording = True
    """Off, nothing is written, as on a full disk."""
    takes_in = True
    """Off, logd stands still."""

    def __init__(
        self, directory: DataDir, connection: duckdb.DuckDBPyConnection, every_hours: int = 0
    ) -> None:
        self.journal = Journal.open(directory.journal, directory.snapshots)
        self.state = State()
        self.told: list[tuple[int, Finding]] = []
        self.looks = 0
        self._directory = directory
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
        every = self._every_hours
        if every and hour >= (self.looks + 1) * every and not record.cause:
            self.looks += 1
            self.told += [(hour, found) for found in self.look(START_US + hour * HOUR_US)]
        if self.recording:
            self._batch.append(record)

    def look(self, now_us: int) -> list[Finding]:
        """Have the log taken in, and return what is not well."""
        self.journal.append(self._batch)
        self._batch = []
        while self.takes_in and self._ingest.step() is not None:
            pass
        aim(self._connection)
        now_s = now_us / US
        told = {name: self._rows(name, asked) for name, asked in questions(now_s).items()}
        view = view_of(self.state, recording=self.recording)
        return findings(
            picture_of(view, told, now_s, version=self.version, data_dir=self._directory)
        )

    def _rows(self, name: str, parameters: dict[str, int]) -> list[dict[str, Any]]:
        found = self._connection.execute(QUERIES[name], parameters)
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
