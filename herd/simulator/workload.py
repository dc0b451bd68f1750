"""A light stream of sample traffic through one address, drawn from a seeded mix.

Requests come at random moments (a Poisson process), whatever becomes of those before them; only
so many are under way at once, and what would be more is left out.
"""

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, NamedTuple

import msgspec

from herd.http.client import FetchError, fetch
from herd.tasks import spawn

CHAT, OPENAI_CHAT, GENERATE, EMBED = (
    "/api/chat",
    "/v1/chat/completions",
    "/api/generate",
    "/api/embed",
)
TIMEOUT_S = 600.0
TYPICAL_PROMPT_WORDS = 40
LONGEST_PROMPT_WORDS = 3000
TAG = "herd-demo"

_SAMPLE = (
    "explain compare summarise the a quiet river engine lighthouse garden between and of with "
    "slowly north seven letters harbour why how does winter theory music table under paper"
)
_WORDS = _SAMPLE.split()
_JSON = ((b"Content-Type", b"application/json"), (b"X-Herd-Tags", TAG.encode()))


class Share(NamedTuple):
    """A part of the mix."""

    weight: float
    model: str
    paths: tuple[str, ...]


_TALK = (CHAT, CHAT, OPENAI_CHAT, GENERATE)

MIX = (
    Share(5, "llama3.2:3b", _TALK),
    Share(3, "qwen2.5:7b", _TALK),
    Share(1, "llama3.3:70b", _TALK),
    Share(2, "nomic-embed-text", (EMBED,)),
)


class Call(msgspec.Struct, frozen=True, gc=False):
    """One request of the stream."""

    path: str
    model: str
    body: bytes


class Result(msgspec.Struct, frozen=True, gc=False):
    """What became of a request."""

    call: Call
    status: int
    """0: no answer."""
    took_s: float
    error: str = ""


class Workload:
    """The stream."""

    def __init__(  # noqa: PLR0913 (all but the first have a default)
        self,
        address: str,
        *,
        per_s: float = 2.0,
        seed: int = 0,
        mix: tuple[Share, ...] = MIX,
        most: int = 32,
        tokens: int = 0,
        on_result: Callable[[Result], None] = lambda _result: None,
    ) -> None:
        """Aim at `address`; `tokens` bounds the answers to OpenAI chats, 0 leaves them free."""
        self.sent = 0
        self.answered = 0
        self.failed = 0
        self._address = address.rstrip("/")
        self._per_s = per_s
        self._mix = mix
        self._tokens = tokens
        self._most = most
        self._on_result = on_result
        self._random = Random(seed)  # noqa: S311 (traffic, not secrets)
        self._under_way: set[asyncio.Task[None]] = set()

    def draw(self) -> Call:
        """Return the next request."""
        share = self._random.choices(self._mix, [share.weight for share in self._mix])[0]
        path = self._random.choice(share.paths)
        count = int(self._random.lognormvariate(0, 1.1) * TYPICAL_PROMPT_WORDS) + 3
        text = " ".join(self._random.choices(_WORDS, k=min(count, LONGEST_PROMPT_WORDS)))
        body = _body(path, share.model, text)
        if path == OPENAI_CHAT and self._tokens:
            body["max_tokens"] = self._tokens
        return Call(path, share.model, msgspec.json.encode(body))

    async def run(self, count: int = 0) -> None:
        """Send `count` requests and wait for their ends; 0: send until cancelled."""
        try:
            while not count or self.sent < count:
                await asyncio.sleep(self._random.expovariate(self._per_s))
                call = self.draw()
                if len(self._under_way) < self._most:
                    self.sent += 1
                    self._start(self._send(call))
            await asyncio.gather(*self._under_way)
        finally:
            for task in self._under_way:
                task.cancel()

    def _start(self, sending: Coroutine[Any, Any, None]) -> None:
        task = spawn(sending, name="sample request")
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _send(self, call: Call) -> None:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        status, error = 0, ""
        try:
            url = self._address + call.path
            answer = await fetch("POST", url, headers=_JSON, body=call.body, timeout_s=TIMEOUT_S)
            status = answer.status
        except FetchError as failure:
            error = f"{failure.phase}: {failure.text}"
        ok = 200 <= status < 300  # noqa: PLR2004 (HTTP's own numbers)
        self.answered += ok
        self.failed += not ok
        self._on_result(Result(call, status, loop.time() - began_s, error))


def _body(path: str, model: str, text: str) -> dict[str, object]:
    match path:
        case "/api/embed":
            return {"model": model, "input": text}
        case "/api/generate":
            return {"model": model, "prompt": text}
        case _:
            return {"model": model, "messages": [{"role": "user", "content": text}]}
