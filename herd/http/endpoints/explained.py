"""`/dashboard/api/explain?request_id=ID`: why a request went where it went, to the last word.

What `herd explain --json` prints: the log is folded to each decision about the request
(`herd.replay.explaining`), which takes a second or more. The page of a request asks for it only
when somebody wants to know.
"""

import re
from typing import Any, Final

from herd.http.exchange import Exchange
from herd.http.history import answer_later
from herd.http.lookback import Lookback
from herd.http.parameters import ParameterError, Parameters
from herd.http.routes import Methods

PATH: Final = "/dashboard/api/explain"
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")


class Explained:
    """Explains."""

    def __init__(self, lookback: Lookback) -> None:
        """Look back into this log."""
        self._lookback = lookback

    def routes(self) -> dict[str, Methods]:
        """Return what answers the path."""
        return {PATH: {b"GET": self._explain}}

    def _explain(self, exchange: Exchange) -> None:
        answer_later(exchange, self._found(Parameters(exchange.request.query)))

    async def _found(self, given: Parameters) -> dict[str, Any]:
        request_id = given.text("request_id")
        if _ID.fullmatch(request_id) is None:
            raise ParameterError("request_id must be made of letters, digits and hyphens")
        longer = f"herd explain {request_id}"
        found = await self._lookback.found("herd.replay.explaining", request_id, longer)
        if "error" in found:
            raise ParameterError(f"request_id must be one that can be explained: {found['error']}")
        return found
