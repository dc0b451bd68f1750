"""logd: takes the journal into DuckDB, seals segments, drops old ones, answers fronts' questions.

Nothing ever waits for it. It finishes on SIGTERM or when the supervisor's pipe ends, after it has
taken in the journal to its end; killed at any moment, it goes on where the database stands.
"""

import logging
import signal
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from types import FrameType

import duckdb
from prometheus_client.core import Metric

from herd.clock import wall_s
from herd.logd.condition import condition
from herd.logd.fleet_lines import write_fleet_lines
from herd.logd.ingest import DisagreementError, Ingest, restore
from herd.logd.meters import Meters
from herd.logd.parquet import prepare, sweep
from herd.logd.queries import QueryServer
from herd.logd.request_lines import write_request_lines
from herd.logd.retention import Keep, drop_next, unlink_dropped
from herd.logd.rollup import roll_next
from herd.logd.seal import seal_next, unlink_sealed
from herd.logd.sql import write_open_sql
from herd.logd.store import DatabaseBusyError, condemn, is_damage, open_store
from herd.logd.totals import floor, forget, mend
from herd.logs import LogFile
from herd.paths import DataDir
from herd.platform import HAS_UNIX_SOCKETS, lower_priority
from herd.processes.child import nothing
from herd.processes.figures import figures

PAUSE_S = 0.5
"""Between two looks at the journal: a transaction costs the same for one event as for hundreds."""
RETRY_S = 5.0
"""After the database refused, as on a full disk."""
BUSY_RETRY_S = 1.0
"""While another program holds the database."""
PREDECESSOR_S = 5.0
"""For the logd of a herd whose place this one takes to end, before anything is said of it."""
FINISH_S = 4.0
"""For the last of the journal, once asked to finish."""
TIDY_EVERY_S = 5.0
"""Between two looks at what can be sealed or dropped."""
DEFAULT_KEEP = Keep()

_log = logging.getLogger(__name__)


class _Stop:
    """Whether to finish: SIGTERM came, or the supervisor let go of its end of the pipe."""

    def __init__(self, alive: Connection | None) -> None:
        self._alive = alive
        self.asked = False
        signal.signal(signal.SIGTERM, self._on_signal)

    def wait(self, timeout_s: float) -> bool:
        """Wait so long, or until asked to finish, give or take a pause; return whether asked."""
        end_s = time.monotonic() + timeout_s
        while not self.asked and (left_s := end_s - time.monotonic()) > 0:
            self._pause(min(left_s, PAUSE_S))
        return self.asked

    def _pause(self, pause_s: float) -> None:
        """Wait; a signal only sets `asked`, the waiting goes on."""
        if self._alive is None:
            time.sleep(pause_s)
            return
        try:
            if self._alive.poll(pause_s):
                self._alive.recv_bytes()
        except (EOFError, OSError):
            self.asked = True

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True


def run_logd(
    directory: DataDir,
    alive: Connection | None,
    keep: Keep = DEFAULT_KEEP,
    lives: Callable[[], None] = nothing,
) -> None:
    """Run until asked to finish. Exits with 1 if the database cannot go on in this process.

    `lives` is called again and again, once the database is open.
    """
    stop = _Stop(alive)
    lower_priority()
    try:
        directory.create()
        prepare(directory)
        sweep(directory)
        write_open_sql(directory)
        connection = _open(directory, stop)
        if connection is not None:
            _Logd(directory, connection, keep).run(stop, lives)
    except (duckdb.Error, DisagreementError, OSError) as error:
        _log.critical("logd has to start anew: %s", error)
        if isinstance(error, DisagreementError) or is_damage(error):
            condemn(directory.database)
        sys.exit(1)


def _open(directory: DataDir, stop: _Stop) -> duckdb.DuckDBPyConnection | None:
    """Open the database with all that the sealed segments know; None if asked to finish first."""
    said, began_s = False, time.monotonic()
    while not stop.asked:
        try:
            connection = open_store(directory.database)
        except DatabaseBusyError as error:
            patience_s = PREDECESSOR_S if error.ends else 0.0
            if not said and time.monotonic() - began_s >= patience_s:
                _log.warning("%s; %s", error.what, error.next_step)
                said = True
            stop.wait(BUSY_RETRY_S)
        else:
            mend(connection, directory)
            forget(connection, directory)
            restored = restore(connection, directory.sealed, above_seq=floor(directory))
            if restored:
                _log.warning("brought %d events back from the sealed segments", restored)
            return connection
    return None


class _Logd:
    """The running process, from an open database on."""

    def __init__(
        self, directory: DataDir, connection: duckdb.DuckDBPyConnection, keep: Keep
    ) -> None:
        self._directory = directory
        self._connection = connection
        self._keep = keep
        self._ingest = Ingest(connection, directory.journal)
        self._lines = LogFile(directory.jsonl)
        self._queries: QueryServer | None = None
        self._tidy_at_s = 0.0
        self._roll_at_s = 0.0
        self._trouble = ""

    def run(self, stop: _Stop, lives: Callable[[], None]) -> None:
        if HAS_UNIX_SOCKETS:
            meters = Meters(self._connection, self._more)
            self._queries = QueryServer(self._connection, self._directory.logd_socket, meters)
        pause_s = 0.0
        while not stop.wait(pause_s):
            lives()
            pause_s = self._look()
        end_s = time.monotonic() + FINISH_S
        while time.monotonic() < end_s and self._take_in():
            pass
        if self._queries is not None:
            self._queries.close()
        self._connection.close()

    def _look(self) -> float:
        """Do what there is to do; return how long to pause then."""
        if self._queries is not None and self._queries.failure is not None:
            raise self._queries.failure
        try:
            self._take_in()
            self._tidy()
            rolling = self._roll()
        except duckdb.FatalException:
            raise
        except (duckdb.OperationalError, OSError) as error:
            if str(error) != self._trouble:
                self._trouble = str(error)
                _log.error("the log does not get into DuckDB: %s", error)
            return RETRY_S
        if self._trouble:
            self._trouble = ""
            _log.warning("the log gets into DuckDB again")
        return 0.0 if self._ingest.behind or rolling else PAUSE_S

    def _more(self, cursor: duckdb.DuckDBPyConnection) -> Iterator[Metric]:
        """Return what Prometheus is told beside the counts of events."""
        yield from condition(cursor, self._directory.journal, wall_s())
        yield from figures(self._directory)

    def _take_in(self) -> bool:
        """Take in one chunk of the journal, if there is one."""
        lines = self._ingest.step()
        if lines:
            write_request_lines(self._lines, lines)
            write_fleet_lines(self._lines, lines)
        return lines is not None

    def _roll(self) -> bool:
        """Count the next stretch by the hour, if there is time; return whether more may follow."""
        if self._ingest.behind or time.monotonic() < self._roll_at_s:
            return False
        more = roll_next(self._connection)
        self._roll_at_s = 0.0 if more else time.monotonic() + TIDY_EVERY_S
        return more

    def _tidy(self) -> None:
        """Do the next step of sealing and of dropping."""
        if time.monotonic() < self._tidy_at_s:
            return
        self._tidy_at_s = time.monotonic() + TIDY_EVERY_S
        connection, directory, now_s = self._connection, self._directory, wall_s()
        ingesting_seq = self._ingest.position.first_seq
        seal_next(connection, directory, ingesting_seq, now_s, self._keep.group)
        unlink_sealed(connection, directory, now_s)
        drop_next(connection, directory, self._keep, now_s)
        unlink_dropped(directory, now_s)
