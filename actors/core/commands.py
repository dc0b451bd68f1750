"""What a decision asks for.

A decision is a list of commands: an `Event` is to be recorded, then delivered in its turn; a `Send`
goes to a front once the tick that holds its event is in the journal. `Grant`, `Refuse` and `Cancel`
are array-like and tagged because they travel on the link as they are.
"""

from typing import TypeAlias

import msgspec

from events import Event, Lease, NodeId, RequestId, Source


class Grant(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=5):
    """Send this request to that node."""

    request_id: RequestId
    node_id: NodeId
    url: str
    lease: Lease
    attempt: int
    score: float
    probing: bool = False
    """Report the first byte of the answer at once: it is evidence for slot learning."""
    predicted_wait_s: float = 0.0
    predicted_first_s: float = 0.0
    predicted_s: float = 0.0
    predicted_range_s: tuple[float, float] = (0.0, 0.0)
    """What the client is told of its answer."""
    model: str = ""
    """The model to serve, if it was ever another than the one asked for."""
    reason: str = ""
    """Why it is another."""
    context: tuple[str, int, int] = ("", 0, 0)
    """What became of the context asked for, what is forwarded in its place, what is loaded."""
    stays: bool = False
    """The model is pinned on that node: it stays in memory, whatever the request says."""


class Refuse(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=6):
    """Answer the client so: its request gets no node (any more)."""

    request_id: RequestId
    status: int
    reason: str
    retry_after_s: int = 0
    error: str = ""


class Cancel(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=7):
    """End this request's upstream now and tell the client."""

    request_id: RequestId
    lease: Lease
    reason: str
    idle_s: float = 0.0
    """How long nothing came of it, if that is the reason."""


class Send(msgspec.Struct, frozen=True, gc=False):
    """A message for one front."""

    to: Source
    message: Grant | Refuse | Cancel


Command: TypeAlias = Event | Send
"""Something to record, or something to send."""
