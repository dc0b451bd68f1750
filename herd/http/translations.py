"""Which routes can be said on another route of OpenAI's API, and by what."""

from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from herd.dialects import (
    messages_asked,
    messages_told,
    native_asked,
    native_told,
    responses_asked,
    responses_told,
)
from herd.dialects.asking import Asking, Node, Question
from herd.dialects.errors import UntranslatableError
from herd.http.problems import Family

SSE: Final = b"text/event-stream"
NDJSON: Final = b"application/x-ndjson"


class Stream(Protocol):
    """What translates a stream."""

    def feed(self, data: bytes) -> bytes:
        """Return what follows from the next bytes, which come in any pieces."""
        ...


class Translation(msgspec.Struct, frozen=True):
    """How the requests of one route, and their answers, are said on another."""

    target: bytes
    """The other route."""
    family: Family
    asked: Callable[[bytes, Node], Question]
    whole: Callable[[bytes, Asking], bytes]
    """An answer in one piece."""
    stream: Callable[[Asking], Stream]
    streamed: bytes = SSE
    """The type of its streams."""

    def question(self, body: bytes, node: Node) -> Question:
        """Return a request in the words of the other route; `UntranslatableError` if it has none.

        What can just be read may nest too deep to be written in another place.
        """
        try:
            return self.asked(body, node)
        except RecursionError as error:
            raise UntranslatableError("JSON that nests too deep") from error

    @property
    def native(self) -> bool:
        """Whether it is a route that every Ollama has: only other servers are asked on another."""
        return self.family == "ollama"


def _native(
    asked: Callable[[bytes, Node], Question],
    whole: Callable[[bytes, Asking], bytes],
    stream: Callable[[Asking], Stream] = native_told.Chat,
    target: bytes = b"/v1/chat/completions",
) -> Translation:
    return Translation(target, "ollama", asked, whole, stream, NDJSON)


TRANSLATIONS: Final = {
    "/v1/messages": Translation(
        target=b"/v1/chat/completions",
        family="anthropic",
        asked=messages_asked.translate,
        whole=messages_told.whole,
        stream=messages_told.Stream,
    ),
    "/v1/responses": Translation(
        target=b"/v1/chat/completions",
        family="openai",
        asked=responses_asked.translate,
        whole=responses_told.whole,
        stream=responses_told.Stream,
    ),
    "/api/chat": _native(native_asked.chat, native_told.chat),
    "/api/generate": _native(native_asked.generate, native_told.generate, native_told.Generate),
    "/api/embed": _native(native_asked.embed, native_told.embed, target=b"/v1/embeddings"),
    "/api/embeddings": _native(
        native_asked.embeddings, native_told.embeddings, target=b"/v1/embeddings"
    ),
}
"""By the route that clients ask."""
