"""The admin token: made once, private, read by those who may."""

from pathlib import Path

import pytest

from herd import admin_token
from herd.errors import HerdError
from herd.paths import DataDir


def test_it_is_made_once_and_is_private(tmp_path: Path) -> None:
    directory = DataDir(tmp_path)
    assert admin_token.read(directory) == ""
    admin_token.ensure(directory)
    token = admin_token.read(directory)
    assert len(token) >= 40
    assert directory.admin_token.stat().st_mode & 0o777 == 0o600
    admin_token.ensure(directory)
    assert admin_token.read(directory) == token, "the next start leaves it alone"


def test_two_directories_have_two_tokens(tmp_path: Path) -> None:
    tokens: list[str] = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        admin_token.ensure(DataDir(tmp_path / name))
        tokens.append(admin_token.read(DataDir(tmp_path / name)))
    assert tokens[0] != tokens[1]


def test_what_is_no_token_opens_nothing(tmp_path: Path) -> None:
    directory = DataDir(tmp_path)
    directory.admin_token.write_bytes("schlüssel".encode())
    assert admin_token.read(directory) == ""


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(HerdError, match=r"admin\.token cannot be written"):
        admin_token.ensure(DataDir(tmp_path / "gone"))
