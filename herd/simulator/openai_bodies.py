"""Bodies out, in OpenAI's API as Ollama speaks it: JSON, or Server-Sent Events."""

import base64
import struct
from collections.abc import Sequence
from datetime import datetime
from typing import Literal, TypeAlias

import msgspec

from herd.clock import wall_s
from herd.simulator.calls import Call
from herd.simulator.hardware import SimulatedModel
from herd.simulator.ollama_bodies import CALL_ID, Ending

FINGERPRINT = "fp_ollama"

Thinks: TypeAlias = Literal["reasoning", "reasoning_content"]
"""What thoughts are called: by Ollama; by llama.cpp and vLLM."""

_TYPES = {400: "invalid_request_error", 404: "not_found_error"}

encode = msgspec.json.encode


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class _Function(msgspec.Struct, gc=False):
    name: str
    arguments: str


class _ToolCall(msgspec.Struct, gc=False):
    id: str
    index: int
    type: str
    function: _Function


class _Delta(msgspec.Struct, omit_defaults=True, gc=False):
    role: str
    content: str
    reasoning: str = ""
    reasoning_content: str = ""
    tool_calls: Sequence[_ToolCall] = ()


class _ChunkChoice(msgspec.Struct, gc=False):
    index: int
    delta: _Delta
    finish_reason: str | None


class _Choice(msgspec.Struct, gc=False):
    index: int
    message: _Delta
    finish_reason: str


class _TextChoice(msgspec.Struct, gc=False):
    text: str
    index: int
    finish_reason: str | None


class _Completion(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    id: str
    object: str
    created: int
    model: str
    system_fingerprint: str
    choices: list[_ChunkChoice] | list[_Choice] | list[_TextChoice]
    usage: _Usage | None = None


def _usage(ending: Ending) -> _Usage:
    prompt, output = ending.prompt_tokens, ending.output_tokens
    return _Usage(prompt, output, prompt + output)


class _Answer:
    """What both kinds of completion share: one id and one instant for all chunks."""

    stream_type = b"text/event-stream"
    whole_type = b"application/json"
    own = ""
    """Goes into its id."""

    def __init__(self, model: str, drawn: int, *, usage: bool) -> None:
        """Name the model as the client does; `usage` asks for the chunk of usage."""
        self._model = model
        self._number = drawn % 1_000_000_000
        self._created = int(wall_s())
        self._with_usage = usage

    def error(self, status: int, text: str) -> bytes:
        """Return an error."""
        return error(status, text)

    def _closing(self, last: _Completion, ending: Ending) -> bytes:
        """Return the chunk that says why it ended, the one of usage if wanted, and `[DONE]`."""
        closing = _event(last)
        if self._with_usage:
            last.choices = []
            last.usage = _usage(ending)
            closing += _event(last)
        return closing + b"data: [DONE]\n\n"


def _event(chunk: _Completion) -> bytes:
    return b"data: %b\n\n" % encode(chunk)


class ChatCompletion(_Answer):
    """An answer of `/v1/chat/completions`."""

    def __init__(
        self,
        model: str,
        drawn: int,
        *,
        usage: bool,
        call: Call | None = None,
        thinks_as: Thinks = "reasoning",
    ) -> None:
        """Send a call with the first token: it is the reason why the answer ends."""
        super().__init__(model, drawn, usage=usage)
        self._call = call
        self._thinks_as: Thinks = thinks_as

    def _reason(self, ending: Ending) -> str:
        return ending.reason if self._call is None else "tool_calls"

    def _said(self, text: str, call: Call | None, thought: str = "") -> _Delta:
        delta = _Delta("assistant", text)
        if thought:
            setattr(delta, self._thinks_as, thought)
        if call is not None:
            function = _Function(call.name, encode(call.arguments).decode())
            delta.tool_calls = (_ToolCall(CALL_ID, 0, "function", function),)
        return delta

    def _chunk(self, text: str, reason: str | None) -> _Completion:
        call = self._call if reason is None else None
        return _Completion(
            id=f"chatcmpl-{self.own}{self._number}",
            object="chat.completion.chunk",
            created=self._created,
            model=self._model,
            system_fingerprint=FINGERPRINT,
            choices=[_ChunkChoice(0, self._said(text, call), reason)],
        )

    def chunk(self, text: str) -> bytes:
        """Return one event of a stream."""
        return _event(self._chunk(text, None))

    def thought(self, text: str) -> bytes:
        """Return one event of a stream that is a thought."""
        chunk = self._chunk("", None)
        chunk.choices = [_ChunkChoice(0, self._said("", None, text), None)]
        return _event(chunk)

    def end(self, ending: Ending) -> bytes:
        """Return the last events of a stream."""
        return self._closing(self._chunk("", self._reason(ending)), ending)

    def whole(self, text: str, ending: Ending, thought: str = "") -> bytes:
        """Return an answer in one piece."""
        answer = self._chunk("", None)
        answer.object = "chat.completion"
        said = self._said(text, self._call, thought)
        answer.choices = [_Choice(0, said, self._reason(ending))]
        answer.usage = _usage(ending)
        return encode(answer)


class Completion(_Answer):
    """An answer of `/v1/completions`."""

    def _chunk(self, text: str, reason: str | None) -> _Completion:
        return _Completion(
            id=f"cmpl-{self._number}",
            object="text_completion",
            created=self._created,
            model=self._model,
            system_fingerprint=FINGERPRINT,
            choices=[_TextChoice(text, 0, reason)],
        )

    def chunk(self, text: str) -> bytes:
        """Return one event of a stream."""
        return _event(self._chunk(text, None))

    def end(self, ending: Ending) -> bytes:
        """Return the last events of a stream."""
        return self._closing(self._chunk("", ending.reason), ending)

    def thought(self, text: str) -> bytes:
        """Return a thought like any other token: this route does not tell them apart."""
        return self.chunk(text)

    def whole(self, text: str, ending: Ending, thought: str = "") -> bytes:
        """Return an answer in one piece."""
        answer = self._chunk(thought + text, ending.reason)
        answer.usage = _usage(ending)
        return encode(answer)


def embedded(
    model: str, vectors: Sequence[Sequence[float]], ending: Ending, *, in_base64: bool
) -> bytes:
    """Return the answer of `/v1/embeddings`, as numbers or as little-endian floats."""
    rows = [
        {
            "object": "embedding",
            "embedding": _packed(vector) if in_base64 else vector,
            "index": index,
        }
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": ending.prompt_tokens, "total_tokens": ending.prompt_tokens}
    return encode({"object": "list", "data": rows, "model": model, "usage": usage})


def _packed(vector: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def error(status: int, text: str) -> bytes:
    """Return an error, with the type that goes with its status."""
    kind = _TYPES.get(status, "api_error")
    return encode({"error": {"message": text, "type": kind, "param": None, "code": None}})


def model_row(model: SimulatedModel) -> dict[str, object]:
    """Return one model as `/v1/models` lists it."""
    modified = datetime.fromisoformat(model.facts.modified_at[:19] + "+00:00")
    return {
        "id": model.facts.name,
        "object": "model",
        "created": int(modified.timestamp()),
        "owned_by": "library",
    }


def models(found: Sequence[SimulatedModel]) -> bytes:
    """Return the answer of `/v1/models`."""
    return encode({"object": "list", "data": [model_row(model) for model in found]})
