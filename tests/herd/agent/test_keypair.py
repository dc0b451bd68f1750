"""The agent's key: made once, its owner's alone, and at every moment one of two is known."""

import os
import stat
from pathlib import Path

import pytest

from herd.agent.keypair import Keypair
from herd.errors import HerdError


def test_it_is_made_once_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "node.key"
    first = Keypair(path).public
    assert Keypair(path).public == first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_one_that_cannot_be_read_is_said_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    path.write_text("not a key")
    with pytest.raises(HerdError, match=r"node\.key"):
        Keypair(path)
    assert path.read_text() == "not a key"


def test_a_key_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "node.key"
    synced: list[tuple[int, bool]] = []

    def fsync(file: int) -> None:
        synced.append((os.fstat(file).st_size, path.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    Keypair(path)
    assert synced == [(65, False)]


def test_a_new_key_waits_until_it_is_known(tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    keys = Keypair(path)
    old = keys.public
    keys.rotate()
    keys.rotate()
    assert keys.public == old, "not yet"
    headers = dict(keys.headers("studio", b"{}"))
    again = Keypair(path)
    assert again.public == old, "killed before it was told"
    assert again.not_known(), "killed after it was told: the other one is known"
    assert again.public.encode() == headers[b"X-Herd-Node-Next-Key"]
    assert Keypair(path).public == again.public
    assert not again.not_known()


def test_a_counter_only_grows(tmp_path: Path) -> None:
    keys = Keypair(tmp_path / "node.key")
    keys.challenged("ab", 10**16 - 5)
    counters = [int(dict(keys.headers("a", b""))[b"X-Herd-Node-Counter"]) for _ in range(3)]
    assert counters == [10**16 - 4, 10**16 - 3, 10**16 - 2]
