"""The picture of an answer: how long requests took, as distributions and along the time line.

matplotlib is an extra, imported by name only where a picture is asked for.
"""

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from actors.core.state import US
from herd.errors import HerdError
from herd.virtual.script import Outcome
from herd.whatif.compare import Answer, Outcomes

LINES = (
    ("recorded", {"color": "0.75", "linewidth": 4.0}),
    ("re-run", {"color": "tab:blue", "linewidth": 1.5}),
    ("what if", {"color": "tab:orange", "linewidth": 1.5}),
)
BINS = 60
"""Parts of the time line, each with its own median."""


def drawing(path: Path) -> Callable[[Answer, Outcomes], None]:
    """Return what draws into this file; raises `HerdError` at once where that is not possible."""
    try:
        figure_module = import_module("matplotlib.figure")
    except ImportError as error:
        raise HerdError(
            "a picture needs matplotlib, which is not installed",
            "pip install 'herd-balancer[plot]'",
        ) from error
    figure: Any = figure_module.Figure(figsize=(9, 7), layout="constrained")
    kinds = sorted(figure.canvas.get_supported_filetypes())
    if path.suffix.lstrip(".").lower() not in kinds:
        raise HerdError(f"{path} is no kind of picture", f"end it with one of: {', '.join(kinds)}")

    def draw(answer: Answer, outcomes: Outcomes) -> None:
        _draw(figure, answer, outcomes)
        try:
            figure.savefig(path)
        except OSError as error:
            raise HerdError(f"{path} cannot be written: {error.strerror or error}") from error

    return draw


def shares(outcomes: Sequence[Outcome], of: str) -> tuple[list[float], list[float]]:
    """Return the times of completed requests in order, and the share up to each."""
    times = sorted(getattr(each, of) for each in outcomes if each.how == "completed")
    return times, [place / len(times) for place in range(1, len(times) + 1)]


def time_line(outcomes: Sequence[Outcome], from_us: int, to_us: int) -> list[tuple[float, float]]:
    """Return minutes from the start, and the median completion of those that came then."""
    width_us = max(1, (to_us - from_us) // BINS)
    parts: dict[int, list[float]] = {}
    for each in outcomes:
        if each.how == "completed":
            parts.setdefault((each.at_us - from_us) // width_us, []).append(each.total_s)
    return [
        ((place + 0.5) * width_us / US / 60, sorted(times)[len(times) // 2])
        for place, times in sorted(parts.items())
    ]


def _draw(figure: Any, answer: Answer, outcomes: Outcomes) -> None:  # noqa: ANN401 (untyped)
    axes = figure.subplot_mosaic([["ttft_s", "total_s"], ["line", "line"]])
    runs = (outcomes.recorded, outcomes.rerun[0], *outcomes.whatif[:1])
    for (name, style), run in zip(LINES, runs, strict=False):
        for of in ("ttft_s", "total_s"):
            times, share = shares(run, of)
            axes[of].step(times, share, where="post", label=name, **style)
        line = time_line(run, answer.start_us, answer.end_us)
        axes["line"].plot(*zip(*line, strict=True), label=name, **style)
    for of, label in (("ttft_s", "first byte after, s"), ("total_s", "last byte after, s")):
        axes[of].set(xlabel=label, ylabel="share of requests", ylim=(0, 1), xscale="log")
        axes[of].grid(alpha=0.3)
    axes["line"].set(xlabel="minutes", ylabel="median completion, s", ylim=(0, None))
    axes["line"].grid(alpha=0.3)
    axes["line"].legend()
    figure.suptitle(f"what if: {'; '.join(answer.change)}" if answer.change else "re-run")
