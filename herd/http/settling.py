"""Waits until the fleet is seen as what was just done to it has made it.

An answer says that a model is there, or gone; the client's next request is answered from the view.
So the answer's end waits for a view that shows it, and until other fronts have it as well, but
never for long: the node has done it, whatever is seen of it.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Final

from herd.http import places
from herd.link.client import Control
from herd.link.messages import NodeView, View

LONGEST_S: Final = 2.0
OTHERS_S: Final = 0.05
"""Until other fronts, which control tells at the same time, have read it, too."""


class Settling:
    """What waits for the next views."""

    def __init__(self, control: Control) -> None:
        """Look at the fleet as this front sees it."""
        self._control = control
        self._changed = asyncio.Event()

    def changed(self) -> None:
        """Know that there is a new view."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def stocked(self, model: str, nodes: Sequence[NodeView], *, there: bool) -> None:
        """Return once a model is seen on all of these nodes, or on none of them."""
        names = {node.node_id for node in nodes}
        if await self.seen(
            lambda view: all(
                places.has(node, model) is there for node in view.nodes if node.node_id in names
            )
        ):
            await asyncio.sleep(OTHERS_S)

    async def measuring(self) -> None:
        """Return once a benchmark is seen to be under way."""
        await self.seen(lambda view: view.benchmark is not None and view.benchmark.runs)

    async def seen(self, what: Callable[[View], bool], *, within_s: float | None = None) -> bool:
        """Return whether a view showed it, as soon as one does."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_S if within_s is None else within_s):
                while not what(self._control.view):
                    await self._changed.wait()
        return what(self._control.view)
