"""The named queries, and who answers them: threads beside ingest, at most four at once."""

import contextlib
import logging
import socket
import threading
from collections.abc import Mapping
from pathlib import Path

import duckdb
import msgspec

from herd.logd.meters import METRICS, Meters
from herd.logd.rollup import aim
from herd.logd.sql import QUIET, text
from herd.logd.wire import (
    ANSWER_WITHIN_S,
    LARGEST_QUESTION_BYTES,
    LENGTH,
    Answer,
    Parameter,
    Question,
    frame,
    question_decoder,
)
from herd.unix_sockets import bind_unix

AT_ONCE = 4
ROOM_WITHIN_S = 0.4
"""How long a question waits for one of the others to end, before it is told that all are busy."""
ENDING = "it is ending"
_log = logging.getLogger(__name__)

_PAGES = (
    "apps",
    "apps_daily",
    "benchmarks",
    "context_usage",
    "log_span",
    "models",
    "models_daily",
    "overview",
    "pulls_ended",
    "stored",
    "tags",
    "tags_daily",
    "trace_page",
    "traces",
    "trends",
    "usage",
)
"""Each in a file of its name in `named/`, as are those that health is judged by."""

_HEALTH = ("health_contexts", "health_troubles", "health_work")

_AIMED = {*_PAGES, *_HEALTH, "decisions", "log_health"} - {"benchmarks", "pulls_ended", "traces"}
"""Those that need to know from where to where the log goes, and what of it is counted."""

QUERIES: dict[str, str] = {name: text(f"named/{name}.sql") for name in (*_PAGES, *_HEALTH)} | {
    "counts": "SELECT kind, count(*) AS events FROM events GROUP BY kind ORDER BY kind",
    "recent_requests": (
        "SELECT * REPLACE (epoch(received_at) AS received_at, epoch(ended_at) AS ended_at)"
        " FROM requests WHERE request_id IN ("
        "   SELECT request_id FROM events WHERE kind = 'request_received'"
        "   ORDER BY seq DESC LIMIT least($limit, 1000))"
        " ORDER BY received_at DESC"
    ),
    "request": "SELECT payload::VARCHAR AS line FROM events WHERE request_id = $request_id"
    " ORDER BY seq LIMIT 1000",
    "decisions": (
        "SELECT payload::VARCHAR AS line FROM events WHERE kind = 'request_dispatched'"
        " AND seq > getvariable('last_seq') - 20000"
        " ORDER BY seq DESC LIMIT least($limit, 200)"
    ),
    "log_health": (
        "SELECT nullif(getvariable('last_seq'), 0) AS last_seq,"
        " (SELECT epoch(recorded_at) FROM events WHERE seq = getvariable('last_seq'))"
        " AS last_at_s,"
        " (SELECT coalesce(sum(to_seq - from_seq + 1), 0)::BIGINT FROM gaps) AS missing_events,"
        " (SELECT count(*) FROM quarantine) AS quarantined_lines, first_seq, offset_bytes"
        " FROM (SELECT NULL) LEFT JOIN"
        " (FROM ingested ORDER BY ALL DESC LIMIT 1) ON true"
    ),
}


class QueryServer:
    """The socket on which logd answers."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, path: Path, meters: Meters | None = None
    ) -> None:
        """Bind the socket; a file left there by a killed logd is replaced."""
        self._connection = connection.cursor()
        self._meters = meters
        self._cloning = threading.Condition()
        self._free = threading.BoundedSemaphore(AT_ONCE)
        self._running: set[duckdb.DuckDBPyConnection] = set()
        self._closed = threading.Event()
        self.failure: duckdb.FatalException | None = None
        """Set when the database gave up; logd has to start anew."""
        self._path = path
        self._listener = bind_unix(path)
        self._listener.listen(16)
        self._accepting = threading.Thread(target=self._accept, name="logd-accept", daemon=True)
        self._accepting.start()

    def close(self) -> None:
        """Stop answering; what runs is ended, since a database closes for nobody who reads it."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(ANSWER_WITHIN_S)
        self._path.unlink(missing_ok=True)
        with self._cloning:
            self._closed.set()
            for cursor in self._running:
                cursor.interrupt()
            self._cloning.wait_for(lambda: not self._running, ANSWER_WITHIN_S)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.settimeout(ANSWER_WITHIN_S)
            threading.Thread(
                target=self._converse, args=(connection,), name="logd-query", daemon=True
            ).start()

    def _converse(self, connection: socket.socket) -> None:
        """Hear the question in any case: an end with bytes unread would take the answer back."""
        room = self._free.acquire(timeout=ROOM_WITHIN_S)
        try:
            try:
                question = question_decoder.decode(_receive(connection))
            except (OSError, EOFError, msgspec.DecodeError) as error:
                answer = Answer(error=f"no question: {error}")
            else:
                busy = Answer(error=f"{AT_ONCE} queries are running")
                answer = self.answer(question) if room else busy
            _reply(connection, answer)
        finally:
            if room:
                self._free.release()

    def answer(self, question: Question) -> Answer:
        """Run one named query within its time."""
        with self._cloning:
            if self._closed.is_set():
                return Answer(error=ENDING)
            cursor = self._connection.cursor()
            cursor.execute(QUIET)  # each cursor has settings of its own
            self._running.add(cursor)
        timer = threading.Timer(ANSWER_WITHIN_S, cursor.interrupt)
        timer.start()
        try:
            return self._found(cursor, question)
        except duckdb.FatalException as error:
            self.failure = error
            return Answer(error=str(error))
        except duckdb.InterruptException:
            late = f"{question.name} took longer than {ANSWER_WITHIN_S:g} s"
            return Answer(error=ENDING if self._closed.is_set() else late)
        except duckdb.Error as error:
            return Answer(error=str(error))
        finally:
            timer.cancel()
            with self._cloning:
                cursor.close()
                self._running.discard(cursor)
                self._cloning.notify_all()

    def _found(self, cursor: duckdb.DuckDBPyConnection, question: Question) -> Answer:
        if question.name == METRICS and self._meters is not None:
            models = question.parameters.get("models")
            told = self._meters.text(cursor, models if isinstance(models, list) else [])
            return Answer(["text"], [[told]])
        query = QUERIES.get(question.name)
        if query is None:
            return Answer(error=f"no query is named {question.name!r}")
        if question.name in _AIMED:
            aim(cursor)
        cursor.execute(*_bound(query, question.parameters))
        rows = [list(row) for row in cursor.fetchall()]
        return Answer([str(column[0]) for column in cursor.description or ()], rows)


def _bound(query: str, parameters: Mapping[str, Parameter]) -> tuple[str, dict[str, object]]:
    """Return the query with a parameter for each item of a list, which then prunes as one does."""
    values: dict[str, object] = {}
    for name, value in parameters.items():
        if isinstance(value, list):
            items = {f"{name}_{n}": item for n, item in enumerate(value)}
            query = query.replace(f"(${name})", f"({', '.join(f'${item}' for item in items)})")
            values.update(items)
        else:
            values[name] = value
    return query, values


def _receive(connection: socket.socket) -> bytes:
    (size,) = LENGTH.unpack(_exactly(connection, LENGTH.size))
    if size > LARGEST_QUESTION_BYTES:
        raise OSError(f"a question of {size} bytes")
    return _exactly(connection, size)


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            raise EOFError("the connection ended")
        data += more
    return data


def _reply(connection: socket.socket, answer: Answer) -> None:
    with contextlib.suppress(OSError), connection:
        connection.sendall(frame(answer))
