"""Anthropic's `/v1/messages` and OpenAI's `/v1/responses`, as newer servers have them. Pure.

They are made of the chat completion that the machine would give. Their ids have `own` in them, so
that an answer of a node's own can be told from one that herd translated.
"""

from typing import Final

import msgspec

from herd.dialects.asking import Asking, Node
from herd.dialects.errors import UntranslatableError
from herd.http import problems
from herd.http.translations import TRANSLATIONS
from herd.simulator import asks
from herd.simulator.asks import Ask, AskError
from herd.simulator.ollama_bodies import Ending
from herd.simulator.openai_bodies import ChatCompletion

OWN: Final = "own"
SINCE: Final = (0, 14)
"""The first version of an Ollama with both."""

_SERVER: Final = Node(ollama=False)


def has_them(version: str) -> bool:
    """Return whether a server of that version has these routes."""
    parts = [int(part) for part in version.split(".")[:2] if part.isdecimal()]
    return tuple(parts) >= SINCE


def messages(body: bytes) -> Ask:
    """Read `POST /v1/messages`."""
    return _read(body, "/v1/messages")


def responses(body: bytes) -> Ask:
    """Read `POST /v1/responses`."""
    return _read(body, "/v1/responses")


def _read(body: bytes, path: str) -> Ask:
    try:
        question = TRANSLATIONS[path].asked(body, _SERVER)
    except UntranslatableError as error:
        raise AskError(400, error.what) from error
    return msgspec.structs.replace(asks.chat_completion(question.body), said=body)


class Words:
    """A chat completion in the words of one of them."""

    stream_type = b"text/event-stream"
    whole_type = b"application/json"

    def __init__(self, path: str, ask: Ask, completion: ChatCompletion) -> None:
        """Tell the same in other words."""
        completion.own = OWN
        self._words = TRANSLATIONS[path]
        self._asking = Asking(ask.model, ask.said)
        self._completion = completion
        self._stream = self._words.stream(self._asking)

    def chunk(self, text: str) -> bytes:
        """Return the events of a token."""
        return self._stream.feed(self._completion.chunk(text))

    def thought(self, text: str) -> bytes:
        """Return the events of a token of a thought."""
        return self._stream.feed(self._completion.thought(text))

    def end(self, ending: Ending) -> bytes:
        """Return the last events."""
        return self._stream.feed(self._completion.end(ending))

    def whole(self, text: str, ending: Ending, thought: str = "") -> bytes:
        """Return an answer in one piece."""
        return self._words.whole(self._completion.whole(text, ending, thought), self._asking)

    def error(self, status: int, text: str) -> bytes:
        """Return an error."""
        return problems.body(self._words.family, status, text)
