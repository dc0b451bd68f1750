"""What the words of an answer need to know of its request."""

import msgspec


class Asking(msgspec.Struct, frozen=True, gc=False):
    """A request that went to its node translated."""

    model: str
    """As the client spells it."""
    body: bytes = b"{}"
    """In the client's words."""
