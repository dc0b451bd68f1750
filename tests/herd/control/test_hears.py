"""Observers are told the kinds that they hear: those that they act on, and no others."""

import ast
import inspect
import textwrap
from collections.abc import Callable

import pytest

from events import Event
from herd.control import benchmarks, control, pulls


def acted_on(method: Callable[..., None]) -> set[str]:
    """Return the classes that its patterns name."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(method)))
    patterns = [node for node in ast.walk(tree) if isinstance(node, ast.MatchClass)]
    return {ast.unparse(pattern.cls) for pattern in patterns}


@pytest.mark.parametrize(
    ("method", "hears"),
    [
        (vars(control.Control)["_recorded"], control.HEARS),
        (vars(pulls.Pulls)["recorded"], pulls.HEARS),
        (vars(benchmarks.Benchmarks)["recorded"], benchmarks.HEARS),
    ],
)
def test_an_observer_hears_what_it_acts_on(
    method: Callable[..., None], hears: tuple[type[Event], ...]
) -> None:
    assert acted_on(method) == {kind.__name__ for kind in hears}
