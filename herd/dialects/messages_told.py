"""A chat completion as an answer of Anthropic's `/v1/messages`, whole or as a stream. Pure.

Rules
1. Events come in Anthropic's order: `message_start`, `ping`, the blocks one after another, each
   with its start, deltas and stop, `message_delta`, `message_stop`.
2. A stream is whole only if the node's was: without `[DONE]` there is no `message_stop`. An error
   of the node's before the first event raises, so that another may try; later it is an event.
3. Thoughts become a `thinking` block where the node tells them apart. Clients drop blocks that
   nobody signed, so there is a signature that says so; it proves nothing, and herd asks for none.
   A client that wants no thoughts gets none; one that wants them `omitted`, the block alone.
4. Tokens are those the node counted; without a count, its chunks with content are counted.
5. The arguments of a call in a stream are what the model wrote. In one piece they are an object:
   what is none, as in a call that was cut by its length, is put into one, as Anthropic has it.
6. `stop_sequence` is told where the node says which of them ended the answer. Most say `stop` only,
   for that and for the model's own end: that is `end_turn`.
"""

from typing import Any, Final, Literal, TypeAlias

import msgspec

from herd.dialects import completions, messages_body, refused
from herd.dialects.asking import Asking
from herd.dialects.calls import Calls
from herd.dialects.completions import Completion, Message, Tokens, ToolCall
from herd.dialects.errors import GarbledError
from herd.dialects.numbers import count
from herd.dialects.sse import Events, event

Json: TypeAlias = dict[str, Any]

SIGNATURE: Final = "unsigned"

_REASONS: Final = {
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}


def whole(body: bytes, asking: Asking) -> bytes:
    """Return the message; `GarbledError` if the body is no chat completion."""
    answer, message, finish = completions.whole(body)
    told = _message(answer, asking.model)
    content: list[Json] = told["content"]
    shows = _shows(asking)
    if message.thought and shows != "nothing":
        thought = message.thought if shows == "all" else ""
        content.append({"type": "thinking", "thinking": thought, "signature": SIGNATURE})
    if text := message.content or message.refusal or "":
        content.append({"type": "text", "text": text})
    calls = message.tool_calls or []
    for position, call in enumerate(calls):
        block = _call(call, told["id"], position)
        content.append(block | {"input": completions.arguments(call.arguments)})
    stop = _stop(answer, messages_body.read_stops(asking.body))
    told |= _ending(finish, stop, called=bool(calls))
    told["usage"] = _usage(answer.usage or Tokens())
    return msgspec.json.encode(told)


def _shows(asking: Asking) -> Literal["all", "block", "nothing"]:
    """Return what the client wants to see of thoughts."""
    wanted = messages_body.read_thinking(asking.body)
    if wanted.type == "disabled":
        return "nothing"
    return "block" if wanted.display == "omitted" else "all"


class Stream:
    """The translator of one stream."""

    __slots__ = (
        "_begun",
        "_block",
        "_blocks",
        "_called",
        "_calls",
        "_chunks",
        "_ended",
        "_events",
        "_id",
        "_model",
        "_reason",
        "_shows",
        "_stop",
        "_stops",
        "_usage",
    )

    def __init__(self, asking: Asking) -> None:
        """Name the model as the client does."""
        self._model = asking.model
        self._shows = _shows(asking)
        self._events = Events()
        self._id = ""
        """Of the message."""
        self._begun = False
        self._ended = False
        self._block = ""
        """The kind of the block that is open."""
        self._blocks = 0
        """Blocks so far, the open one among them."""
        self._calls = Calls()
        self._called = False
        self._chunks = 0
        self._reason: str | None = None
        self._stops = messages_body.read_stops(asking.body)
        """The texts that may end it."""
        self._stop: str | None = None
        """The one that did."""
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
            if not self._begun:
                raise GarbledError(text)
            self._ended = True
            told = {"type": "api_error", "message": text}
            return event("error", {"type": "error", "error": told})
        out = b"" if self._begun else self._start(chunk)
        if chunk.usage is not None:
            self._usage = chunk.usage
        if chunk.choices:
            choice = chunk.choices[0]
            if choice.delta is not None:
                out += self._delta(choice.delta)
            self._reason = choice.finish_reason or self._reason
        if self._stops:
            self._stop = _stop(chunk, self._stops) or self._stop
        return out

    def _start(self, chunk: Completion) -> bytes:
        self._begun = True
        told = _message(chunk, self._model)
        self._id = told["id"]
        told["usage"] = _usage(Tokens(completion_tokens=0))
        start = event("message_start", {"type": "message_start", "message": told})
        return start + event("ping", {"type": "ping"})

    def _delta(self, delta: Message) -> bytes:
        text = delta.content or delta.refusal
        out = self._calls_on(self._calls.rest()) if text or delta.thought else b""
        if delta.thought:
            self._chunks += 1
        if (thought := delta.thought) and self._shows != "nothing":
            out += self._open("thinking", {"type": "thinking", "thinking": "", "signature": ""})
            if self._shows == "all":
                out += self._piece({"type": "thinking_delta", "thinking": thought})
        if text:
            self._chunks += 1
            out += self._open("text", {"type": "text", "text": ""})
            out += self._piece({"type": "text_delta", "text": text})
        return out + self._calls_on(self._calls.take(delta.tool_calls))

    def _calls_on(self, pieces: list[tuple[ToolCall, bool]]) -> bytes:
        out: list[bytes] = []
        for call, begins in pieces:
            if begins:
                self._called = True
                out.append(self._open("tool_use", _call(call, self._id, self._blocks), anew=True))
            if arguments := call.arguments:
                self._chunks += 1
                out.append(self._piece({"type": "input_json_delta", "partial_json": arguments}))
        return b"".join(out)

    def _open(self, kind: str, block: Json, *, anew: bool = False) -> bytes:
        if self._block == kind and not anew:
            return b""
        out = self._close()
        self._block = kind
        self._blocks += 1
        index = self._blocks - 1
        told = {"type": "content_block_start", "index": index, "content_block": block}
        return out + event("content_block_start", told)

    def _piece(self, delta: Json) -> bytes:
        told = {"type": "content_block_delta", "index": self._blocks - 1, "delta": delta}
        return event("content_block_delta", told)

    def _close(self) -> bytes:
        if not self._block:
            return b""
        out = b""
        if self._block == "thinking":
            out = self._piece({"type": "signature_delta", "signature": SIGNATURE})
        self._block = ""
        told = {"type": "content_block_stop", "index": self._blocks - 1}
        return out + event("content_block_stop", told)

    def _end(self) -> bytes:
        """End well, if the node said why it ended."""
        self._ended = True
        if not self._begun or self._reason is None:
            raise GarbledError("a stream without a reason for its end")
        waiting = self._calls_on(self._calls.rest())
        usage = self._usage or Tokens(completion_tokens=self._chunks)
        delta = _ending(self._reason, self._stop, called=self._called)
        told = {"type": "message_delta", "delta": delta, "usage": _usage(usage)}
        out = waiting + self._close() + event("message_delta", told)
        return out + event("message_stop", {"type": "message_stop"})


def _message(answer: Completion, model: str) -> Json:
    return {
        "id": f"msg_{(answer.id or 'unnamed').removeprefix('chatcmpl-')}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _usage(tokens: Tokens) -> Json:
    """Return how many there were; those that a node had in its cache are counted apart."""
    details, prompt = tokens.prompt_tokens_details, count(tokens.prompt_tokens)
    cached = min(prompt, 0 if details is None else count(details.cached_tokens))
    told = {"input_tokens": prompt - cached, "output_tokens": count(tokens.completion_tokens)}
    return told | ({"cache_read_input_tokens": cached} if cached else {})


def _stop(answer: Completion, stops: list[str]) -> str | None:
    """Return which of the client's texts ended it, if its node says so."""
    return next((stop for stop in stops if stop in answer.stopped_by), None)


def _ending(reason: str | None, stop: str | None, *, called: bool) -> Json:
    """Return why it ended."""
    if called and reason in {None, "stop"}:  # as some nodes end a call
        return {"stop_reason": "tool_use", "stop_sequence": None}
    if stop is not None and reason == "stop":
        return {"stop_reason": "stop_sequence", "stop_sequence": stop}
    return {"stop_reason": _REASONS.get(reason or "", "end_turn"), "stop_sequence": None}


def _call(call: ToolCall, message: str, position: int) -> Json:
    ident = call.id or f"toolu_{message.removeprefix('msg_')}_{position}"
    return {"type": "tool_use", "id": ident, "name": call.name, "input": {}}
