"""Models that can be had, as data: `catalogue.json`, with the sizes of Ollama's library.

It says what a model that no node has would take, and what it is for. It ranks nothing: of one
category the largest that fits is taken to answer best.
"""

from collections.abc import Iterable
from functools import cache
from importlib.resources import files

import msgspec

from herd.dialects.names import key

GB = 1000**3
CATEGORIES = {"embedding": "embedding", "vision": "vision", "reasoning": "thinking"}
"""Each by the capability that a model of it has; the others are general."""


class Listed(msgspec.Struct, frozen=True):
    """A model that can be pulled."""

    name: str
    title: str
    category: str
    """general, reasoning, coding, vision or embedding."""
    size_gb: float
    """On the disk, in decimal GB."""

    @property
    def size_bytes(self) -> int:
        """The same in bytes."""
        return int(self.size_gb * GB)


@cache
def listed() -> tuple[Listed, ...]:
    """Return all of them."""
    text = files("herd.health").joinpath("catalogue.json").read_bytes()
    return msgspec.json.decode(text, type=tuple[Listed, ...])


def find(model: str) -> Listed | None:
    """Return what is listed of a model, however its name is spelled."""
    wanted = key(model)
    return next((each for each in listed() if key(each.name) == wanted), None)


def category(model: str, capabilities: Iterable[str]) -> str:
    """Return what a model is for: what its node says that it can, else what is listed, goes."""
    able = set(capabilities)
    known = None if able - {"completion", "tools"} else find(model)
    if known is not None:
        return known.category
    return next((name for name, sign in CATEGORIES.items() if sign in able), "general")


def largest(category: str, at_most_bytes: float) -> Listed | None:
    """Return the largest model of a category that takes no more on the disk."""
    fitting = [
        each for each in listed() if each.category == category and each.size_bytes <= at_most_bytes
    ]
    return max(fitting, key=lambda each: each.size_bytes, default=None)
