"""Pulls the models of a plan, one after the other, and deletes them again where that is wanted.

As any client would: by `/api/pull` and `/api/delete` of the balancer, which records both. A pull
whose connection ends is cancelled there.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from events import WantedPull
from herd.bench.sending import OK, shown
from herd.bench.words import Plan, Progress
from herd.errors import HerdError
from herd.http.client import FetchError, fetch, follow

SILENT_S: Final = 120.0
DELETE_WITHIN_S: Final = 30.0
TELL_EVERY_BYTES: Final = 1 << 24
_JSON: Final = ((b"Content-Type", b"application/json"),)


class _Line(msgspec.Struct):
    """A line of a pull's progress."""

    status: str = ""
    error: str = ""
    completed: int = 0
    total: int = 0


class Pulling:
    """The pulls of one benchmark."""

    def __init__(self, plan: Plan, tell: Callable[[Progress], None]) -> None:
        """Have pulled nothing yet."""
        self._plan = plan
        self._tell = tell
        self.pulled: list[WantedPull] = []
        self.removed: list[WantedPull] = []
        self.failures: list[str] = []
        """Why a model is not there; the others are measured all the same."""

    async def pull(self) -> None:
        """Pull all that can be had."""
        for wanted in self._plan.pulls:
            try:
                await self._one(wanted)
            except HerdError as error:
                self.failures.append(f"not pulled: {error.what}")
            else:
                self.pulled.append(wanted)

    async def clear(self) -> None:
        """Delete again what was pulled, if that is wanted; what stays is not in `removed`."""
        if not self._plan.removes:
            return
        for wanted in self.pulled:
            if await self._deleted(wanted):
                self.removed.append(wanted)

    async def _one(self, wanted: WantedPull) -> None:
        rest = bytearray()
        last = _Line()
        told_bytes = -TELL_EVERY_BYTES

        def heard(_: int, piece: bytes) -> None:
            nonlocal last, told_bytes
            rest.extend(piece)
            *lines, left = bytes(rest).split(b"\n")
            rest[:] = left
            for line in filter(None, lines):
                last = _read(line)
                if last.error:
                    raise HerdError(f"{wanted.model} on {wanted.node_id}: {last.error}")
                if abs(last.completed - told_bytes) >= TELL_EVERY_BYTES:
                    told_bytes = last.completed
                    self._say(wanted, last)

        self._say(wanted, last)
        body = msgspec.json.encode({"model": wanted.model, "node_id": wanted.node_id})
        headers = (*_JSON, *shown(self._plan.token))
        url = self._plan.url + "/api/pull"
        try:
            answer = await follow("POST", url, heard, headers=headers, body=body, silent_s=SILENT_S)
        except FetchError as error:
            raise HerdError(f"{wanted.model} on {wanted.node_id}: {error.text}") from error
        last = _read(bytes(rest)) if rest.strip() else last
        if answer.status != OK or last.error or last.status != "success":
            why = last.error or f"the pull ended with {answer.status} {last.status}".strip()
            raise HerdError(f"{wanted.model} on {wanted.node_id}: {why}")

    def _say(self, wanted: WantedPull, line: _Line) -> None:
        self._tell(
            Progress(
                "pulling",
                f"pulling {wanted.model} onto {wanted.node_id}",
                pulled=tuple(each.model for each in self.pulled),
                completed_bytes=line.completed,
                total_bytes=line.total,
            )
        )

    async def _deleted(self, wanted: WantedPull) -> bool:
        body = msgspec.json.encode({"model": wanted.model, "node_id": wanted.node_id})
        headers = (*_JSON, *shown(self._plan.token))
        url = self._plan.url + "/api/delete"
        try:
            answer = await fetch(
                "DELETE", url, headers=headers, body=body, timeout_s=DELETE_WITHIN_S
            )
        except FetchError:
            return False
        return answer.status == OK


def _read(line: bytes) -> _Line:
    try:
        return msgspec.json.decode(line, type=_Line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _Line()
