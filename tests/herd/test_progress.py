"""A bar, only where somebody looks on, and only when it takes long."""

import io
import sys
from collections.abc import Iterator

import pytest

from herd import progress
from herd.progress import watched


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_nothing_is_written_where_nobody_looks_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(watched(range(20_000), 20_000, "replay")) == list(range(20_000))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("patience_s", "shows"), [(0.0, True), (3600.0, False)])
def test_a_terminal_sees_a_bar_after_a_while(
    monkeypatch: pytest.MonkeyPatch, patience_s: float, *, shows: bool
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(progress, "PATIENCE_S", patience_s)
    assert sum(watched(range(20_000), 20_000, "replay")) == sum(range(20_000))
    assert ("replay" in terminal.getvalue()) == shows


def test_what_breaks_off_leaves_no_bar_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("no more")

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(progress, "PATIENCE_S", 0.0)
    with pytest.raises(ValueError, match="no more"):
        list(watched(broken(), 2, "replay"))
    assert terminal.getvalue().endswith("\x1b[2K"), "the line is taken away"
