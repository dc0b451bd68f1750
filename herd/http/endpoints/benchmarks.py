"""Benchmarks of the live fleet, below `/dashboard/api/benchmarks`, with the keys of ollama-herd.

Control has them run, one at a time; how far one is, its view tells on every front, and what was
measured the log: `/dashboard/api/benchmarks` turns its pages, `.../RUN_ID` gives one, `.../compare`
two side by side.
"""

import secrets
from collections.abc import Awaitable, Callable
from typing import Final, Literal

import msgspec

from events import (
    BenchmarkCancelled,
    BenchmarkEnded,
    BenchmarkMode,
    BenchmarkStarted,
    Event,
    ModelType,
    WantedPull,
    decode,
)
from herd.bench import comparing, told
from herd.bench.proposing import propose
from herd.clock import wall_s
from herd.health.picture import Picture
from herd.http import places, problems
from herd.http.exchange import Exchange
from herd.http.history import History, Row, answer_later
from herd.http.parameters import LARGEST, ParameterError, Parameters
from herd.http.problems import JSON_UTF8
from herd.http.routes import Handler, Methods
from herd.http.settling import Settling
from herd.link.client import Control, LinkFullError
from herd.link.messages import BenchView, View
from herd.logd.wire import Parameter
from herd.tasks import spawn

PATH: Final = "/dashboard/api/benchmarks"
BELOW: Final = PATH + "/"
MOST: Final = 200
MOST_MODELS: Final = 16
MOST_PULLS: Final = 8
LEAST_S: Final = 1.0
LONGEST_S: Final = 3600.0


class _Asked(msgspec.Struct):
    mode: BenchmarkMode = "default"
    duration: float = 300.0
    model_types: tuple[Literal["llm", "embed", "image"], ...] = ("llm",)
    models: list[str] = []
    pulls: list[WantedPull] = []
    remove_pulled: bool = False


class Benchmarks:
    """Begins them, tells of them, stops them."""

    def __init__(
        self,
        control: Control,
        history: History,
        settling: Settling,
        picture: Callable[[], Awaitable[Picture]],
    ) -> None:
        """Tell control what is wanted; the past, and what speaks for a pull, come from the log."""
        self._picture = picture
        self._control = control
        self._history = history
        self._settling = settling

    def routes(self, admin: Callable[[Handler], Handler]) -> dict[str, Methods]:
        """Return what answers each path; what sends work to the fleet is the admin's."""
        return {
            PATH: {b"GET": self._list},
            BELOW + "start": {b"POST": admin(self._start)},
            BELOW + "cancel": {b"POST": admin(self._cancel)},
            BELOW + "progress": {b"GET": self._progress},
            BELOW + "compare": {b"GET": self._compare},
            BELOW + "proposal": {b"GET": self._propose},
        }

    def below(self) -> dict[str, Methods]:
        """Return what answers a path that ends with a run's id."""
        return {BELOW: {b"GET": self._one}}

    def _start(self, exchange: Exchange) -> None:
        try:
            asked = _asked(exchange.request.body)
        except ValueError as error:
            _refuse(exchange, 400, str(error))
            return
        view = self._control.view
        if view.benchmark is not None and view.benchmark.runs:
            _refuse_second(exchange, view.benchmark)
            return
        if not any(node.status == "online" and not node.draining for node in view.nodes):
            _refuse(exchange, 503, "no node takes work: `herd status` shows why")
            return
        nowhere = [
            name for name in asked.models if not any(places.has(n, name) for n in view.nodes)
        ]
        if nowhere:
            _refuse(exchange, 400, f"models: no node has {', '.join(nowhere)}")
            return
        try:
            pulls = tuple(_pull(view, wanted) for wanted in asked.pulls)
        except problems.BadRequestError as error:
            _refuse(exchange, error.status, f"pulls: {error.what}")
            return
        started = BenchmarkStarted(
            run_id=f"bench-{int(wall_s())}-{secrets.token_hex(2)}",
            mode=asked.mode,
            duration_s=asked.duration,
            model_types=tuple(_measured(asked.model_types)),
            models=tuple(places.spelled(view, name) for name in asked.models),
            by=exchange.peer,
            pulls=pulls,
            removes=asked.remove_pulled and bool(pulls),
        )
        if self._told(exchange, started):
            spawn(self._begun(exchange, started), name=f"start {started.run_id}")

    async def _begun(self, exchange: Exchange, started: BenchmarkStarted) -> None:
        """Answer once it is seen to run, or another one."""
        await self._settling.measuring()
        found = self._control.view.benchmark
        if found is None or not (found.runs or found.run_id == started.run_id):
            _refuse(exchange, 503, "control does not answer: ask again in a moment")
        elif found.run_id != started.run_id:
            _refuse_second(exchange, found)
        else:
            _say(
                exchange,
                {
                    "status": "started",
                    "run_id": started.run_id,
                    "mode": started.mode,
                    "duration": started.duration_s,
                    "model_types": started.model_types,
                    "pulls": started.pulls,
                },
            )

    def _cancel(self, exchange: Exchange) -> None:
        found = self._control.view.benchmark
        if found is None or not found.runs:
            _say(exchange, {"status": "idle"})
        elif self._told(exchange, BenchmarkCancelled(run_id=found.run_id, by=exchange.peer)):
            _say(exchange, {"status": "cancelling", "run_id": found.run_id})

    def _progress(self, exchange: Exchange) -> None:
        found = self._control.view.benchmark
        _say(exchange, {"status": "idle", "phase": ""} if found is None else _far(found))

    def _list(self, exchange: Exchange) -> None:
        answer_later(exchange, self._page(Parameters(exchange.request.query)))

    def _one(self, exchange: Exchange) -> None:
        answer_later(exchange, self._found(exchange.request.path.removeprefix(BELOW)))

    def _compare(self, exchange: Exchange) -> None:
        answer_later(exchange, self._compared(Parameters(exchange.request.query)))

    def _propose(self, exchange: Exchange) -> None:
        answer_later(exchange, self._proposed(Parameters(exchange.request.query)))

    async def _proposed(self, given: Parameters) -> dict[str, object]:
        kind = given.choice("model_type", ("llm", "embed"))
        types: tuple[ModelType, ...] = ("llm", "embed")
        found = propose(await self._picture(), tuple(t for t in types if kind in {"", t}))
        return {
            "pulls": [
                {
                    "model": each.model,
                    "node_id": each.node_id,
                    "size_gb": round(each.size_bytes / 1e9, 1),
                    "reason": each.reason,
                }
                for each in found
            ]
        }

    async def _page(self, given: Parameters) -> dict[str, object]:
        limit = given.whole("limit", 50, least=1, most=MOST)
        rows = await self._rows("", limit + 1, given.whole("before", LARGEST, least=1))
        more = len(rows) > limit
        return {
            "data": [_run(row) for row in rows[:limit]],
            "next_before": rows[limit - 1]["seq"] if more else None,
        }

    async def _found(self, run_id: str) -> dict[str, object]:
        rows = await self._rows(run_id, 1)
        return {"data": _run(rows[0]) if rows else None}

    async def _compared(self, given: Parameters) -> dict[str, object]:
        runs: dict[str, dict[str, object]] = {}
        for name in ("before", "after"):
            run_id = given.text(name)
            rows = await self._rows(run_id, 1) if run_id else []
            if not rows:
                raise ParameterError(f"{name} must be the run_id of a benchmark in the log")
            runs[name] = _run(rows[0])
        before, after = runs["before"], runs["after"]
        return {
            **runs,
            "figures": comparing.compared(before, after),
            "unlike": comparing.unlike(before, after),
        }

    async def _rows(self, run_id: str, limit: int, before: int = LARGEST) -> list[Row]:
        asked: dict[str, Parameter] = {"run_id": run_id, "limit": limit, "before": before}
        return await self._history.rows("benchmarks", asked)

    def _told(self, exchange: Exchange, fact: Event) -> bool:
        try:
            self._control.tell(fact)
        except LinkFullError as error:
            _refuse(exchange, 503, error.what)
            return False
        return True


def _asked(body: bytes) -> _Asked:
    """Return what is wanted. Raises `ValueError` that names the field."""
    try:
        asked = msgspec.json.decode(body or b"{}", type=_Asked)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f'write {{"mode": "default", "duration": 300}}: {error}') from error
    if not LEAST_S <= asked.duration <= LONGEST_S:
        raise ValueError(f"duration must be from {LEAST_S:g} to {LONGEST_S:g} seconds")
    if len(asked.models) > MOST_MODELS:
        raise ValueError(f"models must be at most {MOST_MODELS}")
    if len(asked.pulls) > MOST_PULLS:
        raise ValueError(f"pulls must be at most {MOST_PULLS}")
    if not _measured(asked.model_types):
        raise ValueError("model_types must hold llm or embed: herd serves no images")
    return asked


def _pull(view: View, wanted: WantedPull) -> WantedPull:
    """Return a pull as the fleet spells it. Raises `BadRequestError` where it cannot go."""
    if not wanted.model.strip():
        raise problems.BadRequestError("model is required")
    node = places.named(view, wanted.node_id)
    return WantedPull(model=places.spelled(view, wanted.model), node_id=node.node_id)


def _measured(types: tuple[Literal["llm", "embed", "image"], ...]) -> list[ModelType]:
    return [each for each in types if each != "image"]


def _far(found: BenchView) -> dict[str, object]:
    return {
        "status": found.status,
        "phase": found.phase,
        "run_id": found.run_id,
        "mode": found.mode,
        "elapsed": found.elapsed_s,
        "duration": found.duration_s,
        "requests_completed": found.completed,
        "requests_failed": found.failed,
        "tok_per_sec": found.tokens_per_s,
        "models": found.models,
        "models_pulled": found.pulled,
        "pull_progress": {
            "completed_bytes": found.completed_bytes,
            "total_bytes": found.total_bytes,
        }
        if found.status == "pulling"
        else {},
        "error": found.error or None,
    }


def _run(row: Row) -> dict[str, object]:
    event = decode(str(row["line"]).encode()).event
    if not isinstance(event, BenchmarkEnded | BenchmarkStarted):
        raise TypeError(f"the log gave a {type(event).__name__} for a benchmark")
    at = row["ended_at"]
    return told.run(event, at if isinstance(at, float | int) else 0.0)


def _refuse_second(exchange: Exchange, running: BenchView) -> None:
    text = f"the benchmark {running.run_id} is running: wait for its end, or cancel it"
    _refuse(exchange, 409, text)


def _refuse(exchange: Exchange, status: int, text: str) -> None:
    exchange.respond(status, (JSON_UTF8,), msgspec.json.encode({"error": text}))


def _say(exchange: Exchange, answer: object) -> None:
    exchange.respond(200, (JSON_UTF8,), msgspec.json.encode(answer))
