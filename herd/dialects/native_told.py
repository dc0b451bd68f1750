"""Answers of OpenAI's API as those of Ollama's own routes, whole or as lines of JSON. Pure.

Rules
1. A stream is whole only if the node's was: without `[DONE]` there is no `"done":true`. An error of
   the node's before the first line raises, so that another may try; later it is Ollama's own line.
2. A call comes in one line, when all of it is known: its arguments are an object, into which what
   is none is put. One in which the answer was cut by its length is left out, as Ollama has it.
3. Counts are those the node told; without them there are none. Durations are the node's own where
   it tells them (llama.cpp); else what herd has measured: `prompt_eval_duration` until the first
   word, `eval_duration` from there to the end. Of loading nobody knows, so nothing is said.
4. With `"think":false` there are no thoughts, also if the model has some.
5. Vectors of `/api/embed` have the length 1, as Ollama has them.
"""

import math
from typing import Any, Final, TypeAlias

import msgspec

from herd.dialects import completions, lines, refused
from herd.dialects.asking import Asking
from herd.dialects.calls import Calls
from herd.dialects.completions import Completion, Message, ToolCall
from herd.dialects.errors import GarbledError
from herd.dialects.numbers import count
from herd.dialects.sse import Events

Json: TypeAlias = dict[str, Any]

CALLS_CHARS: Final = 32 * 1024 * 1024
"""The arguments of a call are kept until they are whole."""
_NS_A_MS: Final = 1e6
_UNIT: Final = 1e-6


class _Wanted(msgspec.Struct, gc=False):
    think: bool | str | None = None


_decode_wanted = msgspec.json.Decoder(_Wanted).decode


class _Vector(msgspec.Struct, gc=False):
    embedding: list[float]
    index: int = 0


class _Vectors(msgspec.Struct, gc=False):
    data: list[_Vector] | None = None
    usage: completions.Tokens | None = None


_decode_vectors = msgspec.json.Decoder(_Vectors).decode


def chat(body: bytes, asking: Asking) -> bytes:
    """Return an answer of `/api/chat`; `GarbledError` if the body is no chat completion."""
    return _whole(body, Chat(asking))


def generate(body: bytes, asking: Asking) -> bytes:
    """Return an answer of `/api/generate`; `GarbledError` if the body is no chat completion."""
    return _whole(body, Generate(asking))


def embed(body: bytes, asking: Asking) -> bytes:
    """Return an answer of `/api/embed`; `GarbledError` if there are no vectors in the body."""
    vectors, tokens = _read_vectors(body)
    told: Json = {"model": asking.model, "embeddings": [_unit(vector) for vector in vectors]}
    told["total_duration"] = asking.age_ns()
    if tokens is not None:
        told["prompt_eval_count"] = count(tokens.prompt_tokens)
    return msgspec.json.encode(told)


def embeddings(body: bytes, asking: Asking) -> bytes:
    """Return an answer of `/api/embeddings`; `GarbledError` if there is no vector in the body."""
    del asking
    vectors, _ = _read_vectors(body)
    if not vectors:
        raise GarbledError("an answer without a vector")
    return msgspec.json.encode({"embedding": vectors[0]})


def _read_vectors(body: bytes) -> tuple[list[list[float]], completions.Tokens | None]:
    try:
        answer = _decode_vectors(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise GarbledError("an answer that is no list of vectors") from error
    if answer.data is None:
        raise GarbledError("an answer that is no list of vectors")
    found = sorted(answer.data, key=lambda vector: vector.index)
    return [vector.embedding for vector in found], answer.usage


def _unit(vector: list[float]) -> list[float]:
    length = math.hypot(*vector)
    if not length or not math.isfinite(length) or abs(length - 1) < _UNIT:
        return vector
    return [each / length for each in vector]


class Chat:
    """The translator of one stream to lines of `/api/chat`."""

    __slots__ = (
        "_asking",
        "_begun",
        "_calls",
        "_ended",
        "_events",
        "_finish",
        "_first_ns",
        "_last",
        "_open",
        "_sent",
        "_size_chars",
        "_thinks",
    )

    def __init__(self, asking: Asking) -> None:
        """Know the model's name and the clock."""
        self._asking = asking
        self._thinks = _decode_wanted(asking.body).think is not False
        self._events = Events()
        self._begun = self._ended = False
        self._calls: list[_Call] = []
        """At most the one that is open, and those that ended with this chunk."""
        self._open = Calls()
        self._sent = 0
        """Calls so far."""
        self._size_chars = 0
        self._finish: str | None = None
        self._first_ns = 0
        """When the first word came."""
        self._last = Completion()
        """What was last told of counts and times."""

    def feed(self, data: bytes) -> bytes:
        """Return the lines that follow; `GarbledError` if it is no stream of chat completions."""
        return b"".join([self._take(found) for found in self._events.feed(data)])

    def thought(self, message: Message) -> str:
        """Return what the model thought, if the client wants to know."""
        return message.thought if self._thinks else ""

    def line(self, message: Message, calls: list[Json]) -> Json:
        """Return a line without its end."""
        said: Json = {"role": "assistant", "content": message.content or message.refusal or ""}
        if thought := self.thought(message):
            said["thinking"] = thought
        if calls:
            said["tool_calls"] = calls
        return self._head() | {"message": said}

    def ending(self, finish: str | None, told: Completion, first_ns: int) -> Json:
        """Return what ends the last line; `first_ns` 0 if the answer came in one piece."""
        end: Json = {"done": True, "done_reason": "length" if finish == "length" else "stop"}
        total_ns, times, tokens = self._asking.age_ns(), told.timings, told.usage
        end["total_duration"] = total_ns
        if tokens is not None:
            end["prompt_eval_count"] = count(tokens.prompt_tokens)
        if times is not None and times.prompt_ms is not None:
            end["prompt_eval_duration"] = count(times.prompt_ms * _NS_A_MS)
        elif first_ns:
            end["prompt_eval_duration"] = first_ns
        if tokens is not None:
            end["eval_count"] = count(tokens.completion_tokens)
        if times is not None and times.predicted_ms is not None:
            end["eval_duration"] = count(times.predicted_ms * _NS_A_MS)
        elif first_ns:
            end["eval_duration"] = total_ns - first_ns
        return end

    def _head(self) -> Json:
        return {"model": self._asking.model, "created_at": self._asking.date()}

    def _take(self, data: bytes) -> bytes:
        if self._ended:
            return b""
        if data == completions.DONE:
            return self._end()
        chunk = completions.read(data)
        if text := refused.error_words(chunk.error):
            if not self._begun:
                raise GarbledError(text)
            self._ended = True
            return lines.one_line({"error": text}) + b"\n"
        if chunk.usage is not None:
            self._last.usage = chunk.usage
        if chunk.timings is not None:
            self._last.timings = chunk.timings
        if not chunk.choices:
            return b""
        choice = chunk.choices[0]
        self._finish = choice.finish_reason or self._finish
        return b"" if choice.delta is None else self._delta(choice.delta)

    def _delta(self, delta: Message) -> bytes:
        said = delta.content or delta.refusal or self.thought(delta)
        if (said or delta.tool_calls) and not self._first_ns:
            self._first_ns = self._asking.age_ns()
        calls: list[Json] = []
        if said:
            self._calls_on(self._open.rest())
            calls += self._shown(keep=0)
        self._calls_on(self._open.take(delta.tool_calls))
        calls += self._shown(keep=1)
        if not said and not calls:
            return b""
        self._begun = True
        return self._line(delta, calls, {"done": False})

    def _line(self, message: Message, calls: list[Json], end: Json) -> bytes:
        return lines.one_line(self.line(message, calls) | end) + b"\n"

    def _calls_on(self, pieces: list[tuple[ToolCall, bool]]) -> None:
        for call, begins in pieces:
            if begins:
                self._calls.append(_Call(call.id or "", call.name))
            self._size_chars += len(call.arguments)
            if self._size_chars > CALLS_CHARS:
                raise GarbledError("an answer that is too large to translate")
            self._calls[-1].arguments.append(call.arguments)

    def _shown(self, *, keep: int) -> list[Json]:
        """Take the calls that are whole."""
        whole = self._calls[: len(self._calls) - keep]
        self._calls = self._calls[len(whole) :]
        shown = [call.shown(self._sent + position) for position, call in enumerate(whole)]
        self._sent += len(shown)
        return shown

    def _end(self) -> bytes:
        """End well, if the node said why it ended."""
        if self._finish is None:
            raise GarbledError("a stream without a reason for its end")
        self._ended = True
        self._calls_on(self._open.rest())
        self._calls = _uncut(self._calls, self._finish)
        calls = self._shown(keep=0)
        out = self._line(Message(), calls, {"done": False}) if calls else b""
        return out + self._line(
            Message(), [], self.ending(self._finish, self._last, self._first_ns)
        )


class Generate(Chat):
    """The same for lines of `/api/generate`, which has no tools."""

    __slots__ = ()

    def line(self, message: Message, calls: list[Json]) -> Json:
        """Return a line without its end."""
        del calls
        told = self._head() | {"response": message.content or message.refusal or ""}
        thought = self.thought(message)
        return told | {"thinking": thought} if thought else told


class _Call(msgspec.Struct, gc=False):
    id: str
    name: str
    arguments: list[str] = []

    def read(self) -> Json:
        return completions.arguments("".join(self.arguments))

    def shown(self, index: int) -> Json:
        function = {"index": index, "name": self.name, "arguments": self.read()}
        return {"id": self.id, "function": function} if self.id else {"function": function}


def _uncut(calls: list[_Call], finish: str | None) -> list[_Call]:
    """Leave out a call in which the answer was cut by its length."""
    if finish != "length" or not calls:
        return calls
    last = calls[-1]
    cut = not any(last.arguments) or completions.NO_JSON in last.read()
    return calls[:-1] if cut else calls


def _whole(body: bytes, words: Chat) -> bytes:
    answer, message, finish = completions.whole(body)
    made = [_Call(call.id or "", call.name, [call.arguments]) for call in message.tool_calls or ()]
    calls = [call.shown(position) for position, call in enumerate(_uncut(made, finish))]
    return msgspec.json.encode(words.line(message, calls) | words.ending(finish, answer, 0))
