"""The settings file: as systemd reads it, and as people write it."""

from pathlib import Path

import pytest

from herd.errors import HerdError
from herd.paths import DataDir
from herd.settings_file import Variables, changed, read, written


def test_lines_as_people_write_them() -> None:
    text = '# a remark\n\n  FLEET_A=1 2\t\nFLEET_B="x \\"y\\"\nz"\n;another\nFLEET_C=\nFLEET_D=""'
    assert read(text) == {"FLEET_A": "1 2", "FLEET_B": 'x "y"\nz', "FLEET_C": "", "FLEET_D": ""}


@pytest.mark.parametrize("line", ["export FLEET_A=1", "fleet=1", 'FLEET_A="1', "FLEET_A='1'"])
def test_what_is_no_line_is_named(line: str) -> None:
    with pytest.raises(HerdError, match=r"^here: line 2 is not NAME=VALUE"):
        read(f"FLEET_B=1\n{line}", named="here")


def test_what_changes_is_changed_and_the_rest_stays_as_it_was_written() -> None:
    text = '# mine\nFLEET_A="1\n2"\nFLEET_B=b\nFLEET_A=3'
    assert changed(text, {}, named="here") == text
    assert changed(text, {"FLEET_B": "b", "FLEET_A": "3"}, named="here") == text
    told = changed(text, {"FLEET_A": "4", "FLEET_C": "c"}, named="here")
    assert told == '# mine\nFLEET_B=b\nFLEET_A="4"\nFLEET_C="c"\n', "an old secret is gone, too"
    assert changed("FLEET_B=b", {"FLEET_A": "4"}, named="here") == 'FLEET_B=b\nFLEET_A="4"\n'
    assert changed("", {"FLEET_A": "4"}, named="here") == 'FLEET_A="4"\n'
    with pytest.raises(HerdError, match=r"^here: line 1"):
        changed("fleet=1", {}, named="here")


def test_the_environment_comes_first_and_what_the_file_no_longer_says_is_gone(
    tmp_path: Path,
) -> None:
    directory = DataDir(tmp_path)
    told = {"FLEET_A": "file", "FLEET_B": "file", "FLEET_C": "file", "FLEET_DATA_DIR": "/no"}
    directory.settings_file.write_text(written(told))
    environment = {"FLEET_A": "own", "FLEET_B": "file", "HOME": "/h"}  # B came from the file
    variables = Variables(directory, environment)
    assert environment == {"FLEET_A": "own", "FLEET_B": "file", "FLEET_C": "file", "HOME": "/h"}
    directory.settings_file.write_text("FLEET_A=new\nFLEET_C=new\n")
    assert variables.again() == {"FLEET_A": "own", "FLEET_C": "new", "HOME": "/h"}
    assert variables.own == {"FLEET_A": "own", "HOME": "/h"}
    assert variables.overruled({"FLEET_C", "FLEET_D"}) == [
        "FLEET_A says nothing: the environment of this herd comes first",
        "FLEET_C says nothing: the command of this herd comes first",
    ]
    directory.settings_file.unlink()
    assert variables.again() == variables.own


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    directory = DataDir(tmp_path)
    directory.settings_file.write_bytes(b"FLEET_A=\xff")
    with pytest.raises(HerdError, match=r"herd-balancer\.env cannot be read"):
        Variables(directory, {})
