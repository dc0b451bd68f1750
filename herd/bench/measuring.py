"""A benchmark from its plan to its end: choose, warm up, send for that long, count."""

import asyncio
from collections.abc import Callable, Coroutine
from itertools import count
from time import perf_counter
from typing import Any, Final, TypeVar

import msgspec

from events import BenchmarkEnded, BenchmarkOutcome
from herd.bench import choosing, counting
from herd.bench.choosing import Choice, Known, Status
from herd.bench.counting import Peaks, Sample
from herd.bench.pulling import Pulling
from herd.bench.sending import OK, send, shown
from herd.bench.words import Plan, Progress
from herd.dialects.names import key
from herd.errors import HerdError
from herd.http.client import fetch
from herd.tasks import spawn

TELL_EVERY_S: Final = 0.5
LOOK_WITHIN_S: Final = 5.0
GRACE_S: Final = 60.0
"""For requests that are under way when the time is up; those that take longer do not count."""
PAUSE_S: Final = 0.2
"""After a failure: a fleet that refuses is not asked a thousand times a second."""
USED_DAYS: Final = 7

T = TypeVar("T")


class _Tags(msgspec.Struct):
    models: list[Known] = []


class _Used(msgspec.Struct):
    model_name: str
    total_requests: int = 0


class _Models(msgspec.Struct):
    summary: list[_Used] = []


class Benchmark:
    """One run, on the loop it was made on."""

    def __init__(self, plan: Plan, tell: Callable[[Progress], None]) -> None:
        """Measure by this plan, and tell how far it is."""
        self._plan = plan
        self._tell = tell
        self._enough = asyncio.Event()
        self._pulling = Pulling(plan, tell)
        self._samples: list[Sample] = []
        self._peaks = Peaks()
        self._choices: list[Choice] = []
        self._slots: dict[str, int] = {}
        self._status = Status()
        self._numbers = count(1)
        self._began_s = 0.0

    def stop(self) -> None:
        """End it now; what was measured so far is told."""
        self._enough.set()

    async def run(self) -> BenchmarkEnded:
        """Return what was measured."""
        error = await self._until_enough(self._prepared_or_why_not())
        if error is None and not self._enough.is_set():
            await self._measured()
        await self._pulling.clear()
        failures = self._pulling.failures
        if error is not None:
            text = "; ".join(filter(None, (*failures, error.what, error.next_step)))
            return self._ended("failed", text)
        return self._ended("cancelled" if self._enough.is_set() else "done", "; ".join(failures))

    async def _prepared_or_why_not(self) -> HerdError | None:
        try:
            await self._prepared()
        except HerdError as error:
            return error
        return None

    async def _prepared(self) -> None:
        """Pull what is wanted, choose the models, and have each of them in memory."""
        plan = self._plan
        await self._pulling.pull()
        self._status = await self._asked("/fleet/status", Status)
        known = (await self._asked("/api/tags", _Tags)).models
        if plan.models:
            self._choices = choosing.named(plan.models, known)
        else:
            used = await self._used() if plan.mode == "smart" else {}
            self._choices = choosing.choose(plan.mode, self._status, known, used, plan.model_types)
            self._choices += self._just_pulled(known)
        self._say("warming_up", f"warming up {', '.join(self._names)}")
        warm = await asyncio.gather(
            *(
                send(plan.url, choice, 0, most_tokens=1, token=plan.token)
                for choice in self._choices
            )
        )
        cold = {sample.model for sample in warm if sample.failed}
        self._choices = [choice for choice in self._choices if choice.model not in cold]
        if not self._choices:
            raise HerdError(f"not one answered: {', '.join(sorted(cold))}", "`herd log` shows why")
        self._status = await self._asked("/fleet/status", Status)
        self._slots = {
            choice.model: choosing.at_once(self._status, choice.model) for choice in self._choices
        }

    async def _measured(self) -> None:
        """Keep every slot busy until the time is up."""
        self._began_s = perf_counter()
        until_s = self._began_s + self._plan.duration_s
        senders = [
            spawn(self._send(choice, until_s), name=choice.model)
            for choice in self._choices
            for _ in range(self._slots[choice.model])
        ]
        looking = spawn(self._look(), name="look")
        enough = spawn(self._enough.wait(), name="enough")
        try:
            everybody = spawn(asyncio.wait(senders), name="everybody")
            within_s = self._plan.duration_s + GRACE_S
            await asyncio.wait(
                (everybody, enough), timeout=within_s, return_when=asyncio.FIRST_COMPLETED
            )
            for sender in senders:
                sender.cancel()
            await everybody
        finally:
            looking.cancel()
            enough.cancel()

    async def _send(self, choice: Choice, until_s: float) -> None:
        while perf_counter() < until_s:
            sample = await send(self._plan.url, choice, next(self._numbers), token=self._plan.token)
            self._samples.append(sample)
            if sample.failed:
                await asyncio.sleep(PAUSE_S)

    async def _look(self) -> None:
        while True:
            self._say("running", f"asking {', '.join(self._names)}")
            await asyncio.sleep(TELL_EVERY_S)
            try:
                self._peaks.look(await self._asked("/fleet/status", Status))
            except HerdError:
                continue  # its requests tell that better

    async def _until_enough(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Return what this comes to; None if it was enough before."""
        task = spawn(work, name="prepare")
        enough = spawn(self._enough.wait(), name="enough")
        await asyncio.wait((task, enough), return_when=asyncio.FIRST_COMPLETED)
        enough.cancel()
        if task.done():
            return task.result()
        task.cancel()
        await asyncio.wait((task,))
        return None

    async def _asked(self, path: str, shape: type[T]) -> T:
        headers = shown(self._plan.token)
        url = self._plan.url + path
        answer = await fetch("GET", url, headers=headers, timeout_s=LOOK_WITHIN_S)
        if answer.status != OK:
            raise HerdError(f"{path} answered {answer.status}")
        return msgspec.json.decode(answer.body, type=shape)

    async def _used(self) -> dict[str, int]:
        """Return how often each model was asked for lately; nothing where the log is away."""
        try:
            found = await self._asked(f"/dashboard/api/models?days={USED_DAYS}", _Models)
        except HerdError:
            return {}
        return {key(row.model_name): row.total_requests for row in found.summary}

    def _just_pulled(self, known: list[Known]) -> list[Choice]:
        """Return what was pulled and is not chosen yet: it is measured, come what may."""
        chosen = {key(choice.model) for choice in self._choices}
        names = [pull.model for pull in self._pulling.pulled if key(pull.model) not in chosen]
        return choosing.named(tuple(names), known)

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple(choice.model for choice in self._choices)

    def _say(self, status: str, phase: str) -> None:
        elapsed_s = perf_counter() - self._began_s if self._began_s else 0.0
        good = [sample for sample in self._samples if not sample.failed]
        tokens = sum(sample.completion_tokens for sample in good)
        self._tell(
            Progress(
                status,
                phase,
                round(elapsed_s, 1),
                len(good),
                len(self._samples) - len(good),
                round(tokens / elapsed_s, 1) if elapsed_s else 0.0,
                self._names,
                tuple(pull.model for pull in self._pulling.pulled),
            )
        )

    def _ended(self, outcome: BenchmarkOutcome, error: str) -> BenchmarkEnded:
        took_s = perf_counter() - self._began_s if self._began_s else 0.0
        good = [sample for sample in self._samples if not sample.failed]
        latencies = [sample.latency_s for sample in good]
        firsts = [sample.ttft_s for sample in good]
        if outcome == "done" and not good:
            outcome, error = "failed", "not one request was answered; `herd log` shows why"
        return BenchmarkEnded(
            run_id=self._plan.run_id,
            mode=self._plan.mode,
            outcome=outcome,
            error=error,
            took_s=round(took_s, 3),
            requests=len(good),
            failed=len(self._samples) - len(good),
            prompt_tokens=sum(sample.prompt_tokens for sample in good),
            completion_tokens=sum(sample.completion_tokens for sample in good),
            latency_p50_s=counting.percentile(latencies, 50),
            latency_p95_s=counting.percentile(latencies, 95),
            latency_p99_s=counting.percentile(latencies, 99),
            ttft_p50_s=counting.percentile(firsts, 50),
            ttft_p95_s=counting.percentile(firsts, 95),
            ttft_p99_s=counting.percentile(firsts, 99),
            models=counting.by_model(
                self._samples, self._choices, lambda model: self._slots.get(model, 0)
            ),
            pulled=tuple(self._pulling.pulled),
            removed=tuple(self._pulling.removed),
            nodes=counting.by_node(self._samples, self._status.nodes, self._peaks),
        )
