"""The body of Anthropic's `/v1/messages`, as far as it matters here. Unknown keys are skipped."""

from typing import Any, Literal, TypeAlias

import msgspec

from herd.dialects.errors import UntranslatableError

Json: TypeAlias = dict[str, Any]


class Base64(msgspec.Struct, tag_field="type", tag="base64", gc=False):
    """An image or a document in the body."""

    media_type: str
    data: str


class Url(msgspec.Struct, tag_field="type", tag="url", gc=False):
    """One elsewhere; whether it is fetched is the node's decision."""

    url: str


class Plain(msgspec.Struct, tag_field="type", tag="text", gc=False):
    """A document that is a text."""

    data: str


class Text(msgspec.Struct, tag_field="type", tag="text", gc=False):
    """A text."""

    text: str


class Parts(msgspec.Struct, tag_field="type", tag="content", gc=False):
    """A document that consists of texts."""

    content: str | list[Text]


class Image(msgspec.Struct, tag_field="type", tag="image", gc=False):
    """An image."""

    source: Base64 | Url


class Document(msgspec.Struct, tag_field="type", tag="document", gc=False):
    """A document."""

    source: Base64 | Url | Plain | Parts
    title: str | None = None
    context: str | None = None


class SearchResult(msgspec.Struct, tag_field="type", tag="search_result", gc=False):
    """What a search of the client's found."""

    content: list[Text]
    title: str = ""
    source: str = ""


class ToolReference(msgspec.Struct, tag_field="type", tag="tool_reference", gc=False):
    """A tool that a search for tools found."""

    tool_name: str


Shown: TypeAlias = Text | Image | Document | SearchResult | ToolReference


class ToolUse(msgspec.Struct, tag_field="type", tag="tool_use", gc=False):
    """A call that the model made."""

    id: str
    name: str
    input: Json | None = None


class ToolResult(msgspec.Struct, tag_field="type", tag="tool_result", gc=False):
    """What a call gave."""

    tool_use_id: str
    content: str | list[Shown] | None = None
    is_error: bool | None = None


class Thinking(msgspec.Struct, tag_field="type", tag="thinking", gc=False):
    """A thought of an earlier turn, whoever signed it."""

    thinking: str = ""


class RedactedThinking(msgspec.Struct, tag_field="type", tag="redacted_thinking", gc=False):
    """A thought of an earlier turn that only Anthropic can read."""


Block: TypeAlias = Shown | ToolUse | ToolResult | Thinking | RedactedThinking


class Turn(msgspec.Struct, gc=False):
    """One message."""

    role: Literal["user", "assistant", "system"]
    content: str | list[Block]


class Tool(msgspec.Struct, gc=False):
    """A tool of the client's; with a `type` of another name it is one of Anthropic's."""

    name: str = ""
    type: str | None = None
    description: str | None = None
    input_schema: Json | None = None
    strict: bool | None = None


class Choice(msgspec.Struct, gc=False):
    """Which tool, if any."""

    type: Literal["auto", "any", "none", "tool"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Thinks(msgspec.Struct, gc=False):
    """Whether and how much to think: `enabled`, `disabled`, `adaptive`, ..."""

    type: str
    budget_tokens: int = 0
    display: str | None = None
    """`omitted`: the client does not want to read it."""


class Format(msgspec.Struct, gc=False):
    """What the text is to be."""

    type: Literal["json_schema"]
    schema: Json


class Output(msgspec.Struct, gc=False):
    """How the answer is to be."""

    format: Format | None = None
    effort: str | None = None


class Metadata(msgspec.Struct, gc=False):
    """Who asks."""

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
    metadata: Metadata | None = None
    output_config: Output | None = None
    output_format: Format | None = None
    """Its name in the beta, which older packages send."""
    thinking: Thinks | None = None
    mcp_servers: Any = None
    container: Any = None
    context_management: Any = None


class _Thinking(msgspec.Struct, gc=False):
    thinking: Thinks | None = None


class _Stops(msgspec.Struct, gc=False):
    stop_sequences: list[str] | None = None


_decode = msgspec.json.Decoder(Asked).decode
_decode_conversation = msgspec.json.Decoder(Conversation).decode
_decode_thinking = msgspec.json.Decoder(_Thinking).decode
_decode_stops = msgspec.json.Decoder(_Stops).decode
_MALFORMED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def read(body: bytes) -> Asked:
    """Read a whole request; `UntranslatableError` says what is wrong with it, and where."""
    try:
        return _decode(body)
    except _MALFORMED as error:
        raise UntranslatableError(str(error)) from error


def read_conversation(body: bytes) -> Conversation:
    """Read what costs tokens; `UntranslatableError` if there is none."""
    try:
        return _decode_conversation(body)
    except _MALFORMED as error:
        raise UntranslatableError(str(error)) from error


def read_thinking(body: bytes) -> Thinks:
    """Read whether thoughts are wanted; whatever is odd leaves it to the model."""
    try:
        found = _decode_thinking(body).thinking
    except _MALFORMED:
        found = None
    return found or Thinks("adaptive")


def read_stops(body: bytes) -> list[str]:
    """Read which texts are to end the answer; none where that is odd."""
    try:
        return _decode_stops(body).stop_sequences or []
    except _MALFORMED:
        return []
