"""What an answer says of itself at its end: tokens, times, whether it is whole.

A JSON string holds no bare quote, so `"eval_count":7` found in the bytes is a key, never a text.
"""

import re
from typing import Final

import msgspec

from events import UsageSource
from herd.dialects.numbers import count
from herd.http.answers import Answer, Tokens

_NS: Final = 1e9
_decode = msgspec.json.Decoder(Answer).decode
_EMPTY: Final = Answer()
_NUMBERS: Final = re.compile(
    rb'"(load_duration|prompt_eval_count|eval_count|prompt_tokens|completion_tokens'
    rb'|input_tokens|output_tokens|cache_read_input_tokens|cache_creation_input_tokens)"\s*:\s*(\d{1,20})'
)


class Usage(msgspec.Struct, frozen=True, gc=False):
    """What an answer said of itself, at its end."""

    whole: bool
    """It ended as its format says that an answer ends."""
    failed: bool = False
    """The node ended it with an error of its own, which the client has seen."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    load_s: float = 0.0
    source: UsageSource = "none"
    finish: str = ""
    cached_tokens: int = 0
    """Of the prompt, those that were not taken in again, where the node says so."""


def decoded(text: bytes) -> Answer:
    """Read a line or the data of an event; nothing where it is no JSON of this shape."""
    try:
        return _decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _EMPTY


def usage_of_json(body: bytes) -> Usage:
    """Read a body that should be JSON."""
    try:
        return usage_in(_decode(body), whole=True)
    except (msgspec.ValidationError, RecursionError):  # it is one of another shape, or may be
        return Usage(whole=True)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return Usage(whole=False)


def from_tail(tail: bytes) -> Answer:
    """Find the figures at the end of a JSON text whose start was not kept."""
    found = {key: int(number) for key, number in _NUMBERS.findall(tail)}
    answer = Answer(
        load_duration=found.get(b"load_duration"),
        prompt_eval_count=found.get(b"prompt_eval_count"),
        eval_count=found.get(b"eval_count"),
    )
    names = (
        *(b"prompt_tokens", b"completion_tokens", b"input_tokens", b"output_tokens"),
        *(b"cache_read_input_tokens", b"cache_creation_input_tokens"),
    )
    if any(name in found for name in names):
        answer.usage = msgspec.convert({name.decode(): found.get(name) for name in names}, Tokens)
    return answer


def usage_in(answer: Answer, *, whole: bool) -> Usage:
    """Take out the figures, whichever family's."""
    tokens = answer.usage
    if tokens is not None:
        prompt, completion = tokens.prompt, tokens.completion
    else:
        prompt, completion = answer.prompt_eval_count, answer.eval_count
    finish = answer.done_reason
    if finish is None and answer.choices:
        finish = answer.choices[0].finish_reason
    finish = finish or answer.stop_reason
    return Usage(
        whole=whole,
        prompt_tokens=count(prompt),
        completion_tokens=count(completion),
        load_s=round(count(answer.load_duration) / _NS, 6),
        source="none" if prompt is None and completion is None else "reported",
        finish=finish or "",
        cached_tokens=_cached(answer),
    )


def _cached(answer: Answer) -> int:
    """Return what llama.cpp says, or what OpenAI's servers do."""
    if answer.timings is not None:
        return count(answer.timings.cache_n)
    return 0 if answer.usage is None else count(answer.usage.cached)
