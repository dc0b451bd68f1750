"""Aliases: names that stand for a model of the fleet, as the setting `model_aliases` has them.

`gpt-4*=llama3.3:70b,tiny=llama3.2:1b`: a pattern, in which `*` is any text, and the model that it
means; the first that fits counts. Upper and lower case, and the tag `latest`, make no difference.
"""

from collections.abc import Iterable

_TAG = ":latest"


def meant(aliases: str, model: str, known: Iterable[str]) -> str:
    """Return the model that a name stands for, as one of those known spells it; else itself."""
    for pair in aliases.split(","):
        pattern, _, to = pair.strip().partition("=")
        if fits(pattern, model):
            return _spelled(to.strip(), known)
    return model


def fits(pattern: str, model: str) -> bool:
    """Whether a pattern is meant by the name of a model; an empty one never is."""
    wanted, name = pattern.strip().lower(), model.lower()
    return bool(wanted) and (_fits(wanted, name) or _fits(wanted, name.removesuffix(_TAG)))


def _fits(pattern: str, name: str) -> bool:
    first, *others = pattern.split("*")
    if not others:
        return name == pattern
    *middle, last = others
    if not name.startswith(first) or not name.endswith(last):
        return False
    at, end = len(first), len(name) - len(last)
    for part in middle:
        found = name.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return at <= end


def _spelled(to: str, known: Iterable[str]) -> str:
    whole = to if ":" in to.rpartition("/")[2] else to + _TAG
    return next((model for model in known if model.lower() == whole.lower()), whole)
