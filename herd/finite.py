"""Finite numbers of the command line: `inf` and `nan` pass the bounds of click."""

import math

import click


class Finite(click.FloatRange):
    """A number within bounds, which neither `inf` nor `nan` is."""

    def convert(
        self, value: float, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number, or say what is wrong with it."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is no finite number.", param, ctx)
        return number
