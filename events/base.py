"""The shape every event shares, and the envelope it is recorded in.

One line of the journal is one JSON object: the envelope's fields, then the event's.
Adding a field with a default is always safe. Never rename a field, never change a default
(defaults are not stored, so a new default would rewrite history): write a new version and an
upcaster instead.
"""

from typing import NewType

import msgspec

RequestId = NewType("RequestId", str)
"""A UUIDv7 in hex with dashes, made by the front that accepted the request: time-ordered."""

NodeId = NewType("NodeId", str)
"""The name of a node, unique in the fleet."""

Lease = NewType("Lease", str)
"""The right to one slot, `epoch.counter`; never used twice."""

Source = NewType("Source", str)
"""Who reported a fact: `f1-6b3c01` is front 1 with its start nonce; `control` is control itself."""

CONTROL = Source("control")


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag_field="k"):
    """A fact. Named in the past tense; never changed, never deleted."""


class Recorded(msgspec.Struct, frozen=True, gc=False):
    """An event with its place in the log."""

    seq: int
    """Position in the whole log: 1, 2, 3, ... without gaps."""
    recorded_at: int
    """Control's clock at the append, in microseconds since the epoch, UTC; never goes back."""
    event: Event
    src: Source = CONTROL
    """Who reported it; `control` for decisions."""
    n: int = 0
    """The reporter's own counter, from 1 without gaps; 0 where nobody counts."""
    cause: int = 0
    """`seq` of the fact this decision follows from; 0 for a fact from outside."""
