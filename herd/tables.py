"""Aligned text for people: bold headers on a terminal, plain everywhere else."""

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from herd.terminal import printable

__all__ = ["console", "printable", "show"]

_ENDLESS = 10_000
"""Columns where nobody looks on: in a file or a pipe no line is folded."""


def console() -> Console:
    """Return stdout, as wide as the terminal or as endless as a file."""
    wide = None if sys.stdout.isatty() else _ENDLESS
    return Console(width=wide, highlight=False, soft_wrap=False)


def show(header: Sequence[str], rows: Sequence[Sequence[str]], indent: int = 0) -> None:
    """Write a table; a header that begins with `>` is of a column of numbers."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for name in header:
        right = name.startswith(">")
        table.add_column(name.removeprefix(">"), justify="right" if right else "left")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    terminal = console()
    with terminal.capture() as captured:
        terminal.print(table)
    for line in captured.get().splitlines():
        sys.stdout.write(f"{' ' * indent}{line.rstrip()}\n")
