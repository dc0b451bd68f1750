"""What a check says when it fires."""

from collections.abc import Callable, Iterable
from typing import Literal, TypeAlias

import msgspec

from herd.health.picture import Picture

Severity = Literal["info", "warning", "critical"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not well, in words for people and in data for programs."""

    check_id: str
    severity: Severity
    title: str
    description: str
    fix: str
    node_id: str | None = None
    data: dict[str, object] = {}
    seqs: tuple[int, ...] = ()
    """The newest events that made it fire."""


def counted(number: int, what: str) -> str:
    """Return "1 request" or "2 requests"."""
    return f"{number} {what}{'' if number == 1 else 's'}"


Check: TypeAlias = Callable[[Picture], Iterable[Finding]]
