"""A backup has everything, restores it as it was, and writes nothing else anywhere."""

import io
import tarfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import msgspec
import pytest

from actors.core.state import SCHEMA
from events import Recorded, StateSnapshotted, encode
from herd import backup
from herd.backup import MANIFEST, Manifest, restore, save
from herd.errors import HerdError
from herd.journal.files import segment_path
from herd.paths import DataDir
from herd.replay.check import check
from herd.replay.source import Source
from tests.herd.logd.rig import data_dir, write
from tests.herd.replay.chaos import chaos


@pytest.fixture
def saved(tmp_path: Path) -> tuple[DataDir, Path]:
    """A data directory with a log, secrets, and what is not worth saving."""
    directory = data_dir(tmp_path / "here")
    write(directory, chaos(0))
    directory.admin_token.write_text("token\n")
    directory.join_token.write_text("join\n")
    directory.settings_file.write_text('FLEET_JOIN_TOKEN="secret"\n')
    directory.settings_file.chmod(0o644)
    directory.node_key.write_text("of this machine's agent alone\n")
    (directory.sealed / "00000000000000000001-00000000000000000002.parquet.new").write_text("half")
    (directory.snapshots / "00000000000000000009.json").write_text("{}")
    directory.database.write_bytes(b"a database")
    directory.jsonl.parent.mkdir(exist_ok=True)
    directory.jsonl.write_text("{}\n")
    return directory, tmp_path / "backup.tar.gz"


def names(file: Path) -> list[str]:
    with tarfile.open(file) as archive:
        return archive.getnames()


def test_everything_comes_back_as_it_was(saved: tuple[DataDir, Path], tmp_path: Path) -> None:
    directory, file = saved
    manifest = save(directory, file)
    assert names(file)[0] == MANIFEST
    assert len(names(file)) == manifest.files + 1
    assert not [n for n in names(file) if n.endswith((".new", "reserve", ".duckdb", ".jsonl"))]
    assert file.stat().st_mode & 0o077 == 0
    there = DataDir(tmp_path / "there")
    assert restore(file, there) == manifest
    for name in names(file)[1:]:
        path = there.root / name
        assert path.read_bytes() == (directory.root / name).read_bytes()
        assert path.stat().st_mode & 0o077 == 0
        assert path.parent.stat().st_mode & 0o077 == 0
    assert there.admin_token.read_text() == "token\n"
    assert there.join_token.read_text() == "join\n"
    assert there.settings_file.read_text() == 'FLEET_JOIN_TOKEN="secret"\n'
    assert not there.node_key.exists(), "another machine is another node"
    assert not list(directory.root.glob(".backup-*"))
    assert not list(there.root.glob(".restore-*"))


def test_what_comes_back_replays(saved: tuple[DataDir, Path], tmp_path: Path) -> None:
    directory, file = saved
    save(directory, file)
    restore(file, DataDir(tmp_path / "there"))
    with Source(tmp_path / "there") as source:
        records: Iterator[Recorded] = source.records()
        report = check(records)
    assert (report.events, report.divergences) == (len(chaos(0)), [])


def test_a_journal_that_is_being_written_ends_with_a_whole_line(
    saved: tuple[DataDir, Path], tmp_path: Path
) -> None:
    directory, file = saved
    (segment,) = directory.journal.glob("0*.ndjson")
    whole = segment.read_bytes()
    segment.write_bytes(whole + b'{"seq":99999,"recor')
    save(directory, file)
    there = DataDir(tmp_path / "there")
    restore(file, there)
    assert (there.journal / segment.name).read_bytes() == whole


def test_a_file_that_goes_while_they_are_linked_is_no_loss(
    saved: tuple[DataDir, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, file = saved
    for name in ("0-1.parquet", "2-3.parquet"):
        (directory.sealed / name).write_bytes(b"x")
    link = vars(backup)["_link"]
    gone: list[Path] = []

    def merging(path: Path, target: Path) -> None:
        if path.name == "2-3.parquet" and not gone:
            gone.append(path)
            (directory.sealed / "0-3.parquet").write_bytes(b"xx")
            path.unlink()
        link(path, target)

    monkeypatch.setattr(backup, "_link", merging)
    save(directory, file)
    sealed = [Path(name).name for name in names(file) if "/sealed/" in name]
    assert "0-3.parquet" in sealed
    assert "2-3.parquet" not in sealed


def test_a_disk_without_links_gets_copies(
    saved: tuple[DataDir, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr(Path, "hardlink_to", refused)
    directory, file = saved
    assert save(directory, file).files == len(names(file)) - 1


def test_nothing_is_written_over(saved: tuple[DataDir, Path]) -> None:
    directory, file = saved
    save(directory, file)
    with pytest.raises(HerdError, match="has a log already: nothing was changed"):
        restore(file, directory)


@pytest.mark.parametrize(
    ("below", "why"), [(".", "it is no directory"), ("deep", "Not a directory")]
)
def test_a_file_is_no_place_for_one(
    saved: tuple[DataDir, Path], tmp_path: Path, below: str, why: str
) -> None:
    directory, file = saved
    save(directory, file)
    taken = tmp_path / "taken"
    taken.write_text("mine")
    with pytest.raises(HerdError, match=f"cannot be used: {why}"):
        restore(file, DataDir(taken / below))
    assert taken.read_text() == "mine"


def test_a_settings_file_that_is_there_is_not_written_over(
    saved: tuple[DataDir, Path], tmp_path: Path
) -> None:
    directory, file = saved
    save(directory, file)
    there = DataDir(tmp_path / "there")
    there.root.mkdir()
    there.settings_file.write_text("FLEET_PORT=80\n")
    with pytest.raises(HerdError, match="has a settings file already"):
        restore(file, there)
    assert list(there.root.iterdir()) == [there.settings_file]
    directory.settings_file.unlink()
    save(directory, file)
    restore(file, there)
    assert there.settings_file.read_text() == "FLEET_PORT=80\n", "the backup has none"


def test_a_backup_of_before_settings_files_is_restored(
    saved: tuple[DataDir, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, file = saved
    directory.settings_file.unlink()
    monkeypatch.setattr(backup, "Manifest", partial(Manifest, format=1))
    assert save(directory, file).format == 1
    monkeypatch.undo()
    there = DataDir(tmp_path / "there")
    restore(file, there)
    assert there.admin_token.exists()
    assert not there.settings_file.exists()


def test_without_a_log_there_is_nothing_to_save(tmp_path: Path) -> None:
    with pytest.raises(HerdError, match="there is no log"):
        save(DataDir(tmp_path), tmp_path / "b")
    assert not (tmp_path / "b").exists()


def made(file: Path, *members: tuple[tarfile.TarInfo, bytes], manifest: Manifest | None) -> Path:
    with tarfile.open(file, "w:gz") as archive:
        if manifest is not None:
            content = msgspec.json.encode(manifest)
            first = tarfile.TarInfo(MANIFEST)
            first.size = len(content)
            archive.addfile(first, io.BytesIO(content))
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file


def one(files: int = 1, **more: int) -> Manifest:
    return Manifest(version="9.9", made_at=0.0, files=files, size_bytes=1, **more)


def link(name: str, target: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, target
    return member


@pytest.mark.parametrize(
    "member",
    [
        tarfile.TarInfo("../outside"),
        tarfile.TarInfo("/etc/herd"),
        tarfile.TarInfo("log/journal/../../../outside"),
        tarfile.TarInfo("log/events.duckdb"),
        tarfile.TarInfo("run/herd.json"),
        tarfile.TarInfo("keys/.ssh"),
        link("admin.token", "/etc/passwd"),
    ],
    ids=lambda member: member.name,
)
def test_no_name_but_its_own_is_written(tmp_path: Path, member: tarfile.TarInfo) -> None:
    file = made(tmp_path / "evil.tar.gz", (member, b"x"), manifest=one())
    there = tmp_path / "there"
    with pytest.raises(HerdError, match="is no file of herd"):
        restore(file, DataDir(there))
    assert {path.name for path in tmp_path.iterdir()} == {"evil.tar.gz"}


def test_a_backup_of_a_newer_herd_is_refused(tmp_path: Path) -> None:
    file = made(tmp_path / "b.tar.gz", manifest=one(format=3))
    with pytest.raises(HerdError, match=r"made by herd 9\.9, in a format"):
        restore(file, DataDir(tmp_path / "there"))


def test_a_log_of_a_newer_herd_is_refused_before_anything_is_changed(
    saved: tuple[DataDir, Path], tmp_path: Path
) -> None:
    directory, file = saved
    newer = StateSnapshotted(state=msgspec.Raw(b"{}"), schema=SCHEMA + 1, version="9.8.7")
    segment_path(directory.journal, 1_000_000).write_bytes(encode(Recorded(1_000_000, 1, newer)))
    save(directory, file)
    with pytest.raises(HerdError, match=r"written by herd 9\.8\.7, whose format"):
        restore(file, DataDir(tmp_path / "there"))
    assert not (tmp_path / "there").exists()


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9, 0.999])
def test_half_a_backup_is_none(saved: tuple[DataDir, Path], tmp_path: Path, keep: float) -> None:
    directory, file = saved
    save(directory, file)
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * keep)])
    with pytest.raises(HerdError, match="cannot be restored"):
        restore(file, DataDir(tmp_path / "there"))
    assert not (tmp_path / "there").exists()


@pytest.mark.parametrize("back", [1, 5, 8])
def test_a_checksum_that_is_cut_or_wrong_is_seen(
    saved: tuple[DataDir, Path], tmp_path: Path, back: int
) -> None:
    directory, file = saved
    save(directory, file)
    whole = file.read_bytes()
    wrong = bytearray(whole)
    wrong[-back] ^= 1
    for damaged in (whole[:-back], bytes(wrong)):
        file.write_bytes(damaged)
        with pytest.raises(HerdError, match="cannot be restored"):
            restore(file, DataDir(tmp_path / "there"))


def test_what_is_refused_leaves_nothing_but_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    file = made(tmp_path / "c.tar.gz", manifest=None)
    for there in (tmp_path / "own", tmp_path / "own" / "a" / "b"):
        with pytest.raises(HerdError, match="it is not a backup of herd"):
            restore(file, DataDir(there))
    assert list((tmp_path / "own").iterdir()) == []


def test_what_lacks_a_file_or_is_something_else_is_refused(tmp_path: Path) -> None:
    there = DataDir(tmp_path / "there")
    with pytest.raises(HerdError, match="0 of 1 files are in it"):
        restore(made(tmp_path / "b.tar.gz", manifest=one()), there)
    with pytest.raises(HerdError, match="it is not a backup of herd"):
        restore(made(tmp_path / "c.tar.gz", manifest=None), there)
