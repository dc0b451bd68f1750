"""From the journal into DuckDB: each event exactly once, whatever is killed when.

- The lines of a chunk and the position behind them are one transaction. `seq` has the last word:
  what is there already is skipped, what is missing is noted in `gaps`.
- A line that is no event goes to `quarantine`, and the rest of its chunk goes on.
- A chunk is safe on the disk before it is committed: the database never knows more than a power
  cut leaves in the journal.
"""

import logging
from contextlib import suppress
from pathlib import Path

import duckdb
import msgspec

from herd.journal.disk import sync_file
from herd.journal.files import Segment, holding, segments
from herd.journal.reader import lines as journal_lines
from herd.journal.tail import Chunk, Position, Tail
from herd.logd.parquet import span_path, spans
from herd.logd.sql import projection

LARGEST_GAP = 1_000_000
"""A line that would leave a larger one is damaged: numbers are given one by one."""

_ROWS = projection("SELECT unnest($1::VARCHAR[]) AS json")
_INSERT = f"INSERT INTO events {_ROWS}"
_TRY = f"SELECT count(*) FILTER (seq IS NULL OR recorded_at IS NULL OR kind IS NULL) FROM ({_ROWS})"  # noqa: S608 (our own files)
_log = logging.getLogger(__name__)


class DisagreementError(Exception):
    """The database holds an event that the journal tells otherwise."""


class _Head(msgspec.Struct):
    seq: int
    recorded_at: int
    k: str


class _Batch(msgspec.Struct):
    """What one transaction takes in."""

    lines: list[str]
    next_seq: int
    gaps: list[tuple[int, int]] = []
    bad: list[tuple[int, bytes, str]] = []
    """Offset, line, error."""


_heads = msgspec.json.Decoder(_Head)


class Ingest:
    """The state of taking in one journal."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, journal: Path, *, chunk_bytes: int = 2 << 20
    ) -> None:
        """Go on where the database ends; raises `DisagreementError` if it is not of this log."""
        self._connection = connection
        self._chunk_bytes = chunk_bytes
        self.behind = False
        """The last step took in so much that the next should follow at once."""
        self._next_seq = _next_seq(connection)
        self._tail = Tail(journal, _start(connection, journal, self._next_seq), chunk_bytes)

    @property
    def position(self) -> Position:
        """Everything before it is in the database."""
        return self._tail.position

    def step(self) -> list[str] | None:
        """Take in the next lines and return those that were new; None when there are none."""
        chunk = self._tail.read()
        if chunk is None:
            self.behind = False
            return None
        try:
            sync_file(chunk.path)
            batch = self._as_expected(chunk) or self._screened(chunk)
            try:
                self._commit(chunk, batch)
            except (duckdb.DataError, duckdb.IntegrityError, duckdb.ProgrammingError):
                batch = self._screened(chunk, tried=True)
                self._commit(chunk, batch)
        except BaseException:
            self._tail.position = chunk.start
            raise
        self._next_seq = batch.next_seq
        self.behind = len(chunk.data) >= self._chunk_bytes // 4
        return batch.lines

    def _as_expected(self, chunk: Chunk) -> _Batch | None:
        """Return the chunk's lines if they are the next ones, all of them: nearly always."""
        try:
            lines = chunk.data.decode().split("\n")
            lines.pop()
            seqs = [int(line[7 : line.index(",", 7)]) for line in lines]
        except ValueError:
            return None
        first = self._next_seq or seqs[0]
        if seqs != list(range(first, first + len(seqs))):
            return None
        return _Batch(lines, first + len(seqs))

    def _screened(self, chunk: Chunk, *, tried: bool = False) -> _Batch:
        """Take the chunk's lines one by one; `tried` asks DuckDB about them too."""
        batch = _Batch([], self._next_seq)
        refused = self._refused(chunk) if tried else {}
        at = chunk.start.offset_bytes
        for line in chunk.data.split(b"\n")[:-1]:
            try:
                head = _heads.decode(line)
                text = line.decode()
                error = refused.get(line) or _out_of_place(head.seq, batch.next_seq, chunk)
            except (msgspec.DecodeError, UnicodeDecodeError) as damage:
                head, text, error = _Head(0, 0, ""), "", str(damage)
            if error:
                batch.bad.append((at, line, error))
            elif head.seq >= batch.next_seq:
                if 0 < batch.next_seq < head.seq:
                    batch.gaps.append((batch.next_seq, head.seq - 1))
                batch.lines.append(text)
                batch.next_seq = head.seq + 1
            at += len(line) + 1
        return batch

    def _refused(self, chunk: Chunk) -> dict[bytes, str]:
        """Return the lines that DuckDB cannot read, with what it says."""
        refused: dict[bytes, str] = {}
        waiting = [[line for line in chunk.data.split(b"\n")[:-1] if _is_text(line)]]
        while waiting:
            lines = waiting.pop()
            error = self._try([line.decode() for line in lines])
            if error and len(lines) == 1:
                refused[lines[0]] = error
            elif error:
                half = len(lines) // 2
                waiting += [lines[:half], lines[half:]]
        return refused

    def _try(self, lines: list[str]) -> str:
        """Return what DuckDB has against at least one of the lines; nothing if it takes all."""
        try:
            [(missing,)] = self._connection.execute(_TRY, [lines]).fetchall()
        except (duckdb.DataError, duckdb.IntegrityError, duckdb.ProgrammingError) as error:
            return str(error)
        return "seq, recorded_at or k has no possible value" if missing else ""

    def _commit(self, chunk: Chunk, batch: _Batch) -> None:
        first_seq, offset_bytes = chunk.end
        run = self._connection.execute
        self._connection.begin()
        try:
            if batch.lines:
                run(_INSERT, [batch.lines]).fetchall()
            for gap in batch.gaps:
                _log.error("the log has no events %d to %d", *gap)
                run("INSERT INTO gaps VALUES (?, ?)", gap).fetchall()
            for at, line, error in batch.bad:
                _log.error("line at %s:%d is no event: %s", chunk.path.name, at, error)
                run(
                    "INSERT INTO quarantine SELECT $1, $2, $3, $4 WHERE NOT EXISTS"
                    " (FROM quarantine WHERE first_seq = $1 AND offset_bytes = $2)",
                    [first_seq, at, line, error],
                ).fetchall()
            position = [first_seq, offset_bytes, batch.next_seq]
            run("INSERT INTO ingested VALUES (?, ?, ?)", position).fetchall()
            self._connection.commit()
        except duckdb.FatalException:
            raise
        except BaseException:
            with suppress(duckdb.TransactionException):  # a failed commit has ended it already
                self._connection.rollback()
            raise


def restore(connection: duckdb.DuckDBPyConnection, sealed: Path, *, above_seq: int = 0) -> int:
    """Bring back from Parquet what the database lacks; return how many events that were.

    What was dropped, up to `above_seq`, is not brought back.
    """
    restored = 0
    for span in spans(sealed):
        next_seq = max(_next_seq(connection), above_seq + 1)
        if span.last_seq >= next_seq:
            [(count,)] = connection.execute(
                "INSERT INTO events BY NAME FROM read_parquet($1) WHERE seq >= $2",
                [str(span_path(sealed, span)), next_seq],
            ).fetchall()
            restored += count
    return restored


def _next_seq(connection: duckdb.DuckDBPyConnection) -> int:
    """Return the `seq` that comes next; 0 if anything may come first."""
    [(last,)] = connection.execute("SELECT max(seq) FROM events").fetchall()
    return 0 if last is None else last + 1


def _start(connection: duckdb.DuckDBPyConnection, journal: Path, next_seq: int) -> Position:
    """Return where to go on: the noted position if it fits, else the head of the segment."""
    found = segments(journal)
    if not next_seq or not found or found[0].first_seq >= next_seq:
        return Position()
    _check_agreement(connection, journal, next_seq - 1)
    noted = connection.execute(
        "FROM ingested ORDER BY next_seq DESC, first_seq DESC, offset_bytes DESC LIMIT 1"
    ).fetchall()
    for first_seq, offset_bytes, noted_next_seq in noted:
        position = Position(first_seq, offset_bytes)
        if noted_next_seq == next_seq and _between_lines(found, position):
            return position
    return Position(holding(found, next_seq)[0].first_seq)


def _check_agreement(connection: duckdb.DuckDBPyConnection, journal: Path, seq: int) -> None:
    """Look for the newest event of the database in the journal, which has its segment."""
    [(payload,)] = connection.execute(
        "SELECT payload::VARCHAR FROM events WHERE seq = $1", [seq]
    ).fetchall()
    if payload.encode() not in journal_lines(journal, seq):
        raise DisagreementError(f"event {seq} is not the journal's")


def _between_lines(found: list[Segment], position: Position) -> bool:
    """Return whether the position is one, so far as its segment is still there."""
    for first_seq, path in found:
        if first_seq == position.first_seq and position.offset_bytes:
            with path.open("rb") as file:
                file.seek(position.offset_bytes - 1)
                return file.read(1) == b"\n"
    return True


def _out_of_place(seq: int, next_seq: int, chunk: Chunk) -> str:
    """Say what is wrong with a number; the first of a segment is right, as the name has it too."""
    wild = seq < 1 or (next_seq and seq > next_seq + LARGEST_GAP)
    if wild and seq != chunk.start.first_seq:
        return f"seq {seq} cannot follow {next_seq - 1}"
    return ""


def _is_text(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True
