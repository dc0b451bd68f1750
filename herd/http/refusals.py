"""Answers that speak of a node and not of the request: another node would answer otherwise.

The node is busy, asks for something that the client could not know, or has the model no longer.
"""

from typing import Final, NamedTuple

from herd.http.exchange import Exchange, Request

MOST_BYTES: Final = 64 * 1024
"""Of an answer that is kept back: what is longer is no refusal, and passes."""

_ASKS_WHO: Final = (401, 403)
_NOT_FOUND: Final = 404
_ALWAYS: Final = (407, 408, 429)
_ELSEWHERE: Final = range(300, 400)
_CARRIERS: Final = (b"authorization", b"x-api-key", b"api-key")
_ABSENT: Final = (b"not found", b"not exist", b"no such", b"unknown", b"not loaded", b"try pulling")


LATELY_S: Final = 30.0
"""As long as the longest time for which a node that fails is passed over."""


class Refusers:
    """Nodes that refused a model the last time: who is refused everywhere is told at once."""

    __slots__ = ("_refused_s",)

    def __init__(self) -> None:
        """Know of none."""
        self._refused_s: dict[tuple[str, str], float] = {}
        """When, by model and address."""

    def answered(self, model: str, url: str, now_s: float, *, refused: bool) -> None:
        """Know how a node answered."""
        if refused:
            self._refused_s[model, url] = now_s
        elif self._refused_s:
            self._refused_s.pop((model, url), None)

    def lately(self, model: str, url: str, now_s: float) -> bool:
        """Whether it refused the last time, and not long ago."""
        refused_s = self._refused_s.get((model, url))
        return refused_s is not None and now_s - refused_s < LATELY_S


class Refusal(NamedTuple):
    """A node's answer, kept for a client that no other node serves."""

    status: int
    lines: bytes
    """Its headers."""
    body: bytes
    chunked: bool

    def pass_on(self, exchange: Exchange, lines: bytes) -> None:
        """Answer with it, and with what herd says of it."""
        exchange.respond(self.status, (), self.body, self.lines + lines, chunked=self.chunked)


def may_speak_of_node(status: int, request: Request) -> bool:
    """Whether an answer of that status is kept back until it is known what it says."""
    if status in _ASKS_WHO:  # who shows a key of his own is told what the node says of it
        return not any(request.header(name) for name in _CARRIERS)
    return status == _NOT_FOUND or status in _ALWAYS or status in _ELSEWHERE


def speaks_of_node(status: int, body: bytes) -> bool:
    """Whether a whole answer does; a 404 only if it says that the model is not there."""
    if status != _NOT_FOUND:
        return True
    said = body.lower()
    return b"model" in said and any(words in said for words in _ABSENT)
