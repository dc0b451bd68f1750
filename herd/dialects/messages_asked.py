"""A request of Anthropic's `/v1/messages` as one of `/v1/chat/completions`. Pure.

Rules
1. What the other API has a word for is kept: system, text, images, documents that are texts, tools,
   calls and their results, thoughts, how much to think, stop sequences, sampling, a JSON schema.
2. What changes nothing but price, speed or privacy is dropped: caching, tiers, signatures.
3. What only Anthropic can read or do, and an answer is had without, is left out and named:
   `context_management`.
4. What a node could not do and the client would miss is refused: tools that Anthropic runs,
   `mcp_servers`, containers, files.
5. `max_tokens` is required, as Anthropic has it.
6. Claude Code begins its system prompt with a block that differs in each request. No prompt cache
   would survive it, so it is dropped, as llama.cpp and vLLM do on their own route.
"""

from typing import Any, Final, TypeAlias

import msgspec

from herd.dialects import messages_body, messages_tools, thinking
from herd.dialects.asking import Node, Question
from herd.dialects.errors import UntranslatableError
from herd.dialects.messages_body import (
    Asked,
    Block,
    Document,
    Image,
    Parts,
    Plain,
    RedactedThinking,
    SearchResult,
    Shown,
    Text,
    Thinking,
    ToolReference,
    ToolResult,
    ToolUse,
    Turn,
    Url,
)

Json: TypeAlias = dict[str, Any]

_BILLING: Final = "x-anthropic-billing-header:"
_IMAGE_CHARS: Final = 6_000
_TURN_CHARS: Final = 16
_CHARS_A_TOKEN: Final = 4


def translate(body: bytes, node: Node) -> Question:
    """Return the body for `/v1/chat/completions`; `UntranslatableError` if there is none."""
    asked = messages_body.read(body)
    _refuse(asked)
    messages = [message for turn in asked.messages for message in _turn(turn, node)]
    if system := _system(asked.system):
        messages.insert(0, {"role": "system", "content": system})
    told: Json = {"model": asked.model, "messages": messages, "max_tokens": asked.max_tokens}
    if asked.stream:
        told |= {"stream": True, "stream_options": {"include_usage": True}}
    told |= messages_tools.functions(asked)
    told |= _sampling(asked)
    told |= thinking.asked(_wish(asked), asked.model, node)
    left_out = () if asked.context_management is None else ("context_management",)
    return Question(msgspec.json.encode(told), left_out)


def estimate_tokens(body: bytes) -> tuple[str, int]:
    """Return the model, and about how many tokens the conversation is.

    Four bytes of text are taken for a token, and an image for 1,500; the node's own tokenizer may
    count a fifth more or less, and for source code or rare languages more than that.
    """
    asked = messages_body.read_conversation(body)
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
            return len(block.name) + len(msgspec.json.encode(block.input or {}))
        case ToolResult():
            return sum(_size(each) for each in _parts(block.content))
        case Document() | SearchResult() | ToolReference():
            return len(msgspec.json.encode(block))
        case _:
            return 0


def _refuse(asked: Asked) -> None:
    if asked.max_tokens < 1:
        raise UntranslatableError("max_tokens must be greater than 0")
    if asked.mcp_servers:
        text = "mcp_servers: a node calls no servers; call them, and give what they have as tools"
        raise UntranslatableError(text)
    if asked.container is not None:
        raise UntranslatableError("container: it is Anthropic's, and nodes do not have it")


def _wish(asked: Asked) -> thinking.Wish:
    """Return how much to think: where a model is not able to, it answers without."""
    wanted, output = asked.thinking, asked.output_config
    level = (output.effort or "") if output is not None else ""
    if wanted is None or wanted.type == "adaptive":  # the model decides
        return thinking.Wish(level=level)
    if wanted.type == "disabled":
        return thinking.Wish(on=False)
    return thinking.Wish(on=True, level=level, budget_tokens=wanted.budget_tokens)


def _system(system: str | list[Text] | None) -> str:
    if system is None or isinstance(system, str):
        return system or ""
    return "\n".join(block.text for block in system if not block.text.startswith(_BILLING))


def _blocks(content: str | list[Block]) -> list[Block]:
    return [Text(content)] if isinstance(content, str) else content


def _parts(content: str | list[Shown] | None) -> list[Shown]:
    return [Text(content)] if isinstance(content, str) else content or []


def _turn(turn: Turn, node: Node) -> list[Json]:
    """Return the messages of a turn: the results of calls come first, as OpenAI wants them."""
    blocks = _blocks(turn.content)
    if turn.role == "assistant":
        return [_said(blocks, node)]
    messages: list[Json] = []
    shown: list[Text | Image] = []
    for block in blocks:
        match block:
            case ToolResult():
                parts = [_plain(each) for each in _parts(block.content)]
                messages.append(_result(block, parts))
                shown += [each for each in parts if isinstance(each, Image)]
            case Text() | Image() | Document() | SearchResult() | ToolReference():
                shown.append(_plain(block))
            case _:
                raise UntranslatableError(f"a message of a {turn.role} holds no calls or thoughts")
    if shown or not messages:
        messages.append({"role": turn.role, "content": _content(shown)})
    return messages


def _said(blocks: list[Block], node: Node) -> Json:
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[Json] = []
    for block in blocks:
        match block:
            case Text(text=text):
                texts.append(text)
            case ToolUse():
                function = {"name": block.name, "arguments": _compact(block.input or {})}
                calls.append({"id": block.id, "type": "function", "function": function})
            case Thinking():
                thoughts.append(block.thinking)
            case RedactedThinking():
                continue
            case _:
                raise UntranslatableError("a message of an assistant holds no images or results")
    message: Json = {"role": "assistant", "content": "\n".join(texts)}
    message |= thinking.remembered("\n".join(thoughts), node)
    if calls:
        message["tool_calls"] = calls
    return message


def _result(result: ToolResult, parts: list[Text | Image]) -> Json:
    text = "\n".join([each.text for each in parts if isinstance(each, Text)])
    if result.is_error:
        text = f"Error: {text}"
    return {"role": "tool", "tool_call_id": result.tool_use_id, "content": text}


def _plain(shown: Shown) -> Text | Image:
    """Return what any model can read."""
    match shown:
        case Document():
            return Text(_document(shown))
        case SearchResult():
            found = [each.text for each in shown.content]
            return Text("\n".join([line for line in (shown.title, shown.source, *found) if line]))
        case ToolReference():
            return Text(f"There is a tool {shown.tool_name}.")
        case _:
            return shown


def _document(document: Document) -> str:
    match document.source:
        case Plain(data=data):
            text = data
        case Parts(content=content):
            text = content if isinstance(content, str) else "\n".join([it.text for it in content])
        case _:
            raise UntranslatableError("a document that is no text: a node reads no files")
    return "\n".join([line for line in (document.title, document.context, text) if line])


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


def _sampling(asked: Asked) -> Json:
    told: Json = {}
    for name in ("temperature", "top_p", "top_k"):
        if (value := getattr(asked, name)) is not None:
            told[name] = value
    if asked.stop_sequences:
        told["stop"] = asked.stop_sequences
    if asked.metadata is not None and asked.metadata.user_id:
        told["user"] = asked.metadata.user_id
    output = asked.output_config
    wanted = asked.output_format if output is None or output.format is None else output.format
    if wanted is not None:
        schema = {"name": "answer", "schema": wanted.schema, "strict": True}
        told["response_format"] = {"type": "json_schema", "json_schema": schema}
    return told


def _compact(value: Json) -> str:
    return msgspec.json.encode(value).decode()
