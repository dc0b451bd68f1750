"""Requests of Ollama's own routes as those of OpenAI's API. Pure.

Rules
1. What the other API has a word for is kept: texts, images, tools, calls and their results, a
   format, sampling, the length, whether and how much to think, thoughts of earlier turns. Options
   of sampling that only llama.cpp and vLLM have go along: who does not know them ignores them.
2. What says how a node runs a model is dropped: `keep_alive`, `num_ctx`, `num_gpu`, `truncate` and
   the like.
3. What cannot be had is refused, and the parameter is named: `raw`, `template`, `context`,
   `suffix`, `logprobs`, and loading or unloading a model.
"""

from typing import Any, Final, TypeAlias, TypeVar

import msgspec

from herd.dialects import thinking
from herd.dialects.asking import Node, Question
from herd.dialects.errors import UntranslatableError

Json: TypeAlias = dict[str, Any]
T = TypeVar("T")


class Function(msgspec.Struct, gc=False):
    """A call that the model made."""

    name: str
    arguments: Json | None = None


class ToolCall(msgspec.Struct, gc=False):
    """The same, with its id."""

    function: Function
    id: str = ""


class Message(msgspec.Struct, gc=False):
    """One message."""

    role: str
    content: str | None = None
    thinking: str | None = None
    images: list[str] | None = None
    """Each in base64."""
    tool_calls: list[ToolCall] | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None


class Prompted(msgspec.Struct, gc=False):
    """What chat and generate have in common."""

    model: str
    stream: bool | None = None
    format: str | Json | None = None
    options: Json | None = None
    think: bool | str | None = None
    logprobs: bool | None = None


class Chat(Prompted, gc=False):
    """A request of `/api/chat`."""

    messages: list[Message] | None = None
    tools: list[Json] | None = None


class Generate(Prompted, gc=False):
    """A request of `/api/generate`."""

    prompt: str | None = None
    system: str | None = None
    images: list[str] | None = None
    suffix: str | None = None
    template: str | None = None
    context: list[int] | None = None
    raw: bool | None = None


class Embed(msgspec.Struct, gc=False):
    """A request of `/api/embed`."""

    model: str
    input: str | list[str] | None = None
    dimensions: int | None = None


class Embeddings(msgspec.Struct, gc=False):
    """A request of `/api/embeddings`."""

    model: str
    prompt: str | None = None


_decode_chat = msgspec.json.Decoder(Chat)
_decode_generate = msgspec.json.Decoder(Generate)
_decode_embed = msgspec.json.Decoder(Embed)
_decode_embeddings = msgspec.json.Decoder(Embeddings)
_OPTIONS: Final = (
    *("temperature", "top_p", "seed", "stop", "presence_penalty", "frequency_penalty"),
    *("top_k", "min_p", "typical_p", "repeat_penalty", "repeat_last_n"),
    *("mirostat", "mirostat_tau", "mirostat_eta"),
)
_WHOLE: Final = ("seed", "top_k", "repeat_last_n", "mirostat")
"""Whole numbers: an Ollama takes them as `40.0`, too, as some clients write all numbers."""
_LOADS: Final = "this server loads and unloads models by itself"
_UNHAD: Final = {
    "raw": "it is asked for whole messages only",
    "template": "it has the template of the model only",
    "context": "it takes messages, not tokens",
    "suffix": "it does not fill in",
    "logprobs": "use /v1/chat/completions for them",
}
_TYPES: Final = {"/9j/": "jpeg", "R0lGOD": "gif", "UklGR": "webp"}
"""Of images, by how they begin in base64."""


def chat(body: bytes, node: Node) -> Question:
    """Return the body for `/v1/chat/completions`; `UntranslatableError` if there is none."""
    asked = _read(_decode_chat, body)
    if not asked.messages:
        raise UntranslatableError(f"messages is empty: {_LOADS}")
    told = _prompted(asked, _messages(asked.messages, node), node)
    if asked.tools:
        told["tools"] = asked.tools
    return Question(msgspec.json.encode(told))


def generate(body: bytes, node: Node) -> Question:
    """Return the body for `/v1/chat/completions`; `UntranslatableError` if there is none."""
    asked = _read(_decode_generate, body)
    if not asked.prompt and not asked.images:
        raise UntranslatableError(f"prompt is empty: {_LOADS}")
    messages = [Message("user", asked.prompt, images=asked.images)]
    if asked.system:
        messages.insert(0, Message("system", asked.system))
    return Question(msgspec.json.encode(_prompted(asked, _messages(messages, node), node)))


def embed(body: bytes, node: Node) -> Question:
    """Return the body for `/v1/embeddings`; `UntranslatableError` if there is none."""
    del node
    asked = _read(_decode_embed, body)
    return _embedded(asked.model, "input", asked.input, asked.dimensions)


def embeddings(body: bytes, node: Node) -> Question:
    """Return the body for `/v1/embeddings`; `UntranslatableError` if there is none."""
    del node
    asked = _read(_decode_embeddings, body)
    return _embedded(asked.model, "prompt", asked.prompt, None)


def _read(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UntranslatableError(str(error)) from error


def _embedded(model: str, name: str, text: str | list[str] | None, size: int | None) -> Question:
    if not text:
        raise UntranslatableError(f"{name} is empty: {_LOADS}")
    told: Json = {"model": model, "input": text, "encoding_format": "float"}
    if size:
        told["dimensions"] = size
    return Question(msgspec.json.encode(told))


def _prompted(asked: Prompted, messages: list[Json], node: Node) -> Json:
    for name, why in _UNHAD.items():
        if getattr(asked, name, None):
            raise UntranslatableError(f"{name} cannot be had from this server: {why}")
    told: Json = {"model": asked.model, "messages": messages}
    if asked.stream is not False:
        told |= {"stream": True, "stream_options": {"include_usage": True}}
    told |= _options(asked.options or {})
    think = asked.think
    wish = thinking.of_effort(think) if isinstance(think, str) else thinking.Wish(on=think)
    told |= thinking.asked(wish, asked.model, node)
    if isinstance(asked.format, dict):
        schema = {"name": "answer", "schema": asked.format, "strict": True}
        told["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif asked.format == "json":
        told["response_format"] = {"type": "json_object"}
    elif asked.format:
        raise UntranslatableError('format is "json" or a JSON schema')
    return told


def _options(options: Json) -> Json:
    told = {name: options[name] for name in _OPTIONS if options.get(name) is not None}
    top_k = told.get("top_k")
    if isinstance(top_k, int) and top_k < 0:  # off, as 0 is; MLX takes no number below it
        told["top_k"] = 0
    if "repeat_penalty" in told:  # llama.cpp's name of it, and that of vLLM and MLX
        told["repetition_penalty"] = told["repeat_penalty"]
    told |= {name: int(told[name]) for name in _WHOLE if isinstance(told.get(name), float)}
    length = options.get("num_predict")
    if length is not None and (isinstance(length, bool) or not isinstance(length, int | float)):
        raise UntranslatableError('option "num_predict" must be of type integer')
    if length is not None and length > 0:  # else until the model ends it
        told["max_tokens"] = int(length)
    return told


def _messages(messages: list[Message], node: Node) -> list[Json]:
    told: list[Json] = []
    open_calls: list[tuple[str, str]] = []
    """Id and name of the calls that have no result yet."""
    calls = 0
    for message in messages:
        said: Json = {"role": message.role, "content": _content(message)}
        said |= thinking.remembered(message.thinking or "", node)
        if message.tool_calls:
            said_calls: list[Json] = []
            for call in message.tool_calls:
                calls += 1
                ident = call.id or f"call_{calls}"
                open_calls.append((ident, call.function.name))
                arguments = msgspec.json.encode(call.function.arguments or {}).decode()
                function = {"name": call.function.name, "arguments": arguments}
                said_calls.append({"id": ident, "type": "function", "function": function})
            said["tool_calls"] = said_calls
        if message.role == "tool":
            said["tool_call_id"] = _answered(message, open_calls)
        told.append(said)
    return told


def _answered(message: Message, open_calls: list[tuple[str, str]]) -> str:
    """Return the id of the call that a result belongs to, and take it from the open ones."""
    ident, name = message.tool_call_id, message.tool_name
    for call in open_calls:
        if ident == call[0] or (not ident and name in {None, "", call[1]}):
            open_calls.remove(call)
            return call[0]
    return ident or name or "call_0"


def _content(message: Message) -> str | list[Json]:
    text = message.content or ""
    if not message.images:
        return text
    parts: list[Json] = [{"type": "text", "text": text}] if text else []
    for image in message.images:
        url = f"data:image/{_type(image)};base64,{image}"
        parts.append({"type": "image_url", "image_url": {"url": url}})
    return parts


def _type(image: str) -> str:
    return next((name for start, name in _TYPES.items() if image.startswith(start)), "png")
