"""A request of Anthropic's `/v1/messages` as one of `/v1/chat/completions`. Pure.

Rules
1. What the other API has a word for is kept: system, text, images, tools, calls and their results,
   stop sequences, sampling, a JSON schema.
2. What changes nothing but price or privacy is dropped: caching, tiers, thoughts of earlier turns.
3. What a node could not do and the client would miss is refused: tools that Anthropic runs, files.
4. `max_tokens` is required, as Anthropic has it.
"""

from typing import Any, Final, Literal, TypeAlias

import msgspec

from herd.dialects.errors import UntranslatableError

Json: TypeAlias = dict[str, Any]


class Base64(msgspec.Struct, tag_field="type", tag="base64", gc=False):
    """An image in the body."""

    media_type: str
    data: str


class Url(msgspec.Struct, tag_field="type", tag="url", gc=False):
    """An image elsewhere; whether it is fetched is the node's decision."""

    url: str


class Text(msgspec.Struct, tag_field="type", tag="text", gc=False):
    """A text."""

    text: str


class Image(msgspec.Struct, tag_field="type", tag="image", gc=False):
    """An image."""

    source: Base64 | Url


class ToolUse(msgspec.Struct, tag_field="type", tag="tool_use", gc=False):
    """A call that the model made."""

    id: str
    name: str
    input: Json = {}


class ToolResult(msgspec.Struct, tag_field="type", tag="tool_result", gc=False):
    """What a call gave."""

    tool_use_id: str
    content: str | list[Text | Image] = ""
    is_error: bool = False


class Thinking(msgspec.Struct, tag_field="type", tag="thinking", gc=False):
    """A thought of an earlier turn."""


class RedactedThinking(msgspec.Struct, tag_field="type", tag="redacted_thinking", gc=False):
    """A thought of an earlier turn that only Anthropic can read."""


Block: TypeAlias = Text | Image | ToolUse | ToolResult | Thinking | RedactedThinking


class Turn(msgspec.Struct, gc=False):
    """One message."""

    role: Literal["user", "assistant", "system"]
    content: str | list[Block]


class Tool(msgspec.Struct, gc=False):
    """A tool of the client's; with a `type` of another name it is one of Anthropic's."""

    name: str
    type: str | None = None
    description: str | None = None
    input_schema: Json | None = None


class Choice(msgspec.Struct, gc=False):
    """Which tool, if any."""

    type: Literal["auto", "any", "none", "tool"]
    name: str | None = None
    disable_parallel_tool_use: bool = False


class _Format(msgspec.Struct, gc=False):
    type: Literal["json_schema"]
    schema: Json


class _Output(msgspec.Struct, gc=False):
    format: _Format | None = None


class _Metadata(msgspec.Struct, gc=False):
    user_id: str | None = None


class Conversation(msgspec.Struct, gc=False):
    """What is said, and what tools there are: all that costs tokens."""

    model: str
    messages: list[Turn]
    system: str | list[Text] | None = None
    tools: list[Tool] | None = None


class Asked(Conversation, kw_only=True, gc=False):
    """A whole request."""

    max_tokens: int
    stream: bool | None = None
    tool_choice: Choice | None = None
    stop_sequences: list[str] | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    metadata: _Metadata | None = None
    output_config: _Output | None = None


_decode = msgspec.json.Decoder(Asked).decode
_decode_conversation = msgspec.json.Decoder(Conversation).decode
_CHOICES: Final = {"auto": "auto", "any": "required", "none": "none"}
_IMAGE_CHARS: Final = 6_000
_TURN_CHARS: Final = 16
_CHARS_A_TOKEN: Final = 4


def translate(body: bytes) -> bytes:
    """Return the body for `/v1/chat/completions`; `UntranslatableError` if there is none."""
    try:
        asked = _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UntranslatableError(str(error)) from error
    if asked.max_tokens < 1:
        raise UntranslatableError("max_tokens must be greater than 0")
    messages = [message for turn in asked.messages for message in _turn(turn)]
    if system := _system(asked.system):
        messages.insert(0, {"role": "system", "content": system})
    told: Json = {"model": asked.model, "messages": messages, "max_tokens": asked.max_tokens}
    if asked.stream:
        told |= {"stream": True, "stream_options": {"include_usage": True}}
    told |= _tools(asked)
    told |= _sampling(asked)
    return msgspec.json.encode(told)


def estimate_tokens(body: bytes) -> tuple[str, int]:
    """Return the model, and about how many tokens the conversation is.

    Four bytes of text are taken for a token, and an image for 1,500; the node's own tokenizer may
    count a fifth more or less, and for source code or rare languages more than that.
    """
    try:
        asked = _decode_conversation(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UntranslatableError(str(error)) from error
    size = len(_system(asked.system).encode())
    for turn in asked.messages:
        size += _TURN_CHARS
        for block in _blocks(turn.content):
            size += _size(block)
    for tool in asked.tools or ():
        size += _TURN_CHARS + len(msgspec.json.encode(tool))
    return asked.model, -(-size // _CHARS_A_TOKEN)


def _size(block: Block) -> int:
    match block:
        case Text(text=text):
            return len(text.encode())
        case Image():
            return _IMAGE_CHARS
        case ToolUse():
            return len(block.name) + len(msgspec.json.encode(block.input))
        case ToolResult():
            return sum(_size(each) for each in _parts(block.content))
        case _:
            return 0


def _system(system: str | list[Text] | None) -> str:
    if system is None or isinstance(system, str):
        return system or ""
    return "\n".join(block.text for block in system)


def _blocks(content: str | list[Block]) -> list[Block]:
    return [Text(content)] if isinstance(content, str) else content


def _parts(content: str | list[Text | Image]) -> list[Text | Image]:
    return [Text(content)] if isinstance(content, str) else content


def _turn(turn: Turn) -> list[Json]:
    """Return the messages of a turn: the results of calls come first, as OpenAI wants them."""
    blocks = _blocks(turn.content)
    if turn.role == "assistant":
        return [_said(blocks)]
    messages: list[Json] = []
    shown: list[Text | Image] = []
    for block in blocks:
        match block:
            case ToolResult():
                messages.append(_result(block))
                if not isinstance(block.content, str):
                    shown += [each for each in block.content if isinstance(each, Image)]
            case Text() | Image():
                shown.append(block)
            case _:
                raise UntranslatableError(f"a message of a {turn.role} holds no calls or thoughts")
    if shown or not messages:
        messages.append({"role": turn.role, "content": _content(shown)})
    return messages


def _said(blocks: list[Block]) -> Json:
    texts: list[str] = []
    calls: list[Json] = []
    for block in blocks:
        match block:
            case Text(text=text):
                texts.append(text)
            case ToolUse():
                function = {"name": block.name, "arguments": _compact(block.input)}
                calls.append({"id": block.id, "type": "function", "function": function})
            case Thinking() | RedactedThinking():
                continue
            case _:
                raise UntranslatableError("a message of an assistant holds no images or results")
    message: Json = {"role": "assistant", "content": "\n".join(texts)}
    if calls:
        message["tool_calls"] = calls
    return message


def _result(result: ToolResult) -> Json:
    texts = [each.text for each in _parts(result.content) if isinstance(each, Text)]
    text = "\n".join(texts)
    if result.is_error:
        text = f"Error: {text}"
    return {"role": "tool", "tool_call_id": result.tool_use_id, "content": text}


def _content(shown: list[Text | Image]) -> str | list[Json]:
    """Return plain text where it is only that: some templates of models take nothing else."""
    texts = [each.text for each in shown if isinstance(each, Text)]
    if len(texts) == len(shown):
        return "\n".join(texts)
    return [
        {"type": "text", "text": each.text}
        if isinstance(each, Text)
        else {"type": "image_url", "image_url": {"url": _address(each)}}
        for each in shown
    ]


def _address(image: Image) -> str:
    source = image.source
    if isinstance(source, Url):
        return source.url
    return f"data:{source.media_type};base64,{source.data}"


def _tools(asked: Asked) -> Json:
    told: Json = {}
    if asked.tools:
        told["tools"] = [_tool(tool) for tool in asked.tools]
    choice = asked.tool_choice
    if choice is not None and asked.tools:
        named = {"type": "function", "function": {"name": choice.name or ""}}
        told["tool_choice"] = _CHOICES.get(choice.type, named)
        if choice.disable_parallel_tool_use:
            told["parallel_tool_calls"] = False
    return told


def _tool(tool: Tool) -> Json:
    if tool.type not in {None, "custom"}:
        text = f"the tool {tool.name} ({tool.type}) runs at Anthropic: nodes do not have it"
        raise UntranslatableError(text)
    schema = tool.input_schema or {"type": "object", "properties": {}}
    function: Json = {"name": tool.name, "parameters": schema}
    if tool.description is not None:
        function["description"] = tool.description
    return {"type": "function", "function": function}


def _sampling(asked: Asked) -> Json:
    told: Json = {}
    for name in ("temperature", "top_p", "top_k"):
        if (value := getattr(asked, name)) is not None:
            told[name] = value
    if asked.stop_sequences:
        told["stop"] = asked.stop_sequences
    if asked.metadata is not None and asked.metadata.user_id:
        told["user"] = asked.metadata.user_id
    if asked.output_config is not None and asked.output_config.format is not None:
        schema = {"name": "answer", "schema": asked.output_config.format.schema, "strict": True}
        told["response_format"] = {"type": "json_schema", "json_schema": schema}
    return told


def _compact(value: Json) -> str:
    return msgspec.json.encode(value).decode()
