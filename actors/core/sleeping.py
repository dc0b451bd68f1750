"""What is known of how one node is woken."""

import msgspec

from actors.core.learning import Mean


class Sleep(msgspec.Struct):
    """The packets of this sleep, and how long waking took before."""

    tries: int = 0
    """Sets of packets sent; 0 while nobody wakes it."""
    first_us: int = 0
    last_us: int = 0
    """When they were sent."""
    asked: bool = False
    """Somebody asked for it: it is woken whether anyone waits or not."""
    took: Mean = msgspec.field(default_factory=Mean)
    """Seconds from the first packet until it took requests."""
