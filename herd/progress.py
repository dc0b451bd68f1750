"""A bar on the terminal for what takes longer than a second; nothing anywhere else."""

import sys
from collections.abc import Iterable, Iterator
from time import perf_counter
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

PATIENCE_S = 1.0
_EVERY = 5_000

Item = TypeVar("Item")


def watched(items: Iterable[Item], total: int, what: str, *, every: int = _EVERY) -> Iterator[Item]:
    """Pass the items on; show how many of them have come, on stderr, after every so many."""
    if not sys.stderr.isatty():
        yield from items
        return
    began = perf_counter()
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    task = progress.add_task(what, total=total)
    running = False
    try:
        for number, item in enumerate(items):
            if not number % every and perf_counter() - began >= PATIENCE_S:
                if not running:
                    progress.start()
                    running = True
                progress.update(task, completed=number)
            yield item
    finally:
        if running:
            progress.stop()
