"""How a request gets to a node and its answer comes back: what each side needs of the other.

The way is a pool of connections, or a crossing into another API's words in front of one.
"""

import asyncio
from typing import Protocol


class Receiver(Protocol):
    """Who asked, and hears the answer."""

    def connected(self, connection: "Carrier") -> None:
        """Know the connection that carries the request."""
        ...

    def unreachable(self, error: str) -> None:
        """Know that no connection could be made."""
        ...

    def heard(self, body: bytes, *, ended: bool) -> None:
        """Take a piece of the body; the connection holds the head."""
        ...

    def lost(self, error: str) -> None:
        """Know that the answer will not come to its end."""
        ...

    def failed(self) -> None:
        """End it: herd itself made a mistake with the answer."""
        ...


class Carrier(Protocol):
    """What a receiver sees of the connection that carries its request."""

    @property
    def status(self) -> int:
        """The answer's; 0 before it is known."""
        ...

    @property
    def content_type(self) -> bytes:
        """The answer's."""
        ...

    @property
    def coding(self) -> bytes:
        """Of its body, if it is compressed or the like; empty where it can be read."""
        ...

    @property
    def length(self) -> int | None:
        """The announced size of its body in bytes."""
        ...

    @property
    def reused(self) -> bool:
        """It carried a request before."""
        ...

    @property
    def silent(self) -> bool:
        """No byte of this answer has come."""
        ...

    def lines(self) -> bytes:
        """Return the headers that travel on, in whole lines."""
        ...

    def pause(self) -> None:
        """Read no more for now."""
        ...

    def resume(self) -> None:
        """Read on."""
        ...

    def abort(self) -> None:
        """Give up at once."""
        ...


class Way(Protocol):
    """How a request gets to a node."""

    def ask(self, head: bytes, body: bytes, receiver: Receiver) -> asyncio.Task[None] | None:
        """Send it on any connection; return the task if one is made for it."""
        ...

    def dial(self, head: bytes, body: bytes, receiver: Receiver) -> asyncio.Task[None] | None:
        """Send it on a new connection."""
        ...
