"""Has benchmarks run: each by a process of its own, one at a time, told of as it goes.

A benchmark is in the journal before its process begins. The end of the process's input is the word
to stop; it has some seconds to say what it measured so far, and is killed then. It stops by itself
when control dies.
"""

import asyncio
import contextlib
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from typing import Final

import msgspec
from msgspec.structs import replace

from events import BenchmarkCancelled, BenchmarkEnded, BenchmarkStarted, Event, Recorded
from herd.bench.words import Plan, Progress, Said
from herd.link.messages import BenchView
from herd.tasks import spawn

STOPS_WITHIN_S: Final = 5.0
LONGEST_LINE_BYTES: Final = 1 << 20

HEARS: Final[tuple[type[Event], ...]] = (BenchmarkStarted, BenchmarkCancelled, BenchmarkEnded)

_WORDS: Final = {"done": "complete", "cancelled": "cancelled"}


class Benchmarks:
    """The benchmark that runs, on the loop it was made on, and how the last one ended."""

    def __init__(
        self,
        put: Callable[[Event], None],
        url: str,
        changed: Callable[[], None],
        token: str = "",
    ) -> None:
        """Put facts; measure what is at this address; tell when there is something new to show.

        `token` is the admin token, for a fleet in which nobody is served without a key.
        """
        self._token = token
        self._put = put
        self._url = url
        self._changed = changed
        self._task: asyncio.Task[None] | None = None
        self._process: Process | None = None
        self._enough = False
        self.shown: BenchView | None = None

    def recorded(self, record: Recorded) -> None:
        """Act on what was just written; of the kinds in `HEARS`."""
        match record.event:
            case BenchmarkStarted() as started if self._task is None:
                self._enough = False
                self._show(
                    BenchView(
                        started.run_id,
                        started.mode,
                        "warming_up",
                        started.duration_s,
                        "looking at the fleet",
                    )
                )
                self._task = spawn(self._run(started), name=started.run_id)
            case BenchmarkStarted(run_id=run_id, mode=mode):
                self._put(
                    BenchmarkEnded(
                        run_id=run_id, mode=mode, outcome="refused", error="another is running"
                    )
                )
            case BenchmarkCancelled(run_id=run_id):
                if self.shown is not None and self.shown.run_id == run_id:
                    self._stop()
            case BenchmarkEnded() as ended if ended.outcome != "refused":
                self._ended(ended)
            case _:
                pass

    async def close(self) -> None:
        """Stop what runs; what it has measured is not told any more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    def _stop(self) -> None:
        self._enough = True
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    def _say(self, line: bytes) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(line)

    def _show(self, view: BenchView) -> None:
        self.shown = view
        self._changed()

    async def _run(self, started: BenchmarkStarted) -> None:
        try:
            ended = await self._measured(started)
        except OSError as error:
            text = f"the process that measures did not start: {error.strerror}"
            ended = _failed(started, text)
        except (ValueError, msgspec.MsgspecError) as error:
            ended = _failed(started, f"the process that measures said what cannot be: {error}")
        finally:
            self._task = self._process = None
        self._put(ended)

    async def _measured(self, started: BenchmarkStarted) -> BenchmarkEnded:
        """Return what the process has said at its end."""
        process = self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "herd.bench"),
            stdin=PIPE,
            stdout=PIPE,
            limit=LONGEST_LINE_BYTES,
        )
        plan = Plan(
            started.run_id,
            self._url,
            started.mode,
            started.duration_s,
            started.model_types,
            started.models,
            self._token,
            started.pulls,
            started.removes,
        )
        try:
            self._say(msgspec.json.encode(plan) + b"\n")
            if self._enough:
                self._stop()
            found = await self._heard(process, started)
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
            code = await process.wait()
        if found is None:
            return _failed(started, f"the process that measures ended with {code}")
        return found

    async def _heard(self, process: Process, started: BenchmarkStarted) -> BenchmarkEnded | None:
        """Follow what the process says; return its last word, or None if there was none."""
        said = process.stdout or asyncio.StreamReader()
        decoder = msgspec.json.Decoder(Said)
        while True:
            within_s = STOPS_WITHIN_S if self._enough else None
            try:
                async with asyncio.timeout(within_s):
                    line = await said.readline()
            except TimeoutError:
                return _failed(started, f"the process that measures did not stop in {within_s:g} s")
            if not line:
                return None
            word = decoder.decode(line)
            if isinstance(word, BenchmarkEnded):
                return word
            self._progressed(word)

    def _progressed(self, said: Progress) -> None:
        if self.shown is not None:
            self._show(
                replace(
                    self.shown,
                    status=said.status,
                    phase=said.phase,
                    elapsed_s=said.elapsed_s,
                    completed=said.completed,
                    failed=said.failed,
                    tokens_per_s=said.tokens_per_s,
                    models=said.models,
                    pulled=said.pulled,
                    completed_bytes=said.completed_bytes,
                    total_bytes=said.total_bytes,
                )
            )

    def _ended(self, ended: BenchmarkEnded) -> None:
        if self.shown is None or self.shown.run_id != ended.run_id:
            return
        self._show(
            replace(
                self.shown,
                status=_WORDS.get(ended.outcome, "error"),
                phase=ended.outcome,
                completed=ended.requests,
                failed=ended.failed,
                error=ended.error,
            )
        )


def _failed(started: BenchmarkStarted, error: str) -> BenchmarkEnded:
    return BenchmarkEnded(run_id=started.run_id, mode=started.mode, outcome="failed", error=error)
