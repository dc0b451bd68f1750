"""A pull, watched as it passes: what is recorded of it.

Its begin, its size when the node has learned it, how far it is every `EVERY_S` seconds, its end.
"""

from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Final, TypeAlias

from events import Event, NodeId, PullEnded, PullOutcome, PullProgressed, PullStarted
from herd.dialects.progress import Progress, short_error
from herd.http.passing import LEFT

EVERY_S: Final = 10.0

_OK: Final = 200

Settle: TypeAlias = Callable[[], Awaitable[None]]
"""Returns once others can see what was done."""


class Watched:
    """One pull, from its first word to its last."""

    def __init__(  # noqa: PLR0913 (what is told of it)
        self,
        tell: Callable[[Event], None],
        pull_id: str,
        model: str,
        node_id: NodeId,
        by: str | None,
        *,
        done: Settle | None = None,
    ) -> None:
        """Tell that it begins; not where `by` is None, since somebody else has told it."""
        self._tell = tell
        self._settle = done
        self._pull_id = pull_id
        self._model = model
        self._node_id = node_id
        self._began_s = perf_counter()
        self._told_s = self._began_s
        self._told_bytes = 0
        self._status = 0
        self.progress = Progress()
        self.outcome: PullOutcome | None = None
        """How it ended; None while it is under way."""
        self.error = ""
        """Why it did not end well, in herd's words."""
        if by is not None:
            tell(PullStarted(pull_id=pull_id, model=model, node_id=node_id, by=by))

    def heard(self, status: int, body: bytes) -> None:
        """Look at a piece of what the node says."""
        self._status = status
        progress = self.progress
        progress.feed(body)
        now_s, total_bytes = perf_counter(), progress.total_bytes
        if total_bytes == self._told_bytes and now_s - self._told_s < EVERY_S:
            return
        if total_bytes:
            self._told_s, self._told_bytes = now_s, total_bytes
            self._tell(
                PullProgressed(
                    pull_id=self._pull_id,
                    model=self._model,
                    node_id=self._node_id,
                    completed_bytes=progress.completed_bytes,
                    total_bytes=total_bytes,
                )
            )

    def ended(self, error: str) -> None:
        """Tell how it came to its end."""
        progress = self.progress
        progress.end()
        self.outcome, self.error = self._judged(error)
        self._tell(
            PullEnded(
                pull_id=self._pull_id,
                model=self._model,
                node_id=self._node_id,
                outcome=self.outcome,
                error=self.error,
                completed_bytes=progress.completed_bytes,
                total_bytes=progress.total_bytes,
                took_s=round(perf_counter() - self._began_s, 3),
            )
        )

    async def settled(self) -> None:
        """Return once a model that was pulled can be seen."""
        if self.outcome == "done" and self._settle is not None:
            await self._settle()

    def _judged(self, error: str) -> tuple[PullOutcome, str]:
        if error == LEFT:
            return "cancelled", ""
        if error:
            return "failed", error
        if self.progress.error:
            return "failed", short_error(self.progress.error)
        if self._status != _OK:
            return "failed", f"answered {self._status}"
        return ("done", "") if self.progress.done else ("failed", "ended without success")
