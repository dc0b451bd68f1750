"""A chat completion as an answer of OpenAI's `/v1/responses`, whole or as a stream. Pure.

Rules
1. Events are numbered from 0 and come in OpenAI's order: `response.created`,
   `response.in_progress`, the items one after another, each with what opens and closes it, and
   `response.completed` or `response.incomplete` with all that was said.
2. A stream is whole only if the node's was: without `[DONE]` there is no last event. An error of
   the node's before the first event raises, so that another may try; later, `response.failed`.
3. Thoughts become an item `reasoning` with a summary, as Ollama has it; none, if no effort was
   wanted. A call of a tool that is no function for the client is its own item again; its text is
   there in one piece, when all of it is known.
4. Tokens are those the node counted; without a count there is no `usage`.
5. What was asked comes back in the answer, as OpenAI has it; nothing is stored.
"""

from typing import Any, Final, TypeAlias

import msgspec

from herd.dialects import completions, refused, responses_tools
from herd.dialects.asking import Asking
from herd.dialects.calls import Calls
from herd.dialects.completions import Completion, Message, Tokens, ToolCall
from herd.dialects.errors import GarbledError
from herd.dialects.numbers import count
from herd.dialects.responses_tools import Called
from herd.dialects.sse import Events, event

Json: TypeAlias = dict[str, Any]

SAID_CHARS: Final = 32 * 1024 * 1024
"""The last event of a stream repeats everything, so this much is kept at most."""

_PREFIXES: Final = {
    "function_call": "fc",
    "custom_tool_call": "ctc",
    "local_shell_call": "lsh",
}
"""Of the ids of calls."""
_INCOMPLETE: Final = {"length": "max_output_tokens", "content_filter": "content_filter"}
_AS_ASKED: Final[Json] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "reasoning": {"effort": None, "summary": None},
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}
"""What of the request comes back, and what it is where nobody asked."""
_AsAsked = msgspec.defstruct("_AsAsked", [(name, Any, None) for name in _AS_ASKED], gc=False)
_decode = msgspec.json.Decoder(_AsAsked).decode


def whole(body: bytes, asking: Asking) -> bytes:
    """Return the response; `GarbledError` if the body is no chat completion."""
    answer, message, finish = completions.whole(body)
    told = _response(answer, asking)
    tools, items = responses_tools.known(asking.body), list[_Item]()
    if message.thought and not _thoughtless(told):
        items.append(_Item.new("reasoning", told["id"], len(items), message.thought))
    if text := message.content or message.refusal or "":
        items.append(_Item.new("message", told["id"], len(items), text))
    for call in message.tool_calls or ():
        items.append(_Item.called(call, tools, told["id"], len(items)))
        items[-1].said.append(call.arguments)
    return msgspec.json.encode(told | _ending(finish, items, answer.usage))


def _thoughtless(response: Json) -> bool:
    """Whether the client wants no thoughts."""
    return bool(response["reasoning"].get("effort") == "none")


class _Item(msgspec.Struct, gc=False):
    """One item of an output, and what was said of it so far."""

    kind: str
    id: str
    index: int
    said: list[str] = []
    call_id: str = ""
    name: str = ""
    namespace: str = ""

    @classmethod
    def new(cls, kind: str, response: str, index: int, text: str = "") -> "_Item":
        """Begin a thought or a message."""
        prefix = "rs" if kind == "reasoning" else "msg"
        return cls(kind, _own_id(prefix, response, index), index, [text] if text else [])

    @classmethod
    def called(cls, call: ToolCall, tools: dict[str, Called], response: str, index: int) -> "_Item":
        """Begin a call."""
        tool = responses_tools.called_as(call, tools)
        call_id = call.id or _own_id("call", response, index)
        ident = _own_id(_PREFIXES[tool.kind], response, index)
        return cls(tool.kind, ident, index, [], call_id, tool.name, tool.namespace)

    @property
    def text(self) -> str:
        """All that was said."""
        return "".join(self.said)

    def shown(self, status: str) -> Json:
        """Return it as a client sees it."""
        told: Json = {"id": self.id, "type": self.kind, "status": status}
        if self.kind in _PREFIXES:
            return told | self._call(status)
        if self.kind == "reasoning":
            return told | {"summary": [self.part()] if self.said else []}
        return told | {"role": "assistant", "content": [self.part()] if self.said else []}

    def _call(self, status: str) -> Json:
        if self.kind == "local_shell_call":
            action = responses_tools.action_of(self.text if status == "completed" else "")
            told: Json = {"call_id": self.call_id, "action": action}
            unread = status == "completed" and not action["command"]
            return told | ({"status": "incomplete"} if unread else {})
        told = {"call_id": self.call_id, "name": self.name}
        if self.namespace:
            told["namespace"] = self.namespace
        if self.kind == "custom_tool_call":
            return told | {"input": responses_tools.input_of(self.text)}
        return told | {"arguments": self.arguments(status)}

    def arguments(self, status: str) -> str:
        """Return those of a call: of one that is whole, JSON also where the model wrote none."""
        return self.text or ("{}" if status == "completed" else "")

    def part(self) -> Json:
        """Return its one part."""
        if self.kind == "reasoning":
            return {"type": "summary_text", "text": self.text}
        return {"type": "output_text", "text": self.text, "annotations": [], "logprobs": []}


class Stream:
    """The translator of one stream."""

    __slots__ = (
        "_asking",
        "_calls",
        "_ended",
        "_events",
        "_finish",
        "_items",
        "_number",
        "_open",
        "_response",
        "_size_chars",
        "_tools",
        "_usage",
    )

    def __init__(self, asking: Asking) -> None:
        """Know what comes back with the answer."""
        self._asking = asking
        self._events = Events()
        self._response: Json = {}
        """As it began; empty until then."""
        self._items: list[_Item] = []
        self._open: _Item | None = None
        """The last of them, while more may be said."""
        self._calls = Calls()
        self._tools = responses_tools.known(asking.body)
        self._number = 0
        self._size_chars = 0
        self._ended = False
        self._finish: str | None = None
        self._usage: Tokens | None = None

    def feed(self, data: bytes) -> bytes:
        """Return the events that follow; `GarbledError` if it is no stream of chat completions."""
        return b"".join([self._take(found) for found in self._events.feed(data)])

    def _take(self, data: bytes) -> bytes:
        if self._ended:
            return b""
        if data == completions.DONE:
            return self._end()
        chunk = completions.read(data)
        if text := refused.error_words(chunk.error):
            return self._fail(text)
        out = b"" if self._response else self._begin(chunk)
        if chunk.usage is not None:
            self._usage = chunk.usage
        if chunk.choices:
            choice = chunk.choices[0]
            if choice.delta is not None:
                out += self._delta(choice.delta)
            self._finish = choice.finish_reason or self._finish
        return out

    # From the beginning to the end

    def _begin(self, chunk: Completion) -> bytes:
        self._response = _response(chunk, self._asking)
        created = self._event("response.created", response=self._response)
        return created + self._event("response.in_progress", response=self._response)

    def _delta(self, delta: Message) -> bytes:
        thought = "" if _thoughtless(self._response) else delta.thought
        text = delta.content or delta.refusal
        out = self._calls_on(self._calls.rest()) if thought or text else b""
        if thought:
            out += self._say("reasoning", thought)
        if text:
            out += self._say("message", text)
        return out + self._calls_on(self._calls.take(delta.tool_calls))

    def _end(self) -> bytes:
        """End well, if the node said why it ended."""
        if not self._response or self._finish is None:
            raise GarbledError("a stream without a reason for its end")
        self._ended = True
        waiting = self._calls_on(self._calls.rest())
        ending = _ending(self._finish, self._items, self._usage)
        out = waiting + self._close(ending["status"])
        return out + self._event(f"response.{ending['status']}", response=self._response | ending)

    def _fail(self, text: str) -> bytes:
        if not self._response:
            raise GarbledError(text)
        self._ended = True
        failed: Json = {"status": "failed", "error": {"code": "server_error", "message": text}}
        failed["output"] = [item.shown("incomplete") for item in self._items]
        return self._event("response.failed", response=self._response | failed)

    # Items

    def _say(self, kind: str, text: str) -> bytes:
        item, out = self._open, b""
        if item is None or item.kind != kind:
            out = self._start(_Item.new(kind, self._response["id"], len(self._items)))
            item = self._items[-1]
            out += self._part(item, "added", part=item.part())
        self._keep(item, text)
        if kind == "reasoning":
            return out + self._of(item, "reasoning_summary_text.delta", summary_index=0, delta=text)
        return out + self._of(item, "output_text.delta", content_index=0, delta=text, logprobs=[])

    def _calls_on(self, pieces: list[tuple[ToolCall, bool]]) -> bytes:
        out: list[bytes] = []
        for call, begins in pieces:
            if begins:
                response, index = self._response["id"], len(self._items)
                out.append(self._start(_Item.called(call, self._tools, response, index)))
            item = self._items[-1]
            if arguments := call.arguments:
                self._keep(item, arguments)
                if item.kind == "function_call":
                    out.append(self._of(item, "function_call_arguments.delta", delta=arguments))
        return b"".join(out)

    def _start(self, item: _Item) -> bytes:
        out = self._close("completed")
        self._open = item
        self._items.append(item)
        shown = item.shown("in_progress")
        return out + self._event("response.output_item.added", output_index=item.index, item=shown)

    def _close(self, status: str) -> bytes:
        item, self._open = self._open, None
        if item is None:
            return b""
        if item.kind == "function_call":
            arguments = item.arguments(status)
            out = self._of(
                item, "function_call_arguments.done", name=item.name, arguments=arguments
            )
        elif item.kind == "custom_tool_call":
            text = responses_tools.input_of(item.text)
            out = self._of(item, "custom_tool_call_input.delta", delta=text)
            out += self._of(item, "custom_tool_call_input.done", input=text)
        elif item.kind == "local_shell_call":
            out = b""
        elif item.kind == "reasoning":
            out = self._of(item, "reasoning_summary_text.done", summary_index=0, text=item.text)
            out += self._part(item, "done", part=item.part())
        else:
            out = self._of(item, "output_text.done", content_index=0, text=item.text, logprobs=[])
            out += self._part(item, "done", part=item.part())
        shown = item.shown(status)
        return out + self._event("response.output_item.done", output_index=item.index, item=shown)

    def _keep(self, item: _Item, text: str) -> None:
        self._size_chars += len(text)
        if self._size_chars > SAID_CHARS:
            raise GarbledError("an answer that is too large to translate")
        item.said.append(text)

    # Events

    def _part(self, item: _Item, what: str, part: Json) -> bytes:
        if item.kind == "reasoning":
            return self._of(item, f"reasoning_summary_part.{what}", summary_index=0, part=part)
        return self._of(item, f"content_part.{what}", content_index=0, part=part)

    def _of(self, item: _Item, name: str, /, **more: object) -> bytes:
        return self._event(f"response.{name}", item_id=item.id, output_index=item.index, **more)

    def _event(self, name: str, /, **more: object) -> bytes:
        number, self._number = self._number, self._number + 1
        return event(name, {"type": name, "sequence_number": number, **more})


def _own_id(prefix: str, response: str, index: int) -> str:
    return f"{prefix}_{response.removeprefix('resp_')}_{index}"


def _response(answer: Completion, asking: Asking) -> Json:
    """Return a response of which nothing was said yet."""
    return {
        "id": f"resp_{(answer.id or 'unnamed').removeprefix('chatcmpl-')}",
        "object": "response",
        "created_at": count(answer.created),
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "model": asking.model,
        "output": [],
        "previous_response_id": None,
        "store": False,
        **_as_asked(asking.body),
        "usage": None,
    }


def _as_asked(body: bytes) -> Json:
    try:
        told = msgspec.structs.asdict(_decode(body))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):  # what was passed over
        return _AS_ASKED
    return {name: _AS_ASKED[name] if value is None else value for name, value in told.items()}


def _ending(finish: str | None, items: list[_Item], tokens: Tokens | None) -> Json:
    """Return what is known of a response at its end."""
    why = _INCOMPLETE.get(finish or "")
    status = "incomplete" if why else "completed"
    output = [item.shown("completed") for item in items[:-1]]
    output += [item.shown(status) for item in items[-1:]]
    return {
        "status": status,
        "incomplete_details": {"reason": why} if why else None,
        "output": output,
        "usage": None if tokens is None else _usage(tokens),
    }


def _usage(tokens: Tokens) -> Json:
    told, said = count(tokens.prompt_tokens), count(tokens.completion_tokens)
    cached, thought = tokens.prompt_tokens_details, tokens.completion_tokens_details
    return {
        "input_tokens": told,
        "input_tokens_details": {
            "cached_tokens": count(None if cached is None else cached.cached_tokens),
            "cache_write_tokens": 0,
        },
        "output_tokens": said,
        "output_tokens_details": {
            "reasoning_tokens": count(None if thought is None else thought.reasoning_tokens)
        },
        "total_tokens": told + said,
    }
