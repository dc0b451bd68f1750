"""Bodies out, in Ollama's own API: one JSON object, or one a line.

Fields of the last object that are zero are absent, as Go's `omitempty` has it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from events import ModelFacts
from herd.clock import wall_s
from herd.dialects import names
from herd.dialects.dates import rfc3339
from herd.simulator.calls import Call
from herd.simulator.hardware import SimulatedModel
from herd.simulator.physics import NEVER, Resident

FOREVER_S = 292 * 365.25 * 86_400.0
"""What Ollama adds to the present for a model that is kept for ever: Go's longest duration."""

CONTEXT_NUMBERS = 64
"""How many of its tokens' numbers `/api/generate` gives back at most."""

CALL_ID = "call_simulated"
"""Of every call of a tool: there is one in an answer."""

encode = msgspec.json.encode


class Ending(msgspec.Struct, frozen=True, gc=False):
    """What is known when an answer ends."""

    reason: str
    prompt_tokens: int = 0
    output_tokens: int = 0
    total_ns: int = 0
    load_ns: int = 0
    prefill_ns: int = 0
    decode_ns: int = 0


class _Function(msgspec.Struct, gc=False):
    index: int
    name: str
    arguments: Mapping[str, Any]


class _ToolCall(msgspec.Struct, gc=False):
    id: str
    function: _Function


class _Message(msgspec.Struct, omit_defaults=True, gc=False):
    role: str
    content: str
    thinking: str = ""
    tool_calls: Sequence[_ToolCall] = ()


class _Chunk(msgspec.Struct, gc=False):
    model: str
    created_at: str


class _ChatChunk(_Chunk, gc=False):
    message: _Message
    done: bool


class _GenerateChunk(_Chunk, gc=False):
    response: str
    done: bool


class _GenerateThought(_Chunk, gc=False):
    response: str
    thinking: str
    done: bool


class _Last(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """The fields of the last object; each kind of answer begins with its own."""

    model: str
    created_at: str
    message: _Message | None = None
    response: str | None = None
    thinking: str = ""
    done_reason: str = ""
    done: bool
    context: Sequence[int] = ()
    total_duration: int = 0
    load_duration: int = 0
    prompt_eval_count: int = 0
    prompt_eval_duration: int = 0
    eval_count: int = 0
    eval_duration: int = 0


class _Embedded(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    model: str
    embeddings: Sequence[Sequence[float]]
    total_duration: int = 0
    load_duration: int = 0
    prompt_eval_count: int = 0


class Chat:
    """An answer of `/api/chat`."""

    stream_type = b"application/x-ndjson"
    whole_type = b"application/json; charset=utf-8"

    def __init__(self, model: str, call: Call | None = None) -> None:
        """Name the model as the client does; a call goes out with the first token."""
        self._model = model
        self._call = call

    def _message(self, text: str, thought: str = "") -> _Message:
        call, self._call = self._call, None
        if call is None:
            return _Message("assistant", text, thought)
        function = _Function(0, call.name, call.arguments)
        return _Message("assistant", text, thought, (_ToolCall(CALL_ID, function),))

    def _line(self, message: _Message) -> bytes:
        return encode(_ChatChunk(self._model, rfc3339(wall_s()), message, done=False)) + b"\n"

    def chunk(self, text: str) -> bytes:
        """Return one line of a stream."""
        return self._line(self._message(text))

    def thought(self, text: str) -> bytes:
        """Return one line of a stream that is a thought."""
        return self._line(_Message("assistant", "", text))

    def end(self, ending: Ending) -> bytes:
        """Return the last line of a stream."""
        return self.whole("", ending) + b"\n"

    def whole(self, text: str, ending: Ending, thought: str = "") -> bytes:
        """Return an answer in one piece."""
        return encode(_last(self._model, ending, message=self._message(text, thought)))

    def error(self, status: int, text: str) -> bytes:
        """Return an error."""
        return error(status, text)


class Generate:
    """An answer of `/api/generate`."""

    stream_type = Chat.stream_type
    whole_type = Chat.whole_type

    def __init__(self, model: str) -> None:
        """Name the model as the client does."""
        self._model = model

    def chunk(self, text: str) -> bytes:
        """Return one line of a stream."""
        return encode(_GenerateChunk(self._model, rfc3339(wall_s()), text, done=False)) + b"\n"

    def thought(self, text: str) -> bytes:
        """Return one line of a stream that is a thought."""
        now = rfc3339(wall_s())
        return encode(_GenerateThought(self._model, now, "", text, done=False)) + b"\n"

    def end(self, ending: Ending) -> bytes:
        """Return the last line of a stream."""
        return self.whole("", ending) + b"\n"

    def whole(self, text: str, ending: Ending, thought: str = "") -> bytes:
        """Return an answer in one piece, with the tokens that a next prompt could begin with."""
        last = _last(self._model, ending, response=text)
        last.thinking = thought
        tokens = ending.prompt_tokens + ending.output_tokens
        last.context = tuple(range(1, min(tokens, CONTEXT_NUMBERS) + 1))
        return encode(last)

    def error(self, status: int, text: str) -> bytes:
        """Return an error."""
        return error(status, text)


def _last(
    model: str, ending: Ending, *, message: _Message | None = None, response: str | None = None
) -> _Last:
    return _Last(
        model=model,
        created_at=rfc3339(wall_s()),
        message=message,
        response=response,
        done_reason=ending.reason,
        done=True,
        total_duration=ending.total_ns,
        load_duration=ending.load_ns,
        prompt_eval_count=ending.prompt_tokens,
        prompt_eval_duration=ending.prefill_ns,
        eval_count=ending.output_tokens,
        eval_duration=ending.decode_ns,
    )


def embedded(model: str, vectors: Sequence[Sequence[float]], ending: Ending) -> bytes:
    """Return the answer of `/api/embed`."""
    return encode(
        _Embedded(
            model=model,
            embeddings=vectors,
            total_duration=ending.total_ns,
            load_duration=ending.load_ns,
            prompt_eval_count=ending.prompt_tokens,
        )
    )


def embedding(vectors: Sequence[Sequence[float]]) -> bytes:
    """Return the answer of the older `/api/embeddings`: one vector, not of length 1."""
    return encode({"embedding": [10.0 * number for number in vectors[0]] if vectors else []})


def error(status: int, text: str) -> bytes:
    """Return an error; its status stands in the head only."""
    del status
    return encode({"error": text})


# What a node is and has.


def _details(facts: ModelFacts) -> dict[str, object]:
    return {
        "parent_model": facts.parent_model,
        "format": facts.format,
        "family": facts.family,
        "families": facts.families,
        "parameter_size": facts.parameter_size,
        "quantization_level": facts.quantization_level,
    }


def tags(models: Sequence[SimulatedModel]) -> bytes:
    """Return the answer of `/api/tags`."""
    rows = [
        {
            "name": model.facts.name,
            "model": model.facts.name,
            "modified_at": model.facts.modified_at,
            "size": model.facts.size_bytes,
            "digest": model.facts.digest,
            "details": _details(model.facts)
            | {
                "context_length": model.facts.context_length,
                "embedding_length": model.embedding_length,
            },
            "capabilities": model.facts.capabilities,
        }
        for model in models
    ]
    return encode({"models": rows})


def ps(residents: Sequence[Resident], per_s: float) -> bytes:
    """Return the answer of `/api/ps`; `per_s` simulated seconds pass in one real second."""
    now_s = wall_s()
    rows = [
        {
            "name": found.model.facts.name,
            "model": found.model.facts.name,
            "size": found.size_bytes,
            "digest": found.model.facts.digest,
            "details": _details(found.model.facts),
            "expires_at": rfc3339(
                now_s + (FOREVER_S if found.expires_in_s == NEVER else found.expires_in_s / per_s)
            ),
            "size_vram": found.size_vram_bytes,
            "context_length": found.context_tokens,
        }
        for found in residents
    ]
    return encode({"models": rows})


def show(model: SimulatedModel) -> bytes:
    """Return the answer of `/api/show`."""
    facts, architecture = model.facts, model.architecture
    return encode(
        {
            "license": "none: this model is simulated",
            "modelfile": f"# simulated\nFROM {facts.name}\n",
            "parameters": "",
            "template": "{{ .Prompt }}",
            "details": _details(facts),
            "model_info": {
                "general.architecture": architecture,
                "general.parameter_count": model.parameters,
                f"{architecture}.context_length": facts.context_length,
                f"{architecture}.embedding_length": model.embedding_length,
            },
            "capabilities": facts.capabilities,
            "modified_at": facts.modified_at,
        }
    )


def qualified(model: str) -> str:
    """Return the name in full, as some of Ollama's errors have it."""
    name = names.normalise(model)
    return name if "/" in name else f"{names.DEFAULT_HOST}{names.DEFAULT_NAMESPACE}{name}"
