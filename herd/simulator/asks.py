"""Bodies in: what a client asks of a simulated node, in Ollama's own API and in OpenAI's.

- Types are checked as Go's decoder does, and refused in its words as far as they can be told.
- Names of fields are matched in any case if `model` was not found as it is written: Go does so.
- What has no meaning for a machine without a model (sampling) is taken and ignored.
"""

import re
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

import msgspec

from herd.simulator.calls import Call, Schema, schema_of, wanted
from herd.simulator.thinking import Effort, TemplateWords, Think, told

Family: TypeAlias = Literal["ollama", "openai", "anthropic"]

_DURATION = re.compile(r"[+-]?((\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h))+")
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}
_WRONG_TYPE = re.compile(r"Expected `([^`]+)`, got `([^`]+)`(?: - at `\$\.?([^`]*)`)?")
_GO_TYPES = {"int": "number", "float": "number", "str": "string"}
_BYTE = re.compile(r"\(byte (\d+)\)")

CHARACTERS_PER_TOKEN = 4
TEMPLATE_TOKENS = 10
"""What a chat template puts around the messages."""
IMAGE_TOKENS = 256
"""What an image counts for, whatever its size."""


class AskError(Exception):
    """A request that is refused at once."""

    def __init__(self, status: int, text: str) -> None:
        """Say what the client is told."""
        super().__init__(text)
        self.status = status
        self.text = text


class Ask(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is asked, whatever the API."""

    model: str
    """As the client spelled it."""
    text: str = ""
    """All of the prompt: its length and its hash are what counts here."""
    messages: tuple[str, ...] = ()
    """What the prompt is made of: a node's cache may know how it begins."""
    inputs: tuple[str, ...] = ()
    """Of an embedding: one vector each."""
    images: int = 0
    template_tokens: int = 0
    most_tokens: int = 0
    """The longest answer wanted; 0: not said."""
    tokens: int = 0
    """What the answer shall have by itself, unknown to whoever passes it on: `simulated_tokens`."""
    stream: bool = False
    usage: bool = False
    """A stream shall end with a chunk of usage."""
    num_ctx: int | None = None
    keep_alive_s: float | None = None
    truncate: bool = True
    think: Think = None
    must_think: bool = False
    """A model that cannot is an error."""
    tools: bool = False
    call: Call | None = None
    """The answer is this call, in place of words."""
    json: bool = False
    schema: Schema | None = None
    """The answer is an object that fits it, in place of words."""
    said: bytes = b""
    """The body, where an answer repeats some of it."""
    base64: bool = False
    dimensions: int = 0

    @property
    def prompt_tokens(self) -> int:
        """Count tokens as this node does: by the length of the text. 0 only without a text."""
        if not self.text:
            return 0
        written = self.template_tokens + max(1, len(self.text) // CHARACTERS_PER_TOKEN)
        return written + IMAGE_TOKENS * self.images


# Bodies, as their APIs write them. Lists of unknown things are kept as they are.


class _Options(msgspec.Struct, gc=False):
    num_ctx: int | None = None
    num_predict: int | None = None
    simulated_tokens: int = 0


class _Message(msgspec.Struct, gc=False):
    role: str = ""
    content: str = ""
    images: list[str] | None = None


class _Native(msgspec.Struct, gc=False):
    model: str = ""
    stream: bool | None = None
    keep_alive: int | float | str | None = None
    options: _Options | None = None
    truncate: bool | None = None
    think: bool | str | None = None
    format: msgspec.Raw = msgspec.Raw(b"null")


class ChatRequest(_Native, gc=False):
    """`POST /api/chat`."""

    messages: list[_Message] | None = None
    tools: list[msgspec.Raw] | None = None


class GenerateRequest(_Native, gc=False):
    """`POST /api/generate`."""

    prompt: str = ""
    system: str = ""
    suffix: str = ""
    images: list[str] | None = None


class EmbedRequest(_Native, gc=False):
    """`POST /api/embed`, and `/api/embeddings` with `prompt`."""

    input: str | list[str] | None = None
    prompt: str = ""
    dimensions: int | None = None


class _Part(msgspec.Struct, gc=False):
    type: str = ""
    text: str = ""


class _OpenAIMessage(msgspec.Struct, gc=False):
    role: str = ""
    content: str | list[_Part] | None = None


class _StreamOptions(msgspec.Struct, gc=False):
    include_usage: bool = False


class _JsonSchema(msgspec.Struct, gc=False):
    schema: dict[str, Any] | None = None


class _Format(msgspec.Struct, gc=False):
    type: str = ""
    json_schema: _JsonSchema | None = None


class _OpenAI(msgspec.Struct, gc=False):
    model: str = ""
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: Annotated[int, msgspec.Meta(ge=0)] | None = None


class ChatCompletionRequest(_OpenAI, gc=False):
    """`POST /v1/chat/completions`."""

    messages: list[_OpenAIMessage] | None = None
    max_completion_tokens: Annotated[int, msgspec.Meta(ge=0)] | None = None
    tools: list[msgspec.Raw] | None = None
    response_format: _Format | None = None
    reasoning: Effort | None = None
    reasoning_effort: str | None = None
    chat_template_kwargs: TemplateWords | None = None


class CompletionRequest(_OpenAI, gc=False):
    """`POST /v1/completions`."""

    prompt: str | list[str] = ""


class EmbeddingRequest(msgspec.Struct, gc=False):
    """`POST /v1/embeddings`."""

    model: str = ""
    input: str | list[str] | None = None
    encoding_format: str = ""
    dimensions: int | None = None


class ShowRequest(msgspec.Struct, gc=False):
    """`POST /api/show`."""

    model: str = ""
    name: str = ""


T = TypeVar("T")


def decode(body: bytes, kind: type[T]) -> T:
    """Read a body; `AskError` 400 says what is wrong with it."""
    if not body.strip():
        raise AskError(400, "missing request body")
    try:
        return _decode(body, kind)
    except UnicodeDecodeError:  # as Go does: what is no UTF-8 becomes U+FFFD
        return _decode(body.decode("utf-8", "replace").encode(), kind)


def _decode(body: bytes, kind: type[T]) -> T:
    try:
        found = msgspec.json.decode(body, type=kind)
        if not getattr(found, "model", ""):
            fields = msgspec.json.decode(body, type=dict[str, object])
            found = msgspec.convert({key.lower(): fields[key] for key in fields}, kind)
    except msgspec.ValidationError as error:
        raise AskError(400, _unmarshal_error(str(error), kind.__name__)) from error
    except msgspec.DecodeError as error:
        raise AskError(400, _syntax_error(str(error), body)) from error
    return found


def _unmarshal_error(text: str, struct: str) -> str:
    found = _WRONG_TYPE.match(text)
    if found is None:
        return f"json: {text}"
    wanted, got, path = found.groups()
    goes = f"Go value of type api.{struct}" if not path else f"Go struct field {struct}.{path}"
    got = _GO_TYPES.get(got, got)
    return f"json: cannot unmarshal {got} into {goes} of type {wanted.replace('str', 'string')}"


def _syntax_error(text: str, body: bytes) -> str:
    at = _BYTE.search(text)
    if at is None or int(at.group(1)) >= len(body):
        return "unexpected EOF"
    character = chr(body[int(at.group(1))])
    return f"invalid character '{character}' looking for beginning of value ({text})"


def duration_s(value: float | str | None) -> float | None:
    """Read a keep_alive: a number of seconds, or a Go duration; negative means for ever."""
    if value is None or isinstance(value, int | float):
        return value
    if value == "0":
        return 0.0
    if not _DURATION.fullmatch(value):
        missing = "missing unit in" if re.fullmatch(r"[+-]?\d+\.?\d*", value) else "invalid"
        raise AskError(400, f'time: {missing} duration "{value}"')
    total = sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(value))
    return -total if value.startswith("-") else total


# One function a route.


def chat(body: bytes) -> Ask:
    """Read `POST /api/chat`."""
    asked = decode(body, ChatRequest)
    if not asked.model:
        raise AskError(400, "model is required")
    messages = asked.messages or []
    parts = tuple(message.content for message in messages)
    text = "\n".join(parts) or " " * bool(parts)
    found = _native(asked, text, parts)
    images = sum(len(message.images or ()) for message in messages)
    call = _call(asked.tools, messages[-1].role, parts[-1]) if messages else None
    return msgspec.structs.replace(found, images=images, tools=bool(asked.tools), call=call)


def generate(body: bytes) -> Ask:
    """Read `POST /api/generate`."""
    asked = decode(body, GenerateRequest)
    text = asked.system + asked.prompt + asked.suffix if asked.prompt else ""
    found = _native(asked, text)
    return msgspec.structs.replace(found, images=len(asked.images or ()))


def _call(tools: list[msgspec.Raw] | None, role: str, text: str) -> Call | None:
    """Return what the last message leads to: the result of a tool leads to words."""
    return wanted(tools, text) if tools and role == "user" else None


def _native(asked: _Native, text: str, parts: tuple[str, ...] = ()) -> Ask:
    options = asked.options or _Options()
    return Ask(
        model=asked.model,
        text=text,
        messages=parts,
        template_tokens=TEMPLATE_TOKENS,
        most_tokens=max(0, options.num_predict or 0),
        tokens=max(0, options.simulated_tokens),
        stream=asked.stream is not False,
        num_ctx=options.num_ctx,
        keep_alive_s=duration_s(asked.keep_alive),
        truncate=asked.truncate is not False,
        think=asked.think,
        must_think=bool(asked.think),
        json=bytes(asked.format) not in {b"null", b'""'},
        schema=schema_of(asked.format),
    )


def embed(body: bytes) -> Ask:
    """Read `POST /api/embed`: empty inputs only load the model."""
    asked = decode(body, EmbedRequest)
    inputs = (asked.input,) if isinstance(asked.input, str) else tuple(asked.input or ())
    return _embedding(asked, tuple(text for text in inputs if text) and inputs)


def embeddings(body: bytes) -> Ask:
    """Read `POST /api/embeddings`."""
    asked = decode(body, EmbedRequest)
    return _embedding(asked, (asked.prompt,) if asked.prompt else ())


def _embedding(asked: EmbedRequest, inputs: tuple[str, ...]) -> Ask:
    return Ask(
        model=asked.model,
        text="".join(inputs),
        inputs=inputs,
        num_ctx=(asked.options or _Options()).num_ctx,
        keep_alive_s=duration_s(asked.keep_alive),
        truncate=asked.truncate is not False,
        dimensions=max(0, asked.dimensions or 0),
    )


def chat_completion(body: bytes) -> Ask:
    """Read `POST /v1/chat/completions`."""
    asked = decode(body, ChatCompletionRequest)
    if not asked.messages:
        raise AskError(400, "[] is too short - 'messages'")
    if not asked.model:
        raise AskError(400, "model is required")
    wants = asked.response_format or _Format()
    think = told(asked.reasoning_effort, asked.reasoning, asked.chat_template_kwargs)
    parts = tuple(_content(message) for message in asked.messages)
    return Ask(
        model=asked.model,
        text="\n".join(parts) or " ",
        messages=parts,
        images=sum(_images(message) for message in asked.messages),
        template_tokens=TEMPLATE_TOKENS,
        most_tokens=asked.max_completion_tokens or asked.max_tokens or 0,
        stream=bool(asked.stream),
        usage=asked.stream_options is not None and asked.stream_options.include_usage,
        think=think,
        must_think=isinstance(think, str),
        tools=bool(asked.tools),
        call=_call(asked.tools, asked.messages[-1].role, parts[-1]),
        json=wants.type in {"json_object", "json_schema"},
        schema=wants.json_schema.schema if wants.json_schema is not None else None,
    )


def _content(message: _OpenAIMessage) -> str:
    if isinstance(message.content, list):
        return "\n".join(part.text for part in message.content)
    return message.content or ""


def _images(message: _OpenAIMessage) -> int:
    parts = message.content if isinstance(message.content, list) else []
    return len([part for part in parts if part.type == "image_url"])


def completion(body: bytes) -> Ask:
    """Read `POST /v1/completions`."""
    asked = decode(body, CompletionRequest)
    prompt = asked.prompt if isinstance(asked.prompt, str) else "\n".join(asked.prompt)
    return Ask(
        model=asked.model,
        text=prompt or " ",
        most_tokens=asked.max_tokens or 0,
        stream=bool(asked.stream),
        usage=asked.stream_options is not None and asked.stream_options.include_usage,
    )


def openai_embedding(body: bytes) -> Ask:
    """Read `POST /v1/embeddings`."""
    asked = decode(body, EmbeddingRequest)
    inputs = (asked.input,) if isinstance(asked.input, str) else tuple(asked.input or ())
    if not any(inputs):
        raise AskError(400, "invalid input")
    if asked.encoding_format not in {"", "float", "base64"}:
        raise AskError(400, "invalid encoding_format: must be 'float' or 'base64'")
    return Ask(
        model=asked.model,
        text="".join(inputs),
        inputs=inputs,
        base64=asked.encoding_format == "base64",
        dimensions=max(0, asked.dimensions or 0),
    )
