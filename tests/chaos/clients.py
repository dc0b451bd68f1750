"""Clients that keep a record of their own: what they asked, and what they were told.

A record ends in one of these:
- `success`: a whole answer, with as many tokens as were asked for;
- `failure`: a status of 400 or more, or an error in the stream;
- `cut`: the connection ended before either;
- `lie`: an end that looks good, of something that is no answer, or a failure that says nothing;
- `silent`: nothing came for longer than herd may take;
- `left`: the client went first.
"""

import asyncio
import contextlib
import json
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

End: TypeAlias = Literal["success", "failure", "cut", "lie", "silent", "left"]

MODEL = "llama3.2:3b"
SILENCE_S = 150.0
"""After so long without a byte a client gives up: longer than anything may take."""


@dataclass
class Told:
    """One request, as its client saw it; instants of the monotonic clock."""

    began_s: float
    tokens: int
    ended_s: float = 0.0
    status: int = 0
    request_id: str = ""
    end: End = "cut"
    why: str = ""
    first_s: float = 0.0
    """When its first byte came; 0 if none did."""
    retry_after: str = ""


@dataclass(frozen=True)
class Ask:
    """A kind of request."""

    route: str
    stream: bool
    tokens: int
    model: str = MODEL
    priority: str = "normal"

    def wire(self) -> bytes:
        """Return it as bytes."""
        body: dict[str, Any] = {
            "model": self.model,
            "stream": self.stream,
            "messages": [{"role": "user", "content": "hello"}],
        }
        if self.route.startswith("/v1/"):
            body["max_tokens"] = self.tokens
        else:
            body["options"] = {"num_predict": self.tokens}
        data = json.dumps(body).encode()
        head = f"POST {self.route} HTTP/1.1\r\nHost: x\r\nX-Herd-Priority: {self.priority}\r\n"
        return f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data


async def ask(port: int, what: Ask, leave_after_s: float | None = None) -> Told:
    """Ask on a connection of its own; return what came of it. Leaves early if told to."""
    told = Told(time.monotonic(), what.tokens)
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(leave_after_s):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(what.wire())
            await _read(reader, what, told)
    except TimeoutError:
        told.end = "left" if told.end == "cut" and leave_after_s is not None else "silent"
    except (OSError, asyncio.IncompleteReadError, ValueError) as error:
        told.why = told.why or repr(error)
    finally:
        told.ended_s = time.monotonic()
        if writer is not None:
            writer.transport.abort()
    return told


async def _read(reader: asyncio.StreamReader, what: Ask, told: Told) -> None:
    try:
        async with asyncio.timeout(SILENCE_S):
            head = await reader.readuntil(b"\r\n\r\n")
    except TimeoutError:
        told.end, told.why = "silent", f"no head for {SILENCE_S:g} s"
        return
    told.first_s = time.monotonic()
    lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
    told.status = int(lines[0].split()[1])
    told.request_id = headers.get("x-herd-request-id", "")
    told.retry_after = headers.get("retry-after", "")
    pieces: list[bytes] = []
    whole = False
    try:
        async with asyncio.timeout(SILENCE_S):
            whole = await _body(reader, headers, pieces)
    except TimeoutError:
        told.end, told.why = "silent", f"half an answer for {SILENCE_S:g} s"
        return
    told.end, told.why = _judged(what, told.status, b"".join(pieces), whole=whole)


async def _body(reader: asyncio.StreamReader, headers: dict[str, str], pieces: list[bytes]) -> bool:
    """Read a body; return whether it ended as its framing says."""
    with contextlib.suppress(asyncio.IncompleteReadError, OSError):
        if "content-length" in headers:
            pieces.append(await reader.readexactly(int(headers["content-length"])))
            return True
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            pieces.append((await reader.readexactly(size + 2))[:-2])
        await reader.readuntil(b"\r\n")
        return True
    return False


def _judged(what: Ask, status: int, body: bytes, *, whole: bool) -> tuple[End, str]:
    """Say what a client takes an answer for, and why."""
    try:
        said = list(_said(body))
    except ValueError:
        return ("lie", f"no answer: {body[:80]!r}") if whole else ("cut", "half a line")
    error = next((each["error"] for each in said if each.get("error")), None)
    if status >= 400:
        return ("failure", str(error)) if error else ("lie", f"{status} without a word")
    if error:
        return "failure", str(error)
    if not whole:
        return "cut", f"after {len(said)} lines"
    tokens = _tokens(what, body, said)
    if tokens is None:
        return "lie", f"a clean end without an end: {body[-120:]!r}"
    if tokens != what.tokens:
        return "lie", f"{tokens} tokens, asked for {what.tokens}"
    return "success", ""


def _said(body: bytes) -> Iterator[dict[str, Any]]:
    for raw in body.split(b"\n"):
        line = raw.strip().removeprefix(b"data: ")
        if line and line != b"[DONE]" and not line.startswith(b"event:"):
            found = json.loads(line)
            if not isinstance(found, dict):
                raise ValueError("no object")
            yield found


def _tokens(what: Ask, body: bytes, said: list[dict[str, Any]]) -> int | None:
    """Return how many tokens a whole answer had; None if it has no end."""
    if not said:
        return None
    last = said[-1]
    if what.route.startswith("/v1/"):
        if not what.stream:
            return int(last["usage"]["completion_tokens"]) if "usage" in last else None
        ended = body.rstrip().endswith(b"data: [DONE]")
        texts = (each["choices"][0]["delta"].get("content") for each in said if each["choices"])
        return sum(1 for text in texts if text) if ended else None
    if not last.get("done"):
        return None
    if what.stream and len(said) != what.tokens + 1:
        return len(said) - 1
    return int(last.get("eval_count", 0))


ASKS = (
    Ask("/api/chat", stream=False, tokens=3),
    Ask("/api/chat", stream=True, tokens=12),
    Ask("/api/chat", stream=True, tokens=40, priority="batch"),
    Ask("/v1/chat/completions", stream=False, tokens=3, priority="interactive"),
    Ask("/v1/chat/completions", stream=True, tokens=12),
)


class Crowd:
    """Clients in a closed loop, one request a connection, until they are told to stop."""

    def __init__(self, port: int, clients: int, chance: random.Random) -> None:
        """Ask nothing yet."""
        self.told: list[Told] = []
        self.stopping = False
        self._port = port
        self._clients = clients
        self._chance = chance

    async def run(self) -> None:
        """Ask until `stopping`."""
        await asyncio.gather(*(self._client(number) for number in range(self._clients)))

    async def _client(self, number: int) -> None:
        while not self.stopping:
            leaves = number % 8 == 7
            after_s = self._chance.random() * 0.3 if leaves else None
            told = await ask(self._port, self._chance.choice(ASKS), after_s)
            if told.status or told.end != "cut":
                self.told.append(told)  # else nobody took the connection
            slow = told.end != "success"
            await asyncio.sleep(self._chance.random() * (0.5 if slow else 0.2))


async def recovered(port: int, within_s: float, going: Callable[[], bool]) -> float | None:
    """Return how long it took until somebody who asks from now on is answered; None: too long."""
    began_s = time.monotonic()
    while (since_s := time.monotonic() - began_s) < within_s and going():
        told = await ask(port, ASKS[0], within_s - since_s)
        if told.end == "success":
            return told.ended_s - began_s
        await asyncio.sleep(0.02)
    return None
