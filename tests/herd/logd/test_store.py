"""Opening the database after whatever happened to it."""

import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from herd.logd.store import LOGD, DatabaseBusyError, condemn, is_damage, open_store
from herd.paths import DataDir
from tests.herd.journal.sample import busy_log
from tests.herd.logd.rig import data_dir, rows, store, take_in, write

KILLED = """
import os, sys
from pathlib import Path
from herd.logd.ingest import Ingest
from herd.logd.store import open_store
from herd.paths import DataDir
directory = DataDir(Path(sys.argv[1]))
ingest = Ingest(open_store(directory.database), directory.journal, chunk_bytes=20_000)
while ingest.step() is not None:
    pass
os.kill(os.getpid(), 9)
"""


@pytest.fixture
def killed(tmp_path: Path) -> DataDir:
    """A log of 1000 events whose database lives in a WAL of many transactions."""
    directory = data_dir(tmp_path)
    write(directory, busy_log(1000))
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert wal(directory).stat().st_size > 50_000
    return directory


def wal(directory: DataDir) -> Path:
    return directory.database.with_name("events.duckdb.wal")


def count(directory: DataDir) -> int:
    with store(directory) as db:
        [(found,)] = rows(db, "SELECT count(*) FROM events")
        return int(found)


def assert_whole_again(directory: DataDir) -> None:
    with store(directory) as db:
        take_in(db, directory)
        query = "SELECT count(*), count(DISTINCT seq), max(seq) FROM events"
        assert rows(db, query) == [(1000, 1000, 1000)]
        assert rows(db, "FROM gaps") == []


def test_a_killed_logd_leaves_a_wal_that_is_read(killed: DataDir) -> None:
    assert count(killed) == 1000


@pytest.mark.parametrize("damage", ["flip", "zeros"])
def test_a_damaged_wal_is_cut_and_the_journal_fills_the_rest(
    killed: DataDir, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    data = bytearray(wal(killed).read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 0xFF
    else:
        data[-4096:] = bytes(4096)
    wal(killed).write_bytes(data)
    with pytest.raises(duckdb.Error, match="Corrupt WAL"):
        duckdb.connect(killed.database)
    assert 0 < count(killed) < 1000
    assert "cut there" in caplog.text
    assert_whole_again(killed)
    assert wal(killed).with_name("events.duckdb.wal.damaged").read_bytes() == data


@pytest.mark.parametrize("left_bytes", [0, 10])
def test_an_emptied_wal_is_filled_from_the_journal(killed: DataDir, left_bytes: int) -> None:
    wal(killed).write_bytes(wal(killed).read_bytes()[:left_bytes])
    assert_whole_again(killed)


@pytest.mark.parametrize("content", [b"", b"not a database" * 1000])
def test_what_is_no_database_is_set_aside_and_made_anew(killed: DataDir, content: bytes) -> None:
    wal(killed).unlink()
    killed.database.write_bytes(content)
    assert_whole_again(killed)
    assert killed.database.with_name("events.duckdb.damaged").read_bytes() == content


def test_a_flipped_bit_in_the_head_is_set_aside(killed: DataDir) -> None:
    data = bytearray(killed.database.read_bytes())
    data[4096 + 100] ^= 0xFF
    killed.database.write_bytes(data)
    assert_whole_again(killed)


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE events ADD COLUMN mood VARCHAR",
        "ALTER TABLE rolled DROP COLUMN cold",
        "ALTER TABLE rolled_to ALTER last_seq SET DATA TYPE VARCHAR",
        "CREATE TABLE of_a_newer_herd (word VARCHAR)",
    ],
)
def test_tables_of_an_older_or_newer_herd_are_made_anew_from_the_log(
    killed: DataDir, change: str
) -> None:
    with duckdb.connect(killed.database) as other:
        for (view,) in other.execute(
            "SELECT view_name FROM duckdb_views() WHERE NOT internal"
        ).fetchall():
            other.execute(f"DROP VIEW IF EXISTS {view}")
        other.execute(change)
    assert count(killed) == 0
    assert_whole_again(killed)
    assert count(killed) == 1000, "once is enough"


def test_a_file_of_a_newer_duckdb_is_made_anew_from_the_log(killed: DataDir) -> None:
    wal(killed).unlink()
    data = bytearray(killed.database.read_bytes())
    at = data.index(b"DUCK") + 4
    data[at : at + 8] = (10_000).to_bytes(8, "little")
    killed.database.write_bytes(data)
    assert_whole_again(killed)


def test_a_condemned_database_is_made_anew_once(killed: DataDir) -> None:
    condemn(killed.database)
    assert count(killed) == 0
    assert_whole_again(killed)
    assert count(killed) == 1000


@pytest.mark.parametrize(
    ("title", "said", "ends"),
    [("mine", r"open in another program \(mine, pid \d+\)", False), (LOGD, "herd before", True)],
)
def test_a_database_open_elsewhere_is_left_alone(
    killed: DataDir, title: str, said: str, *, ends: bool
) -> None:
    code = (
        f"import duckdb, setproctitle, sys; setproctitle.setproctitle({title!r}); "
        "c = duckdb.connect(sys.argv[1]); print(flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(killed.database)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(DatabaseBusyError, match=said) as busy:
            open_store(killed.database)
        assert busy.value.ends is ends
        other.communicate(b"\n")
    assert count(killed) == 1000


def test_a_full_disk_is_no_damage() -> None:
    assert not is_damage(duckdb.IOException("IO Error: No space left on device"))
    assert is_damage(duckdb.IOException("Corrupt database file: computed checksum"))
