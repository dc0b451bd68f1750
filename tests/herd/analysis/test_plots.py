"""The pictures hold what their tables hold: lengths of bars, lines, marks and labels."""

from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
import pytest

from herd.analysis import plots

TIMED = pd.DataFrame(
    {
        "minute": [0.0, 0.2, 0.6, 0.0, 1.7],
        "node_id": ["studio", "studio", "studio", "mini", "mini"],
        "busy": [0.5, 0.25, 1.0, 0.0, 0.75],
    }
)


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    mpl.use("agg")
    yield
    plt.close("all")


def labels(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def bars(axes: Any) -> dict[str, list[float]]:
    return {
        str(container.get_label()): [round(bar.get_width(), 6) for bar in container]
        for container in axes.containers
    }


def test_a_name_keeps_its_colour_whoever_is_beside_it() -> None:
    alone = plots.colours(["tower"])
    assert plots.colours(["mini", "tower", "mini"])["tower"] == alone["tower"]
    assert list(plots.colours(["b", "a"])) == ["a", "b"]


def test_eight_new_names_have_eight_colours() -> None:
    assert len(set(plots.colours("abcdefgh").values())) == 8


def test_parts_are_laid_end_to_end() -> None:
    means = pd.DataFrame(
        {"line_s": [1.0], "load_s": [2.0], "prompt_s": [0.5], "answer_s": [4.0]}, index=["70b"]
    )
    axes: Any = plots.parts(means, "title")
    assert bars(axes) == {
        "in line": [1.0],
        "loading the model": [2.0],
        "to the first byte": [0.5],
        "answering": [4.0],
    }
    assert [container[0].get_x() for container in axes.containers] == [0.0, 1.0, 3.0, 3.5]


def test_a_line_a_name_over_time() -> None:
    axes: Any = plots.over_time(TIMED, "busy", "node_id", "title", "share")
    assert labels(axes) == ["mini", "studio"]
    assert [list(line.get_xdata()) for line in axes.lines] == [[0.0, 1.7], [0.0, 0.2, 0.6]]
    assert (axes.get_xlabel(), axes.get_ylabel()) == (plots.MINUTES, "share")


def test_a_dot_a_row() -> None:
    axes: Any = plots.dots(TIMED, ("minute", "busy"), "node_id", "title", "share")
    assert [len(dots.get_offsets()) for dots in axes.collections] == [2, 3]


def test_counts_are_stacked_and_an_empty_window_is_shown() -> None:
    axes: Any = plots.counts(TIMED, "node_id", "title", every_min=0.5)
    mini, studio = ([bar.get_height() for bar in each] for each in axes.containers)
    assert (mini, studio) == ([1, 0, 0, 1], [2, 1, 0, 0])
    assert [bar.get_y() for bar in axes.containers[1]] == [1, 0, 0, 1]
    assert axes.get_ylabel() == "in each 30 seconds"


def test_nothing_is_counted_as_nothing() -> None:
    axes: Any = plots.counts(TIMED[TIMED["busy"] > 1], "node_id", "title")
    assert not axes.containers
    assert axes.get_title(loc="left") == "title"


def test_shares_add_up_to_a_hundred_and_say_of_how_many() -> None:
    table = TIMED.assign(because=["draw", "draw", "wait", "wait", "wait"])
    axes: Any = plots.shared(table, "node_id", "because", "title")
    assert bars(axes) == {"draw": [0.0, 66.666667], "wait": [100.0, 33.333333]}
    assert [text.get_text() for text in axes.get_yticklabels()] == ["mini (2)", "studio (3)"]


def test_a_cumulative_line_ends_at_a_hundred() -> None:
    axes: Any = plots.cumulative(TIMED, "busy", "node_id", "title", "share")
    assert list(axes.lines[1].get_xdata()) == [0.25, 0.5, 1.0]
    assert list(axes.lines[1].get_ydata())[-1] == 100


def test_each_change_is_marked_and_said() -> None:
    axes: Any = plots.over_time(TIMED, "busy", "node_id", "title", "share")
    before_in = axes.figure.get_figheight()
    changes = pd.DataFrame({"minute": [0.5, 1.25, 1.3], "what": ["a drain", "a fault", "an end"]})
    plots.mark(axes, changes)
    assert axes.get_xlabel().splitlines() == [
        plots.MINUTES,
        "1   0.5 min: a drain",
        "2   1.2 min: a fault; an end",
    ]
    assert [text.get_text().strip() for text in axes.texts] == ["1", "2"]
    assert axes.figure.get_figheight() > before_in
