"""A disk that is full while Parquet is written: nothing half is left, and it goes on later."""

import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest

from herd.logd.parquet import spans
from tests.herd.journal.sample import log_of, requests
from tests.herd.logd.rig import data_dir, rows, store, write

SCRIPT = """
import resource, sys
from pathlib import Path
import duckdb
from herd.logd.parquet import spans
from herd.logd.retention import Keep, drop_next
from herd.logd.seal import Group, seal_next, unlink_sealed
from herd.logd.store import open_store
from tests.herd.logd.rig import data_dir, take_in
directory = data_dir(Path(sys.argv[1]))
connection = open_store(directory.database)
first_seq = take_in(connection, directory).position.first_seq
connection.execute("CHECKPOINT")
days = connection.execute("FROM daily ORDER BY ALL").fetchall()

def limited(size_bytes, step):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, resource.RLIM_INFINITY))
    try:
        return step()
    except (duckdb.OperationalError, OSError) as error:
        print(type(error).__name__, "File too large" in str(error))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

def seal():
    return seal_next(connection, directory, first_seq, 0.0, Group(segments=1))

def drop():
    return drop_next(connection, directory, Keep(size_bytes=1), 1e12)

step, folder = (seal, directory.sealed) if sys.argv[2] == "seal" else (drop, directory.totals)
if step is drop:
    seal()
    unlink_sealed(connection, directory, 1e12)
before = sorted(folder.iterdir())
assert limited(int(sys.argv[3]), step) is None
assert sorted(folder.iterdir()) == before, sorted(folder.iterdir())
assert connection.execute("FROM daily ORDER BY ALL").fetchall() == days
assert step() == (1, 3000)
assert spans(folder) == [(1, 3000)]
assert connection.execute("FROM daily ORDER BY ALL").fetchall() == days
connection.close()
"""


@pytest.mark.parametrize(("step", "size_bytes"), [("seal", 20_000), ("seal", 0), ("drop", 300)])
def test_what_a_full_disk_refuses_is_done_later(tmp_path: Path, step: str, size_bytes: int) -> None:
    directory = data_dir(tmp_path)
    told = requests()
    write(directory, *(log_of(islice(told, 2_999), first) for first in (1, 3_001, 6_001)))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path), step, str(size_bytes)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("True")
    with store(directory) as db:
        lowest = 1 if step == "seal" else 3_001
        assert rows(db, "SELECT min(seq), count(*) FROM events") == [(lowest, 9_001 - lowest)]
    assert len(spans(directory.totals)) == (step == "drop")
