"""Connections without sockets: a protocol is told bytes, and what it says is kept."""

import asyncio
import logging
from collections.abc import Generator, Iterable
from contextlib import contextmanager

import httptools

from herd.http.server import Connection, Listener

LONG_S = 1e6
"""Longer than anybody may be kept waiting."""


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.said = bytearray()
        self.half_closed = False
        self.closed = False
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.half_closed, "said something after its last word"
        if not self.closed:
            self.said += data

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.half_closed = True

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        assert not self.closed

    def resume_reading(self) -> None:
        assert not self.closed

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        del high, low

    @property
    def ended(self) -> bool:
        return self.closed or self.half_closed


class Heard:
    """What a client reads of its answers."""

    def __init__(self, said: bytes) -> None:
        self.statuses: list[int] = []
        self.wholes = 0
        self._parser = httptools.HttpResponseParser(self)
        self._parser.feed_data(said)

    def on_headers_complete(self) -> None:
        if self._parser.get_status_code() >= 200:
            self.statuses.append(self._parser.get_status_code())

    def on_message_complete(self) -> None:
        self.wholes = len(self.statuses)


def say(connection: asyncio.Protocol, wire: Wire, pieces: Iterable[bytes]) -> None:
    """Tell a connection these bytes, for as long as it is open."""
    for piece in pieces:
        if wire.closed:
            return
        if piece:
            connection.data_received(piece)


def connected(listener: Listener) -> tuple[Connection, Wire]:
    """Return a client's connection, and its wire."""
    wire, connection = Wire(), Connection(listener)
    connection.connection_made(wire)
    return connection, wire


def waited(connection: Connection, listener: Listener) -> None:
    """Let all the time pass that a client may take."""
    listener.now_s += LONG_S
    connection.sweep(listener.now_s)


def left(connection: asyncio.Protocol, wire: Wire) -> None:
    """End a connection, as its transport would."""
    if not wire.closed:
        connection.eof_received()
    connection.connection_lost(None)


@contextmanager
def without_errors() -> Generator[None]:
    """Fail if herd logs an error."""
    kept = _Kept(logging.ERROR)
    log = logging.getLogger("herd")
    log.addHandler(kept)
    try:
        yield
    finally:
        log.removeHandler(kept)
    assert not kept.lines, kept.lines


class _Kept(logging.Handler):
    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))
