"""Method and path to handler, and nothing else.

What is not here is answered as Ollama answers it: 404 for an unknown path, 405 for a method that a
known path does not have. `HEAD` is a `GET` whose body is not sent.
"""

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from herd.http.exchange import Exchange
from herd.http.problems import TEXT

Handler: TypeAlias = Callable[[Exchange], None]
Methods: TypeAlias = Mapping[bytes, Handler]

MODEL_PREFIX: Final = "/v1/models/"


class Routes:
    """The routing table."""

    __slots__ = ("_by_path", "_by_target", "_model")

    def __init__(self, by_path: Mapping[str, Methods], model: Methods) -> None:
        """Know every path; `model` is what `/v1/models/{id}` does, whose ids hold slashes."""
        self._by_path = dict(by_path)
        self._by_target = {path.encode("ascii"): methods for path, methods in by_path.items()}
        self._model = model

    def __call__(self, exchange: Exchange) -> None:
        """Answer a request, or say that nobody can."""
        request = exchange.request
        methods = self._by_target.get(request.target)
        if methods is None:
            path = request.path
            methods = self._by_path.get(path)
            if methods is None:
                if not path.startswith(MODEL_PREFIX) or path == MODEL_PREFIX:
                    exchange.respond(404, (TEXT,), b"404 page not found")
                    return
                methods = self._model
        handler = methods.get(request.method)
        if handler is None:
            allowed = (b"Allow", b", ".join(sorted(methods)))
            exchange.respond(405, (TEXT, allowed), b"405 method not allowed")
            return
        handler(exchange)
