"""Chat completions as nodes answer them: `/v1/chat/completions`, whole and in chunks.

Keys beyond OpenAI's own are those of Ollama, llama.cpp and vLLM. `null` is as good as absent; what
nobody reads is skipped.
"""

from typing import Any, Final, TypeAlias

import msgspec

from herd.dialects import refused
from herd.dialects.errors import GarbledError

Json: TypeAlias = dict[str, Any]


class Function(msgspec.Struct, gc=False):
    """A call, or the next piece of one."""

    name: str | None = None
    arguments: str | Json | None = None
    """JSON, as a text; from some servers (text-generation-inference) an object."""


class ToolCall(msgspec.Struct, gc=False):
    """A call of a tool, or the next piece of one."""

    index: int | None = None
    id: str | None = None
    function: Function | None = None

    @property
    def named(self) -> bool:
        """Whether it says what is called."""
        return self.function is not None and bool(self.function.name)

    @property
    def name(self) -> str:
        """What is called; `GarbledError` if nobody says so."""
        if self.function is None or not self.function.name:
            raise GarbledError("a call of a tool without a name")
        return self.function.name

    @property
    def arguments(self) -> str:
        """What was said of its arguments, as a text."""
        said = None if self.function is None else self.function.arguments
        return msgspec.json.encode(said).decode() if isinstance(said, dict) else said or ""


class Message(msgspec.Struct, gc=False):
    """A message, or the next piece of one."""

    content: str | None = None
    reasoning_content: str | None = None
    """llama.cpp, vLLM."""
    reasoning: str | None = None
    """Ollama."""
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None

    @property
    def thought(self) -> str:
        """What the model thought."""
        return self.reasoning_content or self.reasoning or ""


class Choice(msgspec.Struct, gc=False):
    """One answer of those that were asked for; herd asks for one."""

    message: Message | None = None
    delta: Message | None = None
    finish_reason: str | None = None
    stop_reason: Any = None
    """vLLM: the text that ended it, or a token's number; nothing where the model ended it."""
    matched_stop: Any = None
    """SGLang: the same."""


class Details(msgspec.Struct, gc=False):
    """Of which kinds they were."""

    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


class Tokens(msgspec.Struct, gc=False):
    """How many tokens went in and came out."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: Details | None = None
    completion_tokens_details: Details | None = None


class Timings(msgspec.Struct, gc=False):
    """How long it took, as llama.cpp tells it."""

    prompt_ms: float | None = None
    predicted_ms: float | None = None


class Verbose(msgspec.Struct, gc=False):
    """What llama.cpp adds with `--verbose`."""

    stopping_word: Any = None


class Completion(msgspec.Struct, gc=False):
    """An answer, or a chunk of one."""

    id: str | None = None
    created: float | None = None
    """When, in seconds since 1970."""
    choices: list[Choice] | None = None
    usage: Tokens | None = None
    timings: Timings | None = None
    verbose: Verbose | None = msgspec.field(name="__verbose", default=None)
    error: msgspec.Raw = msgspec.Raw(b"")

    @property
    def stopped_by(self) -> tuple[object, ...]:
        """What ended it, as far as its node says so: texts, or whatever else they put there."""
        word = None if self.verbose is None else self.verbose.stopping_word
        if not self.choices:
            return (word,)
        return word, self.choices[0].stop_reason, self.choices[0].matched_stop


DONE: Final = b"[DONE]"
NO_JSON: Final = "INVALID_JSON"
"""Anthropic's name for arguments that are none: its client shows the model what it wrote."""
_decode = msgspec.json.Decoder(Completion).decode
_decode_arguments = msgspec.json.Decoder(Json).decode
_MALFORMED: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def read(text: bytes) -> Completion:
    """Read an answer or a chunk; `GarbledError` if it is none."""
    try:
        return _decode(text)
    except _MALFORMED as error:
        raise GarbledError("an answer that is no chat completion") from error


def whole(text: bytes) -> tuple[Completion, Message, str | None]:
    """Read an answer in one piece: all of it, what was said, why it ended; or `GarbledError`."""
    answer = read(text)
    if said := refused.error_words(answer.error):
        raise GarbledError(said)
    if not answer.choices or answer.choices[0].message is None:
        raise GarbledError("an answer that is no chat completion")
    return answer, answer.choices[0].message, answer.choices[0].finish_reason


def arguments(text: str) -> Json:
    """Read the arguments of a call; what the model wrote, if that is no object, under one name."""
    try:
        return _decode_arguments(text or "{}")
    except _MALFORMED:
        return {NO_JSON: text}
