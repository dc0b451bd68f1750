"""A circuit: one model on one node, while that does not go well."""

import msgspec


class Circuit(msgspec.Struct):
    """One model on one node: open means no requests, half-open means one."""

    failures: int = 0
    """In a row."""
    status: str = "closed"
    opened_us: int = 0
    open_s: float = 0.0
    slow: bool = False
    """It was opened since answers take far longer than they did (`slowing`): requests may go there,
    but last."""


class Refusal(msgspec.Struct):
    """A model that a node had no memory for, and what it had then (`lacking`)."""

    at_us: int
    count: int
    """In a row."""
    size_bytes: int
    """Of the model."""
    memory_bytes: int
    """Of the node: the system's and the graphics card's."""
