"""What can be made to go wrong on a simulated node, one thing at a time."""

from typing import Annotated, Literal, TypeAlias

import msgspec

FaultKind: TypeAlias = Literal[
    "none", "refuse", "freeze", "deadlock", "error", "die", "garbage", "slow"
]
"""none: all is well again. refuse: nothing listens on the port. freeze: connections are accepted,
nothing is answered and no work goes on (except `/sim/`). deadlock: the same, but what asks for no
work is answered, `/api/tags` and `/api/ps` too. error: 500 before the first byte. die:
RST after so many tokens, running answers included. garbage: 200, and bytes that are no answer in
any API, with a clean end. slow: all work takes so many times as long."""


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A fault, as `POST /sim/fault` takes it."""

    kind: FaultKind
    after_tokens: int = 0
    """For `die`: how many tokens an answer may have."""
    count: int = 0
    """For `error`, `die` and `garbage`: how many requests it hits; 0: all, until told otherwise."""
    factor: Annotated[float, msgspec.Meta(gt=0)] = 2.0
    """For `slow`."""
    for_s: float = 0.0
    """Real seconds until it heals by itself; 0: until told otherwise."""


NONE = Fault(kind="none")


class Stats(msgspec.Struct, kw_only=True):
    """What a node counts, as `GET /sim/stats` tells it."""

    name: str
    simulated: bool = True
    requests: int = 0
    """Inference requests that came, whatever became of them."""
    served: int = 0
    cancelled: int = 0
    """Their client left first."""
    refused: int = 0
    """Answered with an error: unknown model, bad body, server busy."""
    failed: int = 0
    """Hit by a fault."""
    in_flight: int = 0
    """Came and not ended, running or waiting."""
    peak_in_flight: int = 0
    running: int = 0
    """Holding a slot."""
    waiting: int = 0
    peak_running: int = 0
    loads: int = 0
    evictions: int = 0
    tokens: int = 0
    fault: str = "none"
