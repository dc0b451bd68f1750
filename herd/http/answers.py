"""What answers hold of themselves: the keys that are read, of every family.

Everything may be missing, and whatever else there is, is left alone.
"""

from typing import Final

import msgspec

from herd.dialects.refused import NOTHING


class Details(msgspec.Struct, gc=False):
    """Of the tokens of a prompt."""

    cached_tokens: int | None = None


class Timings(msgspec.Struct, gc=False):
    """What llama.cpp adds."""

    cache_n: int | None = None


class Tokens(msgspec.Struct, gc=False):
    """The usage of `/v1` routes, as OpenAI and Anthropic name it."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    prompt_tokens_details: Details | None = None
    input_tokens_details: Details | None = None
    cache_read_input_tokens: int | None = None
    """Anthropic counts them apart: they are not in `input_tokens`."""
    cache_creation_input_tokens: int | None = None

    @property
    def cached(self) -> int | None:
        """Return how many of the prompt were not taken in again; None if it does not say."""
        details = self.prompt_tokens_details or self.input_tokens_details
        return self.cache_read_input_tokens if details is None else details.cached_tokens

    @property
    def prompt(self) -> int | None:
        """Return the length of the prompt."""
        if self.prompt_tokens is not None or self.input_tokens is None:
            return self.prompt_tokens
        apart = (self.cache_read_input_tokens, self.cache_creation_input_tokens)
        return self.input_tokens + sum(tokens for tokens in apart if tokens is not None)

    @property
    def completion(self) -> int | None:
        """Return the length of the answer."""
        return self.output_tokens if self.completion_tokens is None else self.completion_tokens


class Choice(msgspec.Struct, gc=False):
    """One of the answers of `/v1/chat/completions`."""

    finish_reason: str | None = None


class Delta(msgspec.Struct, gc=False):
    """What ends a stream of `/v1/messages`."""

    stop_reason: str | None = None


class Started(msgspec.Struct, gc=False):
    """What begins a stream of `/v1/messages`."""

    usage: Tokens | None = None


class Response(msgspec.Struct, gc=False):
    """What ends a stream of `/v1/responses`."""

    status: str | None = None
    usage: Tokens | None = None


class Event(msgspec.Struct, gc=False):
    """An event that has a name: of `/v1/messages` and `/v1/responses`."""

    type: str = ""
    usage: Tokens | None = None
    delta: Delta | None = None
    message: Started | None = None
    response: Response | None = None


class _Fault(msgspec.Struct, gc=False):
    code: int | None = None


_CLIENTS_FAULT: Final = range(400, 500)
_decode_fault = msgspec.json.Decoder(_Fault).decode


class Answer(msgspec.Struct, gc=False):
    """The keys of all families at once: they do not collide."""

    done: bool = False
    done_reason: str | None = None
    load_duration: int | None = None
    prompt_eval_count: int | None = None
    eval_count: int | None = None
    usage: Tokens | None = None
    timings: Timings | None = None
    choices: list[Choice] | None = None
    stop_reason: str | None = None
    error: msgspec.Raw = msgspec.Raw(b"")

    @property
    def failed(self) -> bool:
        """Whether its node says that it went wrong: `"error":null` says that it did not."""
        return bytes(self.error) not in NOTHING

    @property
    def refused(self) -> bool:
        """Whether that is the request's fault: vLLM says the status that it would have had."""
        try:
            return _decode_fault(self.error).code in _CLIENTS_FAULT
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return False
