"""One request of a benchmark, sent as any client would send it, and what it took.

The prompts are the same in every run, so that two runs can be compared, and each differs from the
others in its first word, so that no node has its beginning in its cache.
"""

from time import perf_counter
from typing import Final

import msgspec

from herd.bench.choosing import Choice
from herd.bench.counting import Sample
from herd.bench.words import AGENT
from herd.http.client import FetchError, follow
from herd.http.wire import Header

MOST_TOKENS: Final = 64
SILENT_S: Final = 300.0
"""How long a request may wait for a byte: in line, or for a model that is loaded."""
OK: Final = 200
END_BYTES: Final = 4096
"""How much of an answer is kept: what was counted stands at its end."""

_HEADERS: Final = (
    (b"Content-Type", b"application/json"),
    (b"User-Agent", AGENT.encode()),
)
_TOPICS: Final = (
    "Explain in one paragraph why the sky is blue.",
    "Write a function that reverses a list, and say what it costs.",
    "Name five rivers and the cities that they pass.",
    "Summarise in three sentences how a bicycle stays upright.",
    "Translate into French: the ferry leaves at nine, and does not wait.",
)


class _Last(msgspec.Struct):
    """The line that ends an answer; of `/api/embed` the only one."""

    done: bool = False
    error: str = ""
    eval_count: int = 0
    prompt_eval_count: int = 0


def shown(token: str) -> tuple[Header, ...]:
    """Return the header that shows the admin token, if there is one."""
    return ((b"X-Herd-Admin-Token", token.encode()),) if token else ()


async def send(
    url: str, choice: Choice, number: int, most_tokens: int = MOST_TOKENS, *, token: str = ""
) -> Sample:
    """Send the request of that number, and return what it took."""
    headers = [*_HEADERS, *shown(token)]
    path, body = _request(choice, number, most_tokens)
    began_s = perf_counter()
    first_s = 0.0
    kept = bytearray()

    def heard(_: int, piece: bytes) -> None:
        nonlocal first_s
        first_s = first_s or perf_counter()
        kept[:] = (kept + piece)[-END_BYTES:]

    try:
        answer = await follow(
            "POST", url + path, heard, headers=headers, body=body, silent_s=SILENT_S
        )
    except FetchError:
        latency_s = perf_counter() - began_s
        return Sample(choice.model, failed=True, latency_s=latency_s, began_s=began_s)
    ended_s = perf_counter()
    last = _end_of_chat(kept) if choice.model_type == "llm" else _end_of_embed(kept)
    return Sample(
        choice.model,
        answer.header(b"x-fleet-node").decode("utf-8", "replace"),
        failed=answer.status != OK or bool(last.error) or not last.done,
        latency_s=ended_s - began_s,
        ttft_s=(first_s or ended_s) - began_s,
        prompt_tokens=last.prompt_eval_count,
        completion_tokens=last.eval_count,
        began_s=began_s,
    )


def _request(choice: Choice, number: int, most_tokens: int) -> tuple[str, bytes]:
    text = f"{number}. {_TOPICS[number % len(_TOPICS)]}"
    if choice.model_type == "embed":
        return "/api/embed", msgspec.json.encode({"model": choice.model, "input": text})
    body = {
        "model": choice.model,
        "messages": [{"role": "user", "content": text}],
        "stream": True,
        "options": {"num_predict": most_tokens, "temperature": 0, "seed": 1},
    }
    return "/api/chat", msgspec.json.encode(body)


def _end_of_chat(kept: bytearray) -> _Last:
    lines = bytes(kept).strip().rsplit(b"\n", 1)
    try:
        return msgspec.json.decode(lines[-1], type=_Last)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _Last(error="no end")


def _end_of_embed(kept: bytearray) -> _Last:
    """Return the count of tokens, which stands behind the vectors."""
    end = bytes(kept).rstrip()
    _, found, count = end.rpartition(b'"prompt_eval_count":')
    digits = count.rstrip(b"}").strip()
    tokens = int(digits) if found and digits.isdigit() else 0
    return _Last(done=end.endswith(b"}"), prompt_eval_count=tokens)
