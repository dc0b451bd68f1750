"""Calls of tools out of a stream of chat completions: one after another, each in its pieces. Pure.

Rules
1. A piece names its call by an `index`, so pieces of several calls may come mixed. Where a call is
   told in one go, or before the next may begin, that has to be undone: a call waits until the
   arguments of the one before are whole, or nothing more comes.
2. Most servers end a call before they begin the next: then nothing waits.
3. Some give several calls one `index` and ids of their own; some, a new id to each piece of a call.
   Only a piece with a name begins one.
"""

from collections import deque
from collections.abc import Iterable
from typing import Final

import msgspec

from herd.dialects.completions import Function, ToolCall
from herd.dialects.errors import GarbledError
from herd.dialects.nesting import Nesting

HELD_CHARS: Final = 32 * 1024 * 1024
"""Of arguments that wait."""


class _Call(msgspec.Struct, gc=False):
    id: str
    nesting: Nesting
    waiting: list[ToolCall] = []
    begun: bool = False
    over: bool = False

    def told(self) -> list[tuple[ToolCall, bool]]:
        """Take what waits: the piece that begins it, and the others as one."""
        pieces, self.waiting = self.waiting, []
        told: list[tuple[ToolCall, bool]] = []
        if pieces and not self.begun:
            self.begun = True
            told.append((pieces.pop(0), True))
        if arguments := "".join([piece.arguments for piece in pieces]):
            told.append((ToolCall(function=Function(arguments=arguments)), False))
        return told


class Calls:
    """The calls of one stream."""

    __slots__ = ("_by_index", "_held_chars", "_line")

    def __init__(self) -> None:
        """Begin without one."""
        self._by_index: dict[int, _Call] = {}
        """The last one of each."""
        self._line: deque[_Call] = deque()
        """The one that is told now, and those that wait for it."""
        self._held_chars = 0

    def take(self, pieces: Iterable[ToolCall] | None) -> list[tuple[ToolCall, bool]]:
        """Return what can be told now: each piece, and whether a call begins with it."""
        told: list[tuple[ToolCall, bool]] = []
        for position, piece in enumerate(pieces or ()):
            index = position if piece.index is None else piece.index
            call = self._by_index.get(index)
            if call is None or (piece.named and piece.id and piece.id != call.id):
                call = self._by_index[index] = _Call(piece.id or "", Nesting())
                self._line.append(call)
            arguments = piece.arguments
            if call.over:
                if arguments.strip():
                    raise GarbledError("a call of a tool that goes on after its end")
                continue
            call.waiting.append(piece)
            call.nesting.feed(arguments.encode())
            told += self._next()
            self._held_chars += len(arguments) if call.waiting else 0
            if self._held_chars > HELD_CHARS:
                raise GarbledError("an answer that is too large to translate")
        return told

    def rest(self) -> list[tuple[ToolCall, bool]]:
        """Return what waits: nothing more comes of any call."""
        told = [each for call in self._line for each in call.told()]
        for call in self._line:
            call.over = True
        self._line.clear()
        return told

    def _next(self) -> list[tuple[ToolCall, bool]]:
        line = self._line
        told = line[0].told()
        while len(line) > 1 and line[0].nesting.whole:
            line.popleft().over = True
            told += line[0].told()
        return told
