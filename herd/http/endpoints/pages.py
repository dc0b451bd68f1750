"""An operator's pages of figures, from the log: what is below `/dashboard/api/`.

The keys are those of ollama-herd. Days and hours are UTC, whole ones, the present one included;
`start_ts` and `end_ts` ask for others. Latencies are those of completed requests, from dispatch to
end, without the wait in line; a request is in the day and the hour in which it came.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, NamedTuple, TypeAlias

from herd.clock import wall_s
from herd.http.endpoints import keys, traces
from herd.http.exchange import Exchange
from herd.http.history import History, Row, answer_later
from herd.http.parameters import ParameterError, Parameters
from herd.http.routes import Methods
from herd.link.client import Control
from herd.link.messages import View
from herd.logd.wire import Parameter

API: Final = "/dashboard/api/"
DAY_S: Final = 86_400
HOUR_S: Final = 3_600
MOST_DAYS: Final = 366
MOST_HOURS: Final = 90 * 24
SMALLEST_CONTEXT: Final = 4096
_US: Final = 1_000_000

Making: TypeAlias = Callable[[Parameters], Coroutine[Any, Any, object]]


class Window(NamedTuple):
    """A stretch of time, in microseconds since 1970; the end is not in it."""

    units: int
    """Days or hours."""
    from_us: int
    to_us: int

    def bounds(self) -> dict[str, Parameter]:
        """Return what the queries call them."""
        return {"from_us": self.from_us, "to_us": self.to_us}


def window(parameters: Parameters, name: str, default: int, unit_s: int, most: int) -> Window:
    """Return the whole days or hours that are asked for. Raises `ParameterError`."""
    count = parameters.whole(name, default, least=1, most=most)
    start_s, end_s = parameters.instant("start_ts"), parameters.instant("end_ts")
    end = int(wall_s() if end_s is None else end_s) // unit_s + 1
    start = end - count if start_s is None else int(start_s) // unit_s
    if start_s is not None:
        count = end - start
    if start_s is not None and end_s is not None and start_s > end_s:
        raise ParameterError("start_ts must not be after end_ts")
    if not 1 <= count <= most:
        raise ParameterError(f"start_ts must be before end_ts, by at most {most} {name}")
    return Window(count, start * unit_s * _US, end * unit_s * _US)


class Pages:
    """Answers the pages."""

    def __init__(self, control: Control, history: History) -> None:
        """Ask this history; what is now comes from control's view."""
        self._control = control
        self._history = history

    def routes(self) -> dict[str, Methods]:
        """Return what answers each path."""
        pages: dict[str, Making] = {
            "overview": self._overview,
            "usage": self._usage,
            "trends": self._trends,
            "models": self._models,
            "apps": lambda given: self._uses("apps", given),
            "apps/daily": lambda given: self._daily_uses("apps_daily", given),
            "tags": lambda given: self._uses("tags", given),
            "tags/daily": lambda given: self._daily_uses("tags_daily", given),
            "context-usage": self._context_usage,
            "traces": lambda given: traces.page(self._history, given),
        }
        return {API + name: {b"GET": _page(making)} for name, making in pages.items()}

    async def _overview(self, _: Parameters) -> object:
        [totals] = await self._history.rows("overview")
        view = self._control.view
        now = {
            "nodes_online": sum(node.answers for node in view.nodes),
            "requests_active": sum(
                slots.in_flight for node in view.nodes for slots in node.slots.values()
            ),
            "requests_waiting": sum(view.waiting.values()),
        }
        return totals | now

    async def _usage(self, given: Parameters) -> object:
        asked = _days(given)
        return {
            "days": asked.units,
            "data": await self._history.rows("usage", asked.bounds()),
            "keys": [keys.told(key, wall_s()) for key in self._control.view.keys],
        }

    async def _trends(self, given: Parameters) -> object:
        asked = window(given, "hours", 72, HOUR_S, MOST_HOURS)
        return {
            "hours": asked.units,
            "data": await self._history.rows("trends", asked.bounds()),
        }

    async def _models(self, given: Parameters) -> object:
        asked = _days(given)
        daily, summary = await asyncio.gather(
            self._history.rows("models_daily", asked.bounds()),
            self._history.rows("models", asked.bounds()),
        )
        return {"days": asked.units, "daily": daily, "summary": summary}

    async def _uses(self, name: str, given: Parameters) -> object:
        asked = _days(given)
        rows = await self._history.rows(name, asked.bounds())
        return {
            "days": asked.units,
            "data": [_without(row, "first_seen", "last_seen") for row in rows],
            "summary": [
                {"tag": row["tag"], "total_requests": row["request_count"]}
                | _without(row, "tag", "request_count", "avg_ttft_ms")
                for row in rows
            ],
        }

    async def _daily_uses(self, name: str, given: Parameters) -> object:
        asked = _days(given)
        return {"days": asked.units, "data": await self._history.rows(name, asked.bounds())}

    async def _context_usage(self, given: Parameters) -> object:
        asked = _days(given)
        day_us = asked.to_us - DAY_S * _US
        rows = await self._history.rows("context_usage", asked.bounds() | {"day_us": day_us})
        view = self._control.view
        return {"days": asked.units, "models": [_context(row, view) for row in rows]}


def _days(given: Parameters) -> Window:
    return window(given, "days", 7, DAY_S, MOST_DAYS)


def _without(row: Row, *names: str) -> Row:
    return {name: value for name, value in row.items() if name not in names}


def _context(row: Row, view: View) -> dict[str, object]:
    """Return what a model's requests need of the context that it is loaded with."""
    model = row["model"]
    allocated = max(
        (
            resident.context_length
            for node in view.nodes
            for resident in node.resident
            if resident.name == model
        ),
        default=0,
    )
    needed = max(_int(row["p99_total"]), _int(row["max_total_24h"]))
    recommended = max(SMALLEST_CONTEXT, 1 << max(0, (needed * 3 // 2) - 1).bit_length())
    if allocated:
        recommended = min(recommended, allocated)
    return {
        "model": model,
        "allocated_ctx": allocated or None,
        "override_ctx": None,
        "request_count": row["request_count"],
        "prompt_tokens": {
            name: row[f"{name}_prompt"] for name in ("avg", "p50", "p75", "p95", "p99", "max")
        },
        "total_tokens": {
            "p95": row["p95_total"],
            "p99": row["p99_total"],
            "max": row["max_total"],
            "max_24h": row["max_total_24h"],
        },
        "utilization_pct": round(100 * _int(row["p99_total"]) / allocated, 1)
        if allocated
        else None,
        "recommended_ctx": recommended,
        "savings_pct": round(100 * (1 - recommended / allocated), 1) if allocated else 0,
    }


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0


def _page(making: Making) -> Callable[[Exchange], None]:
    def answer(exchange: Exchange) -> None:
        answer_later(exchange, making(Parameters(exchange.request.query)))

    return answer
