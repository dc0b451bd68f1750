"""Answers read while their bytes pass: how many tokens so far, and at the end what they say.

Rules
1. Bytes are looked at, never changed, and only the end is kept: `KEPT_BYTES`, or one line.
2. A stream is whole only if it says so: NDJSON with `"done":true`, SSE with `[DONE]` or the event
   that ends its kind. Clients take a clean end for success, so somebody has to know.
3. A JSON string holds no line break, so line and event ends are ends.
"""

import contextlib
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, Protocol, TypeAlias

import msgspec

from herd.dialects.lines import one_line
from herd.dialects.nesting import Nesting
from herd.dialects.numbers import count
from herd.http.answers import Event, Timings, Tokens
from herd.http.usage import Usage, decoded, from_tail, usage_in, usage_of_json

KEPT_BYTES: Final = 64 * 1024
Error: TypeAlias = Mapping[str, object]
"""As the route that was asked has it (`problems.last_event`)."""
_LINE_KEPT_BYTES: Final = 1024 * 1024
_SSE_KEPT_BYTES: Final = 8 * 1024


class Reading(Protocol):
    """The reader of one answer."""

    tokens: int
    """Data events so far."""

    def feed(self, data: bytes) -> None:
        """Look at the next bytes."""
        ...

    def usage(self) -> Usage:
        """Tell what was found, at the end."""
        ...

    def last_event(self) -> Usage | None:
        """Tell what was found if the last event of a stream has come; None for other answers."""
        ...

    def last_words(self, name: str, error: Error) -> bytes:
        """Return what tells the client that this answer broke off; nothing if nothing can.

        The name is that of an event, where events have names.
        """
        ...


def reading_of(content_type: bytes, *, coded: bool = False) -> Reading:
    """Return the reader for an answer of that type; `coded` is one that only its client opens."""
    return Coded() if coded else _reader_of(content_type)()


def usage_of(content_type: bytes, body: bytes, *, coded: bool = False) -> Usage:
    """Read an answer that came in one piece."""
    if coded:
        return Usage(whole=bool(body))
    kind = _reader_of(content_type)
    if kind is Json and len(body) <= KEPT_BYTES:
        return usage_of_json(body)
    reading = kind()
    reading.feed(body)
    return reading.usage()


@lru_cache(maxsize=256)
def _reader_of(content_type: bytes) -> "type[Ndjson | Sse | Json]":
    kind = content_type.partition(b";")[0].strip().lower()
    if kind == b"application/x-ndjson":
        return Ndjson
    return Sse if kind == b"text/event-stream" else Json


_decode_event = msgspec.json.Decoder(Event).decode
_LAST_EVENTS: Final = {"message_stop", "response.completed", "response.incomplete"}
_TRANSCRIBED: Final = b"transcript.text.done"
"""The last event of a recording that is written down: it has no name, and nothing need follow."""
_BAD_EVENTS: Final = {"error", "response.failed"}
_NAMED: Final = re.compile(
    rb"(?:^|\n)event: ?((?:response\.|message_|content_block_)[a-z_.]{1,40}|error|ping)\r?\n"
)
"""Those of `/v1/messages` and `/v1/responses`: some name all others, too (`message`)."""
_NUMBER: Final = re.compile(rb'"sequence_number": ?(\d{1,9})')
_EVENT_ENDS: Final = (b"\n\n", b"\r\n\r\n")
_COMMENT: Final = re.compile(rb"(?m)^:[^\n]*\n\r?\n")
"""What keeps a connection alive and says nothing: mlx-lm's, llama.cpp's while a prompt is read."""
_HEAD_BYTES: Final = 2048


class Ndjson:
    """One JSON object a line: Ollama's streams. Blank lines are none."""

    __slots__ = ("_last", "_rest", "tokens")

    def __init__(self) -> None:
        """Begin at the start of a line."""
        self.tokens = 0
        self._last = b""
        """The last line that came to its end."""
        self._rest = b""
        """What came after that."""

    def feed(self, data: bytes) -> None:
        """Count the lines, keep the last one."""
        whole, end, rest = data.rpartition(b"\n")
        if not end:
            self._rest = (self._rest + rest)[-_LINE_KEPT_BYTES:]
            return
        lines = [line for line in (self._rest + whole).split(b"\n") if line and not line.isspace()]
        if lines:
            self.tokens += len(lines)
            self._last = lines[-1][-_LINE_KEPT_BYTES:]
        self._rest = rest

    @property
    def _open(self) -> bool:
        """Whether a line has begun that has not come to its end."""
        return bool(self._rest) and not self._rest.isspace()

    def usage(self) -> Usage:
        """Read the last line."""
        line = self._rest if self._open else self._last
        answer = decoded(line)
        if answer.failed:
            return Usage(whole=False, failed=True, completion_tokens=max(0, self.tokens - 1))
        if not answer.done:  # only a last line has a duration, however long its `context` is
            whole = len(line) >= _LINE_KEPT_BYTES and b'"total_duration":' in line
            return usage_in(from_tail(line[-KEPT_BYTES:]), whole=whole)
        return usage_in(answer, whole=True)

    def last_event(self) -> Usage | None:
        """Look for the line that says it is done, or an error."""
        found = None if self._open else self.usage()
        return found if found is not None and (found.whole or found.failed) else None

    def last_words(self, name: str, error: Error) -> bytes:
        """End the line, if one is open, and say so in the next."""
        del name
        return (b"\n" if self._open else b"") + one_line(error) + b"\n"


class Sse:
    """Server-sent events: the streams of the OpenAI and the Anthropic family."""

    __slots__ = ("_head", "_name", "_parts", "_size_bytes", "tokens")

    def __init__(self) -> None:
        """Begin at the start of an event."""
        self.tokens = 0
        self._head = b""
        """How it began: some tell the length of the prompt there, and nowhere else."""
        self._parts: list[bytes] = []
        """The end of what came; joined when it is looked at, or has grown too large."""
        self._size_bytes = 0
        self._name = ""
        """Of the last event whose name came in one piece: one may be larger than what is kept."""

    def feed(self, data: bytes) -> None:
        """Count the events, keep the last ones."""
        if len(self._head) < _HEAD_BYTES:
            self._head += data[: _HEAD_BYTES - len(self._head)]
        parts = self._parts
        if data[:5] == b"data:" and data[-2:] == b"\n\n" and data.count(b"\n") == 2:  # noqa: PLR2004 (one event without a name, as most come)
            self.tokens += 1
        else:
            self._count(data)
        size_bytes = self._size_bytes
        if len(data) >= _SSE_KEPT_BYTES:
            data, size_bytes = data[-KEPT_BYTES:], 0
            parts.clear()
        elif size_bytes + len(data) > KEPT_BYTES:
            parts[:] = [b"".join(parts)[-_SSE_KEPT_BYTES:]]
            size_bytes = _SSE_KEPT_BYTES
        parts.append(data)
        self._size_bytes = size_bytes + len(data)

    def _count(self, data: bytes) -> None:
        self.tokens += data.count(b"\n\n") + data.count(b"\n\r\n")
        parts = self._parts
        if data[:1] == b":" or b"\n:" in data:
            inside = bool(parts) and parts[-1][-1:] != b"\n"
            self.tokens -= len(_COMMENT.findall(data, int(inside)))
        if data[:1] == b"\n" and parts and parts[-1][-1:] == b"\n":
            self.tokens += 1
        if b"event:" in data:
            for name in _NAMED.findall(data):
                self._name = name.decode("ascii")

    @property
    def _tail(self) -> bytes:
        return b"".join(self._parts)

    def usage(self) -> Usage:
        """Read the last events, newest first."""
        if name := self._last_name():
            return self._named_usage(name)
        whole = False
        tokens: Tokens | None = None
        timings: Timings | None = None
        finish = ""
        for line in reversed(self._tail.splitlines()):
            if not line.startswith(b"data:"):
                continue
            text = line[5:].strip()
            if text == b"[DONE]":
                whole = True
                continue
            if _TRANSCRIBED in text and _named(line).type == _TRANSCRIBED.decode():
                whole = True
            event = decoded(text)
            if event.failed and not (whole and event.refused):  # vLLM says `[DONE]` behind both
                return Usage(whole=False, failed=True, completion_tokens=max(0, self.tokens - 1))
            tokens = tokens or event.usage
            timings = timings or event.timings
            if event.choices and event.choices[0].finish_reason:
                finish = event.choices[0].finish_reason
                break
        counted = self.tokens - whole
        if tokens is None:
            return Usage(whole=whole, completion_tokens=counted, source="counted", finish=finish)
        return Usage(
            whole=whole,
            prompt_tokens=count(tokens.prompt_tokens),
            completion_tokens=count(tokens.completion_tokens),
            source="reported",
            finish=finish,
            cached_tokens=count(tokens.cached if timings is None else timings.cache_n),
        )

    def _last_name(self) -> str:
        """Return the name of the last event; nothing where events have none."""
        names = _NAMED.findall(self._tail) if b"event:" in self._tail else ()
        return names[-1].decode("ascii") if names else self._name

    def _named_usage(self, name: str) -> Usage:
        """Read a stream whose events have names."""
        if name in _BAD_EVENTS:
            return Usage(whole=False, failed=True, completion_tokens=max(0, self.tokens - 1))
        whole, finish = name in _LAST_EVENTS, ""
        tokens: Tokens | None = None
        for line in reversed(self._tail.splitlines()):
            event = _named(line)
            tokens = tokens or event.usage
            if event.delta is not None and event.delta.stop_reason:
                finish = event.delta.stop_reason
                break
            if event.response is not None:
                tokens, finish = event.response.usage, event.response.status or ""
                break
        if tokens is None:
            return Usage(whole, completion_tokens=self.tokens, source="counted", finish=finish)
        told = tokens if tokens.prompt is not None else self._started()
        return Usage(
            whole,
            prompt_tokens=count(told.prompt),
            completion_tokens=count(tokens.completion),
            source="reported",
            finish=finish,
            cached_tokens=count(told.cached),
        )

    def _started(self) -> Tokens:
        """Return what the first event says."""
        for line in self._head.splitlines()[:2]:
            message = _named(line).message
            if message is not None and message.usage is not None:
                return message.usage
        return Tokens()

    def last_event(self) -> Usage | None:
        """Look for `[DONE]`, the event that ends its kind, or an error."""
        found = self.usage() if self._tail.endswith(_EVENT_ENDS) else None
        return found if found is not None and (found.whole or found.failed) else None

    def last_words(self, name: str, error: Error) -> bytes:
        """End the event, if one is open, and send an error as the next; numbered as they were."""
        tail = self._tail
        start = b"" if not tail or tail.endswith(_EVENT_ENDS) else b"\n\n"
        if "sequence_number" in error and (numbers := _NUMBER.findall(tail)):
            error = {**error, "sequence_number": int(numbers[-1]) + 1}
        named = b"event: %b\n" % name.encode("ascii") if name else b""
        return start + named + b"data: " + one_line(error) + b"\n\n"


class Json:
    """One JSON value, whole at its end: a large one, too large to look at, if all is closed in it.

    Where only the end of the connection ends it, nothing else tells whether it broke off.
    """

    __slots__ = ("_nesting", "_parts", "_size_bytes", "tokens")

    def __init__(self) -> None:
        """Begin."""
        self.tokens = 0
        self._nesting = Nesting()
        self._parts: list[bytes] = []
        self._size_bytes = 0

    def feed(self, data: bytes) -> None:
        """Keep all of a small body, the end of a large one."""
        self._nesting.feed(data)
        self._parts.append(data)
        self._size_bytes += len(data)
        if self._size_bytes > 2 * KEPT_BYTES and len(self._parts) > 1:
            self._parts = [b"".join(self._parts)[-KEPT_BYTES:]]
            self._size_bytes = KEPT_BYTES + 1  # for good: its start is gone

    def usage(self) -> Usage:
        """Read the body, or the end of it."""
        body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        if self._size_bytes <= KEPT_BYTES:
            return usage_of_json(body)
        return usage_in(from_tail(body[-KEPT_BYTES:]), whole=self._nesting.whole)

    def last_event(self) -> Usage | None:
        """Know of none: only its framing ends it."""
        return None

    def last_words(self, name: str, error: Error) -> bytes:
        """Say nothing: an unfinished JSON value cannot take a message."""
        del name, error
        return b""


class Coded:
    """Compressed though nobody asked for it, or plain text: only its framing tells its end."""

    __slots__ = ("tokens",)

    def __init__(self) -> None:
        """Begin."""
        self.tokens = 0

    def feed(self, data: bytes) -> None:
        """Look at nothing."""

    def usage(self) -> Usage:
        """Know nothing but that it is whole."""
        return Usage(whole=True)

    def last_event(self) -> Usage | None:
        """Know of none: only its framing ends it."""
        return None

    def last_words(self, name: str, error: Error) -> bytes:
        """Say nothing: it would be taken for a part of the answer."""
        del name, error
        return b""


def _named(line: bytes) -> Event:
    if line.startswith(b"data:"):
        with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return _decode_event(line[5:])
    return Event()
