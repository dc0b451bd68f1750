"""The real nodes of the demo, and what is asked of them."""

import msgspec

from herd.real.node import MODEL
from herd.simulator.workload import OPENAI_CHAT, Share


class RealOrder(msgspec.Struct, frozen=True):
    """A real node to be started."""

    name: str
    slots: int

    @property
    def called(self) -> str:
        """What it is called."""
        return self.name

    def arguments(self) -> list[str]:
        """Return what follows `python`."""
        return ["-m", "herd.real", "--name", self.name, "--slots", str(self.slots)]


REAL_ORDERS = (RealOrder("alpha", 2), RealOrder("beta", 1))

REAL_MIX = (Share(1, MODEL, (OPENAI_CHAT,)),)
