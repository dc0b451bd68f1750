"""Carries out the pulls that control decided, and looks at the nodes that were changed.

A decision is in the journal before it is carried out. What the node says on the way comes back as
facts, like those of a pull that a front passes on; its bytes go no further than here.
"""

import asyncio
from collections.abc import Callable

import msgspec

from events import (
    CONTROL,
    Event,
    ModelCopied,
    ModelCreated,
    ModelDeleted,
    ModelUnloaded,
    NodeId,
    PullEnded,
    PullStarted,
    Recorded,
)
from herd.http.client import FetchError, follow
from herd.http.endpoints.pulls import Watched
from herd.tasks import spawn

SILENT_S = 120.0
"""How long a node may say nothing of a pull: it tells several times a second how far it is."""

HEARS: tuple[type[Event], ...] = (
    PullStarted,
    PullEnded,
    ModelCreated,
    ModelCopied,
    ModelDeleted,
    ModelUnloaded,
)


class Pulls:
    """The pulls that nobody but herd asked for."""

    def __init__(
        self,
        put: Callable[[Event], None],
        url_of: Callable[[NodeId], str],
        look: Callable[[NodeId], None],
    ) -> None:
        """Put facts, know where nodes are, have one looked at."""
        self._put = put
        self._url_of = url_of
        self._look = look
        self._running: dict[str, asyncio.Task[None]] = {}

    def recorded(self, record: Recorded) -> None:
        """Act on what was just written; of the kinds in `HEARS`."""
        match record.event:
            case PullStarted() as event if event.automatic and record.src == CONTROL:
                self._running[event.pull_id] = spawn(self._pull(event), name=event.pull_id)
            case PullEnded(pull_id=pull_id, node_id=node_id):
                if (running := self._running.pop(pull_id, None)) is not None:
                    running.cancel()
                self._look(node_id)
            case (
                ModelCreated(node_id=node_id)
                | ModelCopied(node_id=node_id)
                | ModelDeleted(node_id=node_id)
                | ModelUnloaded(node_id=node_id)
            ):
                self._look(node_id)
            case _:
                pass

    async def close(self) -> None:
        """Stop all of them; what is on the disk so far is kept there."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)

    async def _pull(self, event: PullStarted) -> None:
        watched = Watched(self._put, event.pull_id, event.model, event.node_id, by=None)
        error = ""
        try:
            await follow(
                "POST",
                f"{self._url_of(event.node_id)}/api/pull",
                watched.heard,
                headers=((b"Content-Type", b"application/json"),),
                body=msgspec.json.encode({"model": event.model, "stream": True}),
                silent_s=SILENT_S,
            )
        except FetchError as failed:
            error = failed.text
        except Exception as failed:
            watched.ended(f"herd failed: {type(failed).__name__}")
            raise
        watched.ended(error)
