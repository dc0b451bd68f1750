"""The pictures of the notebooks: each takes a table of this package and returns matplotlib's axes.

A name (a node, a model, an application) keeps the colour that it was given first. Time runs to the
right in minutes since the log began.
"""

# Matplotlib's own types leave the keywords that it passes on to its artists open.
# pyright: reportUnknownMemberType=false

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from herd.analysis.times import PARTS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

PALETTE = (
    *("#3b6fb6", "#e0883a", "#4f9d69", "#b4527f", "#7a68b3", "#c9a227", "#2f9aa0"),
    *("#8a7f72", "#a8323e", "#5b8c2a", "#e59ac2", "#1f3a5f", "#555555", "#d9b38c"),
)
PART_COLOURS = dict(zip(PARTS, ("#c0504d", "#e8b04b", "#7fb2d6", "#3b6fb6"), strict=True))
PART_NAMES = dict(
    zip(PARTS, ("in line", "loading the model", "to the first byte", "answering"), strict=True)
)
MINUTES = "minutes since the log began"
_MARK = "#444444"
_TOGETHER_MIN = 1 / 6
_LINE_IN = 0.17

STATUS_COLOURS = {
    "completed": "#a9c4b4",
    "rejected": "#c0504d",
    "failed": "#7a68b3",
    "cancelled": "#e0883a",
    "interrupted": "#555555",
}
_given: dict[str, str] = {}


def colours(names: Iterable[str]) -> dict[str, str]:
    """Return the colour of each name, in alphabetical order."""
    wanted = sorted(set(names))
    for name in wanted:
        if name not in STATUS_COLOURS and name not in _given:
            _given[name] = PALETTE[len(_given) % len(PALETTE)]
    return {name: STATUS_COLOURS.get(name) or _given[name] for name in wanted}


def blank(title: str, *, x: str, y: str, height_in: float = 3.4) -> "Axes":
    """Return empty axes with a title and labels, eight inches wide."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8.0, height_in), layout="constrained")
    axes.set_title(title, loc="left", fontsize=11)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    figure.set_dpi(90)
    return axes


def parts(means: "pd.DataFrame", title: str) -> "Axes":
    """Draw what `shares` returns: a bar a row, its seconds by what they were spent on."""
    axes = blank(title, x="seconds, on average", y="", height_in=0.9 + 0.45 * len(means))
    left = means[PARTS[0]] * 0
    for part in PARTS:
        axes.barh(
            [str(each) for each in means.index],
            means[part],
            left=left,
            color=PART_COLOURS[part],
            label=PART_NAMES[part],
        )
        left = left + means[part]
    axes.invert_yaxis()
    axes.grid(visible=False)
    _legend(axes)
    return axes


def over_time(table: "pd.DataFrame", value: str, by: str, title: str, y: str) -> "Axes":
    """Draw a column over `minute`, one line for each name in the column `by`."""
    axes = blank(title, x=MINUTES, y=y)
    for name, colour in colours(table[by]).items():
        rows = table[table[by] == name]
        axes.plot(rows["minute"], rows[value], color=colour, linewidth=1.4, label=name)
    axes.set_ylim(bottom=0)
    _legend(axes)
    return axes


def dots(table: "pd.DataFrame", pair: Sequence[str], by: str, title: str, y: str) -> "Axes":
    """Draw one dot a row, `pair` across and up, coloured by the column `by`."""
    across, up = pair
    axes = blank(title, x=MINUTES if across == "minute" else across, y=y)
    for name, colour in colours(table[by]).items():
        rows = table[table[by] == name]
        axes.scatter(
            rows[across], rows[up], s=14, color=colour, alpha=0.6, label=name, linewidths=0
        )
    _legend(axes)
    return axes


def counts(table: "pd.DataFrame", by: str, title: str, every_min: float = 0.5) -> "Axes":
    """Draw how many rows there are in each `every_min` minutes, stacked by the column `by`."""
    axes = blank(title, x=MINUTES, y=f"in each {60 * every_min:g} seconds")
    if table.empty:
        return axes
    windows = (table["minute"] // every_min).astype(int)
    edges = range(int(windows.max()) + 1)
    grid = _crossed(windows, table[by]).reindex(edges, fill_value=0)
    below = grid.sum(axis=1) * 0
    for name, colour in colours(table[by]).items():
        axes.bar(
            [(each + 0.5) * every_min for each in edges],
            grid[name],
            width=0.9 * every_min,
            bottom=below,
            color=colour,
            label=name,
        )
        below = below + grid[name]
    _legend(axes)
    return axes


def shared(table: "pd.DataFrame", rows: str, by: str, title: str) -> "Axes":
    """Draw one bar for each name in the column `rows`, cut by the shares of the column `by`."""
    grid = _crossed(table[rows], table[by])
    portions = grid.div(grid.sum(axis=1), axis=0)
    axes = blank(title, x="share, per cent", y="", height_in=0.9 + 0.45 * len(grid))
    labels = [
        f"{name} ({count})" for name, count in table[rows].value_counts().sort_index().items()
    ]
    left = portions.sum(axis=1) * 0
    for name, colour in colours(table[by]).items():
        axes.barh(labels, 100 * portions[name], left=left, color=colour, label=name)
        left = left + 100 * portions[name]
    axes.invert_yaxis()
    axes.grid(visible=False)
    _legend(axes)
    return axes


def cumulative(table: "pd.DataFrame", value: str, by: str, title: str, x: str) -> "Axes":
    """Draw which share of the rows is at most so high, one line for each name in `by`."""
    axes = blank(title, x=x, y="share of requests, per cent")
    for name, colour in colours(table[by]).items():
        ordered = table[table[by] == name][value].sort_values()
        heights = [100 * (place + 1) / len(ordered) for place in range(len(ordered))]
        axes.step(ordered, heights, where="post", color=colour, label=name)
    axes.set_ylim(0, 101)
    _legend(axes)
    return axes


def mark(axes: "Axes", changes: "pd.DataFrame") -> None:
    """Draw a numbered line at the time of each change, and say below what they were.

    `changes` has the columns minute and what. Those within ten seconds share a line.
    """
    groups: list[tuple[float, list[str]]] = []
    for minute, what in zip(changes["minute"], changes["what"], strict=True):
        if not groups or minute - groups[-1][0] > _TOGETHER_MIN:
            groups.append((minute, []))
        groups[-1][1].append(what)
    top = axes.get_ylim()[1]
    lines = [axes.get_xlabel()]
    for number, (minute, told) in enumerate(groups, start=1):
        axes.axvline(minute, color=_MARK, linewidth=0.8, linestyle=(0, (3, 2)))
        axes.text(minute, top, f" {number}", color=_MARK, fontsize=8, va="top")
        lines.append(f"{number}   {minute:.1f} min: {'; '.join(told)}")
    axes.set_xlabel("\n".join(lines), loc="left", fontsize=9)
    figure = axes.get_figure(root=True)
    if figure is not None:
        figure.set_figheight(figure.get_figheight() + _LINE_IN * len(groups))


def _crossed(rows: "pd.Series[Any]", columns: "pd.Series[Any]") -> "pd.DataFrame":
    """Return how often each pair of values is met."""
    import pandas as pd

    return pd.crosstab(rows, columns)


def _legend(axes: "Axes") -> None:
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
