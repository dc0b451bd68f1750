"""What one look found."""

from typing import Literal

import msgspec

State = Literal["good", "note", "bad"]


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at. A note is worth reading; only what is bad has to be mended."""

    about: str
    state: State
    text: str
    fix: str = ""
    """What to do; empty if there is nothing to be done."""


def good(about: str, text: str) -> Finding:
    """Return that it is as it should be."""
    return Finding(about, "good", text)


def note(about: str, text: str, fix: str = "") -> Finding:
    """Return what works, but might be meant otherwise."""
    return Finding(about, "note", text, fix)


def bad(about: str, text: str, fix: str) -> Finding:
    """Return what does not work."""
    return Finding(about, "bad", text, fix)
