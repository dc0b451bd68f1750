"""What control and the process that measures say to each other: a JSON object a line.

Control says one `Plan`, and then nothing: the end of the pipe means "enough". The process says how
far it is, now and then, and at last `BenchmarkEnded`.
"""

from typing import TypeAlias

import msgspec

from events import BenchmarkEnded, BenchmarkMode, ModelType, WantedPull

AGENT = "herd-bench"
"""The product in `User-Agent`: the log has its requests under this application."""


class Plan(msgspec.Struct, frozen=True):
    """What is to be measured, and where."""

    run_id: str
    url: str
    mode: BenchmarkMode
    duration_s: float
    model_types: tuple[ModelType, ...]
    models: tuple[str, ...] = ()
    """These and no others; chosen if there are none."""
    token: str = ""
    """The admin token, which is as good as an API key."""
    pulls: tuple[WantedPull, ...] = ()
    """What is pulled first."""
    removes: bool = False
    """It is deleted again at the end."""


class Progress(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="k", tag="progress"):
    """How far a benchmark is."""

    status: str
    """pulling, warming_up or running."""
    phase: str
    """The same for people."""
    elapsed_s: float = 0.0
    completed: int = 0
    failed: int = 0
    tokens_per_s: float = 0.0
    models: tuple[str, ...] = ()
    pulled: tuple[str, ...] = ()
    """Models that were pulled, and are there."""
    completed_bytes: int = 0
    """Of the one that is being pulled."""
    total_bytes: int = 0


Said: TypeAlias = Progress | BenchmarkEnded
"""What the process says."""
