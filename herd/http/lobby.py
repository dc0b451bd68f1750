"""The lobby: requests that came before this front has ever heard from control.

Whether they may be served only control can say. So they wait, in order, until it is there, for as
long as a request without a node is held; then they are told that it is away.
"""

from collections.abc import Callable
from typing import Final, Protocol

from herd.http import problems
from herd.http.exchange import Exchange
from herd.http.routes import Handler

MOST: Final = 1_024
"""Requests that may wait here; the next is told at once."""
_UNAVAILABLE: Final = 503


class Timer(Protocol):
    """Something that will happen, unless it is cancelled."""

    def cancel(self) -> None:
        """Let it not happen."""
        ...


class Lobby:
    """Who waits for control's first word."""

    def __init__(
        self,
        longest_s: Callable[[], float],
        later: Callable[[float, Callable[[], None]], Timer],
    ) -> None:
        """Let nobody wait longer than that; `later` calls something after so many seconds."""
        self._longest_s = longest_s
        self._later = later
        self._waiting: dict[Exchange, tuple[Handler, Timer]] = {}

    def hold(self, exchange: Exchange, handler: Handler) -> None:
        """Let a request wait for its handler."""
        if len(self._waiting) >= MOST:
            _turn_away(exchange)
            return
        timer = self._later(self._longest_s(), lambda: self._give_up(exchange))
        self._waiting[exchange] = handler, timer
        exchange.on_gone = lambda: self._forget(exchange)

    def open(self) -> None:
        """Let all go on, in the order in which they came."""
        for exchange in tuple(self._waiting):
            if exchange in self._waiting:
                handler = self._leave(exchange)
                handler(exchange)

    def close(self) -> None:
        """Tell all that control is away."""
        for exchange in tuple(self._waiting):
            self._give_up(exchange)

    def _forget(self, exchange: Exchange) -> None:
        self._leave(exchange)

    def _leave(self, exchange: Exchange) -> Handler:
        handler, timer = self._waiting.pop(exchange)
        timer.cancel()
        exchange.on_gone = None
        return handler

    def _give_up(self, exchange: Exchange) -> None:
        self._leave(exchange)
        _turn_away(exchange)


def _turn_away(exchange: Exchange) -> None:
    exchange.refuse(_UNAVAILABLE, problems.REFUSALS["control_away"], (problems.AGAIN,))
