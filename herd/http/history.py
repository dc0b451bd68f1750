"""What happened: a front's way to ask logd, cached for a second, at most four questions at once.

Rules
1. A question that is being asked, or was answered within the last second, is not asked again: many
   open pages cost what one costs.
2. Every wait is bounded, for room and for logd: then the asker hears `LogdAwayError`, a 503.
3. Nothing else waits for history: no request of a client ever comes through here.
"""

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec

from herd.http.exchange import Exchange
from herd.http.parameters import ParameterError
from herd.http.problems import JSON_UTF8
from herd.logd.wire import LogdAwayError, Parameter, Question, Value, ask
from herd.tasks import spawn

AT_ONCE: Final = 4
ROOM_WITHIN_S: Final = 2.0
KEPT_S: Final = 1.0
MOST_KEPT: Final = 64
RETRY_AFTER_S: Final = 2

_log = logging.getLogger("herd.http")

Row: TypeAlias = dict[str, Value]
Outcome: TypeAlias = list[Row] | LogdAwayError


class History:
    """Asks logd the named queries of `herd.logd.queries`."""

    def __init__(self, logd: Path | None) -> None:
        """Ask on that socket; without one there is no history."""
        self._logd = logd
        self._room = asyncio.Semaphore(AT_ONCE)
        self._asked: dict[bytes, tuple[float, asyncio.Task[Outcome]]] = {}
        self._away = False

    @property
    def kept(self) -> int:
        """How many answers are remembered."""
        return len(self._asked)

    async def rows(self, name: str, parameters: Mapping[str, Parameter] | None = None) -> list[Row]:
        """Return the rows of a named query, each by its columns. Raises `LogdAwayError`."""
        question = Question(name, dict(parameters or {}))
        key = msgspec.msgpack.encode(question)
        now_s = asyncio.get_running_loop().time()
        until_s, task = self._asked.get(key, (0.0, None))
        if task is None or until_s <= now_s:
            self._forget(now_s)
            task = spawn(self._ask(question), name=f"ask {name}")
            self._asked[key] = (float("inf"), task)
            task.add_done_callback(lambda done: self._answered(key, done))
        outcome = await asyncio.shield(task)
        if isinstance(outcome, LogdAwayError):
            raise outcome
        return outcome

    async def _ask(self, question: Question) -> Outcome:
        if self._logd is None:
            return LogdAwayError("this herd keeps no log that could be asked")
        try:
            await asyncio.wait_for(self._room.acquire(), ROOM_WITHIN_S)
        except TimeoutError:
            return LogdAwayError("too many questions to logd at once", "try again in a moment")
        try:
            answer = await ask(self._logd, question)
        except LogdAwayError as error:
            if not self._away:
                self._away = True
                _log.warning("logd does not answer; figures and health wait, requests do not")
            return error
        finally:
            self._room.release()
        if self._away:
            self._away = False
            _log.warning("logd answers again")
        return [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]

    def _answered(self, key: bytes, task: asyncio.Task[Outcome]) -> None:
        self._asked[key] = (task.get_loop().time() + KEPT_S, task)

    def _forget(self, now_s: float) -> None:
        """Drop what is too old; and the oldest, where pages ask for very many different things."""
        self._asked = {key: kept for key, kept in self._asked.items() if kept[0] > now_s}
        while len(self._asked) >= MOST_KEPT:
            del self._asked[next(iter(self._asked))]


def answer_later(exchange: Exchange, making: Coroutine[Any, Any, object]) -> None:
    """Answer 200 with the JSON of what a coroutine returns; 400 or 503 if it raises such errors.

    Those are `ParameterError`, and `LogdAwayError`, whose answer names logd.
    """
    spawn(_answer(exchange, making), name="history")


async def _answer(exchange: Exchange, making: Coroutine[Any, Any, object]) -> None:
    try:
        made = await making
    except LogdAwayError as error:
        text = "; ".join(filter(None, (error.what, error.next_step)))
        retry = (b"Retry-After", b"%d" % RETRY_AFTER_S)
        exchange.respond(503, (JSON_UTF8, retry), msgspec.json.encode({"error": text}))
    except ParameterError as error:
        exchange.respond(400, (JSON_UTF8,), msgspec.json.encode({"error": str(error)}))
    except BaseException:
        exchange.fail()
        raise
    else:
        exchange.respond(200, (JSON_UTF8,), msgspec.json.encode(made))
