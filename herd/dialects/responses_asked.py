"""A request of OpenAI's `/v1/responses` as one of `/v1/chat/completions`. Pure.

Rules
1. What the other API has a word for is kept: instructions, text, images, functions, calls and their
   results, sampling, a JSON schema, the effort of thinking, thoughts that can be read. Other tools
   that the client runs become functions (`responses_tools`).
2. What changes nothing but price, privacy or later look-ups is dropped: `store`, `include`, tiers,
   caching, thoughts that only OpenAI can read. Offers that agents always make are left out by name.
3. What a node could not do and the client would miss is refused, and the parameter is named: what
   OpenAI keeps (`previous_response_id` and the like), tools that it runs, files.
4. System messages at the start become one: some templates of models take no more, and no others.
"""

from typing import Any, Final, Literal, TypeAlias

import msgspec

from herd.dialects import responses_tools, thinking
from herd.dialects.asking import Node, Question
from herd.dialects.errors import UntranslatableError
from herd.dialects.responses_tools import Tool

Json: TypeAlias = dict[str, Any]


class Part(msgspec.Struct, gc=False):
    """A piece of a message or of a result."""

    type: str
    text: str = ""
    refusal: str = ""
    image_url: str | None = None
    detail: str | None = None


class Item(msgspec.Struct, gc=False):
    """A message, a call of a tool, its result, or a thought; which one, says `type`."""

    type: str = "message"
    role: Literal["user", "assistant", "system", "developer"] | None = None
    content: str | list[Part] | None = None
    id: str | None = None
    call_id: str | None = None
    name: str = ""
    namespace: str | None = None
    arguments: str = ""
    """JSON, as a text."""
    input: str = ""
    """Of a custom tool."""
    action: Json | None = None
    """Of a shell."""
    output: str | list[Part] = ""
    summary: list[Part] | None = None
    """Of a thought."""

    @property
    def call(self) -> str:
        """The id of the call; an old shell has no other."""
        return self.call_id or self.id or ""


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
_TEXTS: Final = ("input_text", "output_text", "text", "summary_text", "reasoning_text")
_RESULTS: Final = ("function_call_output", "custom_tool_call_output", "local_shell_call_output")


def translate(body: bytes, node: Node) -> Question:
    """Return the body for `/v1/chat/completions`; `UntranslatableError` if there is none."""
    try:
        asked = _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UntranslatableError(str(error)) from error
    _refuse(asked)
    told: Json = {"model": asked.model, "messages": _messages(asked, node)}
    if asked.stream:
        told |= {"stream": True, "stream_options": {"include_usage": True}}
    tools, left_out = responses_tools.functions(asked.tools or [])
    told |= _tools(asked, tools)
    told |= _sampling(asked)
    effort = None if asked.reasoning is None else asked.reasoning.effort
    told |= thinking.asked(thinking.of_effort(effort), asked.model, node)
    return Question(msgspec.json.encode(told), tuple(left_out))


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


def _messages(asked: Asked, node: Node) -> list[Json]:
    items = asked.input
    if isinstance(items, str):
        items = [Item(role="user", content=items)]
    start = 0
    systems = [asked.instructions] if asked.instructions else []
    while start < len(items) and items[start].role in {"system", "developer"}:
        systems.append(_plain(_parts(items[start].content), f"input[{start}]"))
        start += 1
    talk = _Talk(node)
    if systems:
        talk.messages.append({"role": "system", "content": "\n\n".join(systems)})
    for position, item in enumerate(items[start:], start):
        talk.say(item, f"input[{position}]")
    talk.show()
    if not talk.messages:
        raise UntranslatableError("input is empty")
    return talk.messages


class _Talk:
    """The messages so far."""

    def __init__(self, node: Node) -> None:
        self.messages: list[Json] = []
        self._node = node
        self._images: list[Json] = []
        """Of results: they follow the last of them, since a result is only text."""
        self._thought = ""
        """It belongs to what the model says or calls next."""

    def say(self, item: Item, where: str) -> None:
        """Add what an item says."""
        if item.type not in _RESULTS:
            self.show()
        match item.type:
            case "message":
                message = _message(item, where)
                self.messages.append(message)
                self._remember(message)
            case "function_call":
                name = responses_tools.full_name(item.name, item.namespace or "")
                self._call(item, name, item.arguments or "{}")
            case "custom_tool_call":
                name = responses_tools.full_name(item.name, item.namespace or "")
                self._call(item, name, responses_tools.arguments_of(item.input))
            case "local_shell_call":
                arguments = responses_tools.command_of(item.action or {})
                self._call(item, responses_tools.SHELL, arguments)
            case "function_call_output" | "custom_tool_call_output" | "local_shell_call_output":
                texts, images = _sorted(_parts(item.output), where)
                text = "\n".join(texts)
                self.messages.append({"role": "tool", "tool_call_id": item.call, "content": text})
                self._images += images
            case "reasoning":
                self._thought = _plain([*(_parts(item.content) or item.summary or ())], where)
            case _:
                raise UntranslatableError(f"{where}: a node has no items of the type {item.type}")

    def show(self) -> None:
        """Add the images that wait."""
        if self._images:
            self.messages.append({"role": "user", "content": self._images})
            self._images = []

    def _call(self, item: Item, name: str, arguments: str) -> None:
        """Say a call in the message that it belongs to: calls at once are one message."""
        function = {"name": name, "arguments": arguments}
        call = {"id": item.call, "type": "function", "function": function}
        if not self.messages or self.messages[-1]["role"] != "assistant":
            self.messages.append({"role": "assistant", "content": ""})
        self.messages[-1].setdefault("tool_calls", []).append(call)
        self._remember(self.messages[-1])

    def _remember(self, message: Json) -> None:
        if message["role"] == "assistant":
            for name, thought in thinking.remembered(self._thought, self._node).items():
                message[name] = f"{message[name]}\n{thought}" if name in message else thought
        self._thought = ""


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


def _tools(asked: Asked, tools: list[Json]) -> Json:
    choice = asked.tool_choice
    if isinstance(choice, Choice) and choice.type not in {"function", "custom"}:
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


def _sampling(asked: Asked) -> Json:
    told: Json = {}
    for name in ("temperature", "top_p", "user"):
        if (value := getattr(asked, name)) is not None:
            told[name] = value
    if asked.max_output_tokens is not None:
        told["max_tokens"] = asked.max_output_tokens
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
