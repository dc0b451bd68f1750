"""`GET /dashboard/api/requests/{id}`: one request's life, from the log, in words."""

import re
from pathlib import Path
from typing import Final

import msgspec

from herd.dashboard import story
from herd.http.exchange import Exchange
from herd.http.problems import JSON_UTF8
from herd.logd.wire import LogdAwayError, Question, ask
from herd.tasks import spawn

PREFIX: Final = "/dashboard/api/requests/"

_ID: Final = re.compile(r"[A-Za-z0-9-]{1,64}")


class RequestPage:
    """Asks logd for a request's events, and tells them."""

    def __init__(self, logd: Path | None) -> None:
        """Ask on that socket; without one there is no history."""
        self._logd = logd

    def ask(self, exchange: Exchange) -> None:
        """Answer 200 with the story; 400, 404 or 503 with `{"error"}`."""
        request_id = exchange.request.path.removeprefix(PREFIX)
        if _ID.fullmatch(request_id) is None:
            _error(exchange, 400, "a request's id is made of letters, digits and hyphens")
        elif self._logd is None:
            _error(exchange, 503, "this herd keeps no log that could be asked")
        else:
            spawn(_answer(exchange, self._logd, request_id), name="request page")


async def _answer(exchange: Exchange, logd: Path, request_id: str) -> None:
    try:
        found = await ask(logd, Question("request", {"request_id": request_id}))
        life = story.records(str(row[0]) for row in found.rows)
    except LogdAwayError as error:
        _error(exchange, 503, f"{error.what}; {error.next_step}")
        return
    except (ValueError, msgspec.MsgspecError) as error:
        _error(exchange, 500, f"the log holds an event that cannot be read: {error}")
        return
    if not life:
        text = "the log has no such request: it is too old, or younger than two seconds"
        _error(exchange, 404, text)
        return
    exchange.respond(200, (JSON_UTF8,), msgspec.json.encode(story.told(life)))


def _error(exchange: Exchange, status: int, text: str) -> None:
    exchange.respond(status, (JSON_UTF8,), msgspec.json.encode({"error": text}))
