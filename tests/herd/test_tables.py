"""Tables for people and pipes."""

import pytest

from herd.tables import show


def test_columns_are_aligned_and_numbers_to_the_right(capsys: pytest.CaptureFixture[str]) -> None:
    show(("NODE", ">IN FLIGHT"), [("ada", "7"), ("a-longer-name", "12")], indent=2)
    assert capsys.readouterr().out.splitlines() == [
        "  NODE           IN FLIGHT",
        "  ada                    7",
        "  a-longer-name         12",
    ]


def test_no_line_is_folded_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    show(("A", "B"), [("x" * 300, "y" * 300)])
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_markup_and_control_characters_of_others_are_plain_text(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show(("NODE",), [("[red]ada\x1b[2J",)])
    assert capsys.readouterr().out == "NODE\n[red]ada?[2J\n"
