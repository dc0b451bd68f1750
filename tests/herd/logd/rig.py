"""A data directory with a log in it, and logd as a process of its own."""

import subprocess
import sys
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from events import Recorded, encode
from herd.journal.files import segments
from herd.journal.segments import Journal, Limits
from herd.logd.ingest import Ingest
from herd.logd.parquet import Span, prepare
from herd.logd.seal import Group, seal_next
from herd.logd.store import open_store
from herd.paths import DataDir
from tests.herd.journal.sample import SMALL

ALONE = Group(segments=1)
"""Each segment is sealed by itself, at once."""

Rows = list[tuple[Any, ...]]


def data_dir(root: Path) -> DataDir:
    directory = DataDir(root)
    directory.create()
    prepare(directory)
    return directory


def write(directory: DataDir, *segments: Iterable[Recorded], limits: Limits = SMALL) -> None:
    """Write segments; each begins with its snapshot."""
    journal = Journal.open(directory.journal, directory.snapshots, limits)
    for records in segments:
        first, *rest = records
        journal.rotate(first)
        journal.append(rest)
    journal.close()


def append(directory: DataDir, records: list[Recorded]) -> None:
    """Let the newest segment grow, as it does while control lives."""
    with segments(directory.journal)[-1].path.open("ab") as file:
        file.writelines(encode(record) for record in records)


@contextmanager
def store(directory: DataDir) -> Generator[duckdb.DuckDBPyConnection]:
    connection = open_store(directory.database)
    try:
        yield connection
    finally:
        connection.close()


def take_in(connection: duckdb.DuckDBPyConnection, directory: DataDir) -> Ingest:
    """Take in all there is, as a logd that was just started."""
    ingest = Ingest(connection, directory.journal)
    while ingest.step() is not None:
        pass
    return ingest


def seal_all(
    connection: duckdb.DuckDBPyConnection, directory: DataDir, ingest: Ingest, group: Group = ALONE
) -> list[Span]:
    """Seal all that is due; return what each file tells of."""
    sealed: list[Span] = []
    first_seq = ingest.position.first_seq
    while (span := seal_next(connection, directory, first_seq, 0.0, group)) is not None:
        sealed.append(span)
    return sealed


def rows(connection: duckdb.DuckDBPyConnection, query: str) -> Rows:
    return connection.execute(query).fetchall()


def stepwise(change: Callable[..., object], step: Callable[[], None]) -> Callable[..., object]:
    """Return the change with a step before and after it."""

    def changed(*arguments: object, **options: object) -> object:
        step()
        result = change(*arguments, **options)
        step()
        return result

    return changed


CODE = """
import sys
from pathlib import Path
from herd.logs import start
from herd.paths import DataDir
from herd.processes.logd import run_logd
directory = DataDir(Path(sys.argv[1]))
directory.create()
start(directory.jsonl, "logd")
print("started", flush=True)
run_logd(directory, None)
"""


def logd(directory: DataDir) -> "subprocess.Popen[str]":
    """Start logd; the caller ends it."""
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, str(directory.root)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    return process


def end(process: "subprocess.Popen[str]", *, kill: bool = False) -> int:
    """End it, one way or the other; return its exit code."""
    if kill:
        process.kill()
    else:
        process.terminate()
    process.communicate(timeout=20)
    return process.returncode
