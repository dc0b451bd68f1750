import os
import stat
import tempfile
from pathlib import Path

import pytest

from herd.errors import HerdError
from herd.paths import LONGEST_SOCKET_PATH_BYTES, DataDir, default_data_dir


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_all_directories_are_made_for_their_owner_only(tmp_path: Path) -> None:
    directory = DataDir(tmp_path / "deep" / "herd")
    directory.create()
    directory.create()
    made = [path for path in directory.root.rglob("*") if path.is_dir()]
    assert {directory.journal, directory.sealed, directory.snapshots, directory.run} <= set(made)
    assert {mode(path) for path in [directory.root, *made]} == {0o700}


def test_the_default_is_shared_with_ollama_herd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/somewhere")
    assert default_data_dir({}).root == Path("/somewhere/.fleet-manager")
    assert default_data_dir({"FLEET_DATA_DIR": "/data"}).root == Path("/data")


def test_the_log_file_of_ollama_herd_is_left_alone(tmp_path: Path) -> None:
    theirs = tmp_path / "logs" / "herd.jsonl"
    theirs.parent.mkdir()
    theirs.write_text("theirs\n")
    directory = DataDir(tmp_path)
    assert directory.beside_ollama_herd
    directory.create()
    assert directory.jsonl == tmp_path / "logs" / "herd-balancer.jsonl"
    assert directory.beside_ollama_herd
    assert theirs.read_text() == "theirs\n"


def test_our_own_log_file_is_known_again(tmp_path: Path) -> None:
    directory = DataDir(tmp_path)
    directory.create()
    directory.jsonl.write_text("ours\n")
    assert directory.jsonl == tmp_path / "logs" / "herd.jsonl"
    assert not directory.beside_ollama_herd


def test_a_socket_is_in_the_run_directory_if_its_path_is_short_enough() -> None:
    assert DataDir(Path("/data")).control_socket == Path("/data/run/control.sock")


def test_a_long_path_gets_a_short_private_place_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/tmp")  # noqa: S108 (what the system would say)
    directory, other = DataDir(tmp_path / ("é" * 60)), DataDir(tmp_path / ("ü" * 60))
    try:
        directory.create()
        assert len(os.fsencode(directory.control_socket)) <= LONGEST_SOCKET_PATH_BYTES
        assert mode(directory.sockets) == 0o700
        assert directory.sockets != other.sockets
        directory.sockets.chmod(0o755)
        with pytest.raises(HerdError, match="belongs to somebody else"):
            directory.create()
    finally:
        directory.sockets.rmdir()


def test_a_directory_that_cannot_be_used_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HerdError) as caught:
        DataDir(tmp_path / "file" / "herd").create()
    assert "cannot be used: Not a directory" in caught.value.what
    assert "--data-dir" in caught.value.next_step


def test_a_directory_without_write_permission_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    DataDir(tmp_path).create()
    monkeypatch.setattr(Path, "touch", refuse)  # root may write everywhere
    with pytest.raises(HerdError, match="cannot be used: Permission denied"):
        DataDir(tmp_path).create()


def test_a_directory_of_another_user_is_told_from_an_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    DataDir(tmp_path / "not there").check_readable()
    DataDir(tmp_path).check_readable()
    monkeypatch.setattr(Path, "iterdir", refuse)  # root may read everywhere
    with pytest.raises(HerdError, match=f"{tmp_path} cannot be read: Permission denied"):
        DataDir(tmp_path).check_readable()
