"""A request of OpenAI's `/v1/responses` as one of `/v1/chat/completions`. Pure.

Rules
1. What the other API has a word for is kept: instructions, text, images, functions, calls and their
   results, sampling, a JSON schema, the effort of thinking.
2. What changes nothing but price, privacy or later look-ups is dropped: `store`, `include`, tiers,
   caching, thoughts of earlier turns. So is the offer to search the web, which agents always make.
3. What a node could not do and the client would miss is refused, and the parameter is named: what
   OpenAI keeps (`previous_response_id` and the like), tools that it runs, files.
4. System messages at the start become one: some templates of models take no more, and no others.
"""

from typing import Any, Final, Literal, TypeAlias

import msgspec

from herd.dialects.errors import UntranslatableError

Json: TypeAlias = dict[str, Any]


class Part(msgspec.Struct, gc=False):
    """A piece of a message or of a result."""

    type: str
    text: str = ""
    refusal: str = ""
    image_url: str | None = None
    detail: str | None = None


class Item(msgspec.Struct, gc=False):
    """A message, a call of a function, its result, or a thought; which one, says `type`."""

    type: str = "message"
    role: Literal["user", "assistant", "system", "developer"] | None = None
    content: str | list[Part] | None = None
    call_id: str = ""
    name: str = ""
    arguments: str = ""
    """JSON, as a text."""
    output: str | list[Part] = ""


class Tool(msgspec.Struct, gc=False):
    """A tool; with a `type` other than `function` it is one of OpenAI's."""

    type: str
    name: str = ""
    description: str | None = None
    parameters: Json | None = None
    strict: bool | None = None


class Choice(msgspec.Struct, gc=False):
    """The one tool that is to be called."""

    type: str
    name: str = ""


class Format(msgspec.Struct, gc=False):
    """What the text is to be."""

    type: Literal["text", "json_object", "json_schema"] = "text"
    name: str = "answer"
    description: str | None = None
    schema: Json | None = None
    strict: bool | None = None


class _Text(msgspec.Struct, gc=False):
    format: Format | None = None


class _Reasoning(msgspec.Struct, gc=False):
    effort: str | None = None


class Asked(msgspec.Struct, gc=False):
    """A whole request."""

    model: str
    input: str | list[Item]
    instructions: str | None = None
    stream: bool | None = None
    tools: list[Tool] | None = None
    tool_choice: Literal["auto", "none", "required"] | Choice | None = None
    parallel_tool_calls: bool | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_logprobs: int | None = None
    text: _Text | None = None
    reasoning: _Reasoning | None = None
    user: str | None = None
    background: bool | None = None
    previous_response_id: str | None = None
    conversation: str | Json | None = None
    prompt: Json | None = None


_decode = msgspec.json.Decoder(Asked).decode
_STORED: Final = ("previous_response_id", "conversation", "prompt")
_OFFERED: Final = ("web_search", "web_search_preview")
_TEXTS: Final = ("input_text", "output_text", "text")


def translate(body: bytes) -> bytes:
    """Return the body for `/v1/chat/completions`; `UntranslatableError` if there is none."""
    try:
        asked = _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UntranslatableError(str(error)) from error
    _refuse(asked)
    told: Json = {"model": asked.model, "messages": _messages(asked)}
    if asked.stream:
        told |= {"stream": True, "stream_options": {"include_usage": True}}
    told |= _tools(asked)
    told |= _sampling(asked)
    return msgspec.json.encode(told)


def _refuse(asked: Asked) -> None:
    for name in _STORED:
        if getattr(asked, name) is not None:
            text = f"{name} names what is stored at OpenAI: send the whole conversation as input"
            raise UntranslatableError(text)
    if asked.background:
        raise UntranslatableError("background: an answer is not kept, so wait for it")
    if asked.top_logprobs:
        raise UntranslatableError("top_logprobs: use /v1/chat/completions for them")
    if asked.max_output_tokens is not None and asked.max_output_tokens < 1:
        raise UntranslatableError("max_output_tokens must be greater than 0")


def _messages(asked: Asked) -> list[Json]:
    items = asked.input
    if isinstance(items, str):
        items = [Item(role="user", content=items)]
    start = 0
    systems = [asked.instructions] if asked.instructions else []
    while start < len(items) and items[start].role in {"system", "developer"}:
        systems.append(_plain(_parts(items[start].content), f"input[{start}]"))
        start += 1
    messages: list[Json] = []
    if systems:
        messages.append({"role": "system", "content": "\n\n".join(systems)})
    shown: list[Json] = []
    """Images of results: they follow the last of them, since a result is only text."""
    for position, item in enumerate(items[start:], start):
        if shown and item.type != "function_call_output":
            messages.append({"role": "user", "content": shown})
            shown = []
        shown += _say(item, messages, f"input[{position}]")
    if shown:
        messages.append({"role": "user", "content": shown})
    if not messages:
        raise UntranslatableError("input is empty")
    return messages


def _say(item: Item, messages: list[Json], where: str) -> list[Json]:
    """Add what an item says, and return the images that a result cannot hold."""
    match item.type:
        case "message":
            messages.append(_message(item, where))
        case "function_call":
            _call(item, messages)
        case "function_call_output":
            texts, images = _sorted(_parts(item.output), where)
            text = "\n".join(texts)
            messages.append({"role": "tool", "tool_call_id": item.call_id, "content": text})
            return images
        case "reasoning":
            pass
        case _:
            raise UntranslatableError(f"{where}: a node has no items of the type {item.type}")
    return []


def _parts(content: str | list[Part] | None) -> list[Part]:
    if isinstance(content, str):
        return [Part("input_text", content)]
    return content or []


def _message(item: Item, where: str) -> Json:
    if item.role is None:
        raise UntranslatableError(f"{where}: a message without a role")
    role = "system" if item.role == "developer" else item.role
    parts = _parts(item.content)
    if role != "user":
        return {"role": role, "content": _plain(parts, where)}
    texts, images = _sorted(parts, where)
    if not images:  # some templates of models take nothing but plain text
        return {"role": role, "content": "\n".join(texts)}
    content = [
        {"type": "text", "text": part.text} if part.type in _TEXTS else _image(part, where)
        for part in parts
    ]
    return {"role": role, "content": content}


def _call(item: Item, messages: list[Json]) -> None:
    """Say a call in the message that it belongs to: calls at once are one message."""
    function = {"name": item.name, "arguments": item.arguments or "{}"}
    call = {"id": item.call_id, "type": "function", "function": function}
    if messages and messages[-1]["role"] == "assistant":
        messages[-1].setdefault("tool_calls", []).append(call)
    else:
        messages.append({"role": "assistant", "content": "", "tool_calls": [call]})


def _plain(parts: list[Part], where: str) -> str:
    texts, images = _sorted(parts, where)
    if images:
        raise UntranslatableError(f"{where}: only a user shows images")
    return "\n".join(texts)


def _sorted(parts: list[Part], where: str) -> tuple[list[str], list[Json]]:
    """Return the texts and the images."""
    texts: list[str] = []
    images: list[Json] = []
    for part in parts:
        if part.type in _TEXTS:
            texts.append(part.text)
        elif part.type == "refusal":
            texts.append(part.refusal)
        else:
            images.append(_image(part, where))
    return texts, images


def _image(part: Part, where: str) -> Json:
    if part.type != "input_image":
        raise UntranslatableError(f"{where}: a node has no content of the type {part.type}")
    if not part.image_url:
        raise UntranslatableError(f"{where}: an image is sent as image_url, not as file_id")
    image = {"url": part.image_url}
    if part.detail:
        image["detail"] = part.detail
    return {"type": "image_url", "image_url": image}


def _tools(asked: Asked) -> Json:
    tools = [
        _tool(tool, position)
        for position, tool in enumerate(asked.tools or ())
        if tool.type not in _OFFERED
    ]
    choice = asked.tool_choice
    if isinstance(choice, Choice) and choice.type != "function":
        raise UntranslatableError(f"tool_choice: a node has no {choice.type}")
    if not tools:
        return {}
    told: Json = {"tools": tools}
    if isinstance(choice, Choice):
        told["tool_choice"] = {"type": "function", "function": {"name": choice.name}}
    elif choice is not None:
        told["tool_choice"] = choice
    if asked.parallel_tool_calls is not None:
        told["parallel_tool_calls"] = asked.parallel_tool_calls
    return told


def _tool(tool: Tool, position: int) -> Json:
    if tool.type != "function":
        text = f"tools[{position}]: a node has no {tool.type}: only functions of the client's"
        raise UntranslatableError(text)
    schema = tool.parameters or {"type": "object", "properties": {}}
    function: Json = {"name": tool.name, "parameters": schema}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _sampling(asked: Asked) -> Json:
    told: Json = {}
    for name in ("temperature", "top_p", "user"):
        if (value := getattr(asked, name)) is not None:
            told[name] = value
    if asked.max_output_tokens is not None:
        told["max_tokens"] = asked.max_output_tokens
    if asked.reasoning is not None and asked.reasoning.effort is not None:
        told["reasoning_effort"] = asked.reasoning.effort
    if asked.text is not None and asked.text.format is not None:
        told |= _format(asked.text.format)
    return told


def _format(wanted: Format) -> Json:
    if wanted.type == "text":
        return {}
    if wanted.type == "json_object":
        return {"response_format": {"type": "json_object"}}
    if wanted.schema is None:
        raise UntranslatableError("text.format: json_schema without a schema")
    schema: Json = {"name": wanted.name, "schema": wanted.schema}
    if wanted.description is not None:
        schema["description"] = wanted.description
    if wanted.strict is not None:
        schema["strict"] = wanted.strict
    return {"response_format": {"type": "json_schema", "json_schema": schema}}
