"""Method and path to handler, and nothing else.

What is not here is answered as Ollama answers it: 404 for an unknown path, 405 for a method that a
known path does not have. `HEAD` is a `GET` whose body is not sent. A prefix stands for every path
that begins so and goes on: the ids behind it may hold slashes. Who ends a path of Ollama's with a
slash is led to the one without, as by gin, which Ollama is made with.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeAlias

from herd.http import wire
from herd.http.exchange import Exchange
from herd.http.problems import TEXT

Handler: TypeAlias = Callable[[Exchange], None]
Methods: TypeAlias = Mapping[bytes, Handler]

MODEL_PREFIX: Final = "/v1/models/"
"""Before a model's id, which may hold slashes."""
_OLLAMAS: Final = ("/api/", "/v1/")


class Routes:
    """The routing table."""

    __slots__ = ("_below", "_by_path", "_by_target")

    def __init__(self, by_path: Mapping[str, Methods], below: Mapping[str, Methods]) -> None:
        """Know every path; and, by their beginnings, those whose rest is a name."""
        self._by_path = dict(by_path)
        self._by_target = {path.encode("ascii"): methods for path, methods in by_path.items()}
        self._below = dict(below)

    def __iter__(self) -> Iterator[tuple[str, Methods]]:
        """Yield each path, or its beginning, with its methods."""
        yield from self._by_path.items()
        yield from self._below.items()

    def __call__(self, exchange: Exchange) -> None:
        """Answer a request, or say that nobody can."""
        handler = self._handler(exchange)
        if handler is not None:
            handler(exchange)

    def has(self, exchange: Exchange) -> bool:
        """Whether somebody can answer a request; if not, that is said."""
        return self._handler(exchange) is not None

    def _handler(self, exchange: Exchange) -> Handler | None:
        """Return who answers a request; None where nobody can, which is said."""
        request = exchange.request
        methods = self._by_target.get(request.target)
        if methods is None:
            path = request.path
            methods = self._by_path.get(path)
            if methods is None:
                methods = self._named(path)
            if methods is None:
                self._unknown(exchange, path)
                return None
        handler = methods.get(request.method)
        if handler is None:
            allowed = (b"Allow", b", ".join(sorted(methods)))
            exchange.respond(405, (TEXT, allowed), b"405 method not allowed")
        return handler

    def _unknown(self, exchange: Exchange, path: str) -> None:
        """Answer that there is no such path, or where it is."""
        request, shorter = exchange.request, path.removesuffix("/")
        leads = shorter != path and path.startswith(_OLLAMAS)
        if not leads or request.method not in self._by_path.get(shorter, {}):
            exchange.respond(404, (TEXT,), b"404 page not found")
            return
        place = wire.header_value(f"{shorter}?{request.query}" if request.query else shorter)
        moved = 301 if request.method == b"GET" else 307
        exchange.respond(moved, ((b"Location", place),), b"")

    def _named(self, path: str) -> Methods | None:
        """Return what serves a path whose rest is a name."""
        for beginning, methods in self._below.items():
            if path.startswith(beginning) and path != beginning:
                return methods
        return None
