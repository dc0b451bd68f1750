"""What was decided, from the log, in words: about one request, and last of all.

`GET /dashboard/api/requests/{id}` and `GET /dashboard/api/decisions?limit=N`.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import parse_qs

import msgspec

from events import Recorded
from herd.dashboard import story
from herd.http.exchange import Exchange
from herd.http.problems import JSON_UTF8
from herd.logd.wire import LogdAwayError, Question, ask
from herd.tasks import spawn

PREFIX: Final = "/dashboard/api/requests/"
DECISIONS: Final = "/dashboard/api/decisions"
MOST_DECISIONS: Final = 200

Tell: TypeAlias = Callable[[Exchange, Sequence[Recorded]], None]
_ID: Final = re.compile(r"[A-Za-z0-9-]{1,64}")


class RequestPage:
    """Asks logd for events, and tells them."""

    def __init__(self, logd: Path | None) -> None:
        """Ask on that socket; without one there is no history."""
        self._logd = logd

    def request(self, exchange: Exchange) -> None:
        """Answer 200 with the story of a request; 400, 404 or 503 with `{"error"}`."""
        request_id = exchange.request.path.removeprefix(PREFIX)
        if _ID.fullmatch(request_id) is None:
            _error(exchange, 400, "a request's id is made of letters, digits and hyphens")
        else:
            self._ask(exchange, Question("request", {"request_id": request_id}), _story)

    def decisions(self, exchange: Exchange) -> None:
        """Answer 200 with the last placements, the newest first; 400 or 503 with `{"error"}`."""
        given = parse_qs(exchange.request.query).get("limit", ["20"])[-1]
        if not given.isdecimal() or not 1 <= int(given) <= MOST_DECISIONS:
            _error(exchange, 400, f"limit must be a number from 1 to {MOST_DECISIONS}")
        else:
            self._ask(exchange, Question("decisions", {"limit": int(given)}), _decisions)

    def _ask(self, exchange: Exchange, question: Question, tell: Tell) -> None:
        if self._logd is None:
            _error(exchange, 503, "this herd keeps no log that could be asked")
        else:
            spawn(_answer(exchange, self._logd, question, tell), name=f"ask {question.name}")


async def _answer(exchange: Exchange, logd: Path, question: Question, tell: Tell) -> None:
    try:
        found = await ask(logd, question)
        tell(exchange, story.records(str(row[0]) for row in found.rows))
    except LogdAwayError as error:
        _error(exchange, 503, f"{error.what}; {error.next_step}")
    except (ValueError, msgspec.MsgspecError) as error:
        _error(exchange, 500, f"the log holds an event that cannot be read: {error}")
    except BaseException:
        exchange.fail()
        raise


def _story(exchange: Exchange, life: Sequence[Recorded]) -> None:
    if life:
        exchange.respond(200, (JSON_UTF8,), msgspec.json.encode(story.told(life)))
    else:
        text = "the log has no such request: it is too old, or younger than two seconds"
        _error(exchange, 404, text)


def _decisions(exchange: Exchange, dispatches: Sequence[Recorded]) -> None:
    told = {"decisions": [story.placed(each) for each in dispatches]}
    exchange.respond(200, (JSON_UTF8,), msgspec.json.encode(told))


def _error(exchange: Exchange, status: int, text: str) -> None:
    exchange.respond(status, (JSON_UTF8,), msgspec.json.encode({"error": text}))
