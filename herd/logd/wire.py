"""How fronts ask logd: one question and one answer a connection, each a length and msgpack.

A question names a query; SQL never comes from the network.
"""

import asyncio
import struct
from pathlib import Path
from typing import TypeAlias

import msgspec

from herd.errors import HerdError
from herd.unix_sockets import open_unix

LENGTH = struct.Struct(">I")
LARGEST_QUESTION_BYTES = 64 << 10
LARGEST_ANSWER_BYTES = 64 << 20
ANSWER_WITHIN_S = 2.0
"""The longest a query may take."""

Value: TypeAlias = bool | int | float | str | list[int] | None
Parameter: TypeAlias = bool | int | float | str | list[str]
"""A list stands in the query as `IN ($name)`."""


class Question(msgspec.Struct, frozen=True):
    """A named query and its parameters."""

    name: str
    parameters: dict[str, Parameter] = {}


class Answer(msgspec.Struct, frozen=True):
    """A table, or why there is none."""

    columns: list[str] = []
    rows: list[list[Value]] = []
    error: str = ""


class LogdAwayError(HerdError):
    """logd gave no answer: history is not to be had now, everything else goes on."""


question_decoder = msgspec.msgpack.Decoder(Question)
answer_decoder = msgspec.msgpack.Decoder(Answer)


def frame(value: Question | Answer) -> bytes:
    """Return the value as it travels."""
    body = msgspec.msgpack.encode(value)
    return LENGTH.pack(len(body)) + body


async def ask(socket: Path, question: Question, *, within_s: float = ANSWER_WITHIN_S) -> Answer:
    """Ask logd. Raises `LogdAwayError` if it is not there, too busy, or too slow."""
    try:
        async with asyncio.timeout(within_s + 0.5):
            answer = await _ask(socket, question)
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise LogdAwayError(
            "logd does not answer: it is not there",
            "try again in a moment: it is just starting, or started again by itself",
        ) from error
    except (OSError, TimeoutError, asyncio.IncompleteReadError, msgspec.DecodeError) as error:
        raise LogdAwayError(
            f"logd does not answer: {error!r}",
            "try again in a moment; its own lines are in the log file (`herd where`)",
        ) from error
    if answer.error:
        raise LogdAwayError(f"logd cannot answer: {answer.error}", "try again in a moment")
    return answer


async def _ask(socket: Path, question: Question) -> Answer:
    reader, writer = await open_unix(socket)
    try:
        writer.write(frame(question))
        await writer.drain()
        (size,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
        if size > LARGEST_ANSWER_BYTES:
            raise OSError(f"an answer of {size} bytes")
        return answer_decoder.decode(await reader.readexactly(size))
    finally:
        writer.close()
