"""Observations of speed: how long a stretch of work took on a node, and beside what.

A run has two stretches: its prompt is taken in until the first byte comes, from then on its answer
is made. For each the runs beside it are counted, weighted by the time that they shared.

Before that it may wait in the node: for a load, as the node says, or for a slot. A node takes the
requests of a model in order: one begins when fewer of those before it are left than it has slots.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

import msgspec

from actors.core.state import US
from events import NodeId
from herd.whatif.evidence import Run

NO_LOAD_S = 0.05
"""A load that a node reports below this is none: the model was there."""


class Stretch(msgspec.Struct, gc=False):
    """A stretch of work of one run."""

    lasted_s: float
    steps: float = 0.0
    """Tokens of the answer made in it, after the first."""
    prompt_tokens: float = 0.0
    """Of the run itself, and of those beside it while it lasted."""
    beside: float = 0.0
    """Answers of the same model made at the same time, itself not counted."""
    cached_tokens: float = 0.0
    """Read again at each step, for all of them."""
    sharing: float = 1.0
    """Models at work on the node."""
    own_prompt: bool = False
    """Its own prompt is taken in here."""


class _Window(msgspec.Struct, gc=False):
    """A stretch, and the instants it lies between."""

    begun_us: int
    ended_us: int
    stretch: Stretch


class _Pair(msgspec.Struct, gc=False):
    """A run with its two windows; either may be missing."""

    run: Run
    prompt: _Window | None
    answer: _Window | None
    clean: bool
    """When the work on its prompt began is known."""


def stretches(runs: Iterable[Run], slots: Mapping[str, int]) -> dict[str, list[Stretch]]:
    """Return the observations of one node, per model; it has so many slots for each."""
    ordered = sorted((run for run in runs if run.ended_us), key=lambda run: run.begun_us)
    pairs = [
        _pair(run, from_us) for run, from_us in zip(ordered, _begun(ordered, slots), strict=True)
    ]
    _meet(pairs)
    _share(pairs)
    found: dict[str, list[Stretch]] = defaultdict(list)
    for pair in pairs:
        if not pair.run.whole:
            continue
        if pair.prompt is not None and pair.clean:
            found[pair.run.model].append(pair.prompt.stretch)
        if pair.answer is not None and pair.answer.stretch.steps > 0:
            found[pair.run.model].append(pair.answer.stretch)
    return found


def by_node(runs: Iterable[Run]) -> dict[NodeId, list[Run]]:
    """Return the runs of each node."""
    found: dict[NodeId, list[Run]] = defaultdict(list)
    for run in runs:
        found[run.node_id].append(run)
    return found


def _begun(ordered: Sequence[Run], slots: Mapping[str, int]) -> Iterator[int]:
    """Yield for each run when the node began to work on it."""
    active: dict[str, list[int]] = defaultdict(list)
    for run in ordered:
        left = sorted(end for end in active[run.model] if end > run.begun_us)
        have = slots.get(run.model, 1)
        from_us = left[len(left) - have] if len(left) >= have else run.begun_us
        if run.load_s >= NO_LOAD_S:
            from_us = max(from_us, run.begun_us + round(run.load_s * US))
        yield from_us
        active[run.model] = [*left, run.ended_us]


def _pair(run: Run, from_us: int) -> _Pair:
    streamed = 0 < run.first_us < run.ended_us
    until_us = run.first_us if streamed else run.ended_us
    clean = from_us < until_us and not (run.cold and run.load_s < NO_LOAD_S)
    prompt = _window(from_us if clean else run.begun_us, until_us)
    prompt.stretch.own_prompt = True
    prompt.stretch.prompt_tokens = run.prompt_tokens
    if not streamed:
        prompt.stretch.steps = max(0, run.completion_tokens - 1)
        prompt.stretch.cached_tokens = run.prompt_tokens + run.completion_tokens / 2
        return _Pair(run, prompt, None, clean)
    prompt.stretch.cached_tokens = run.prompt_tokens / 2
    answer = _window(run.first_us, run.ended_us)
    answer.stretch.steps = max(0, run.completion_tokens - 1)
    answer.stretch.cached_tokens = run.prompt_tokens + run.completion_tokens / 2
    return _Pair(run, prompt, answer, clean)


def _window(begun_us: int, ended_us: int) -> _Window:
    return _Window(begun_us, ended_us, Stretch(max(1, ended_us - begun_us) / US))


def _meet(pairs: Sequence[_Pair]) -> None:
    """Let each run know those of its model that it shared the node with."""
    active: dict[str, list[_Pair]] = defaultdict(list)
    for pair in pairs:
        run = pair.run
        beside = [other for other in active[run.model] if other.run.ended_us > run.begun_us]
        for other in beside:
            for mine in (pair.prompt, pair.answer):
                _overlap(mine, other)
            for theirs in (other.prompt, other.answer):
                _overlap(theirs, pair)
        active[run.model] = [*beside, pair]


def _overlap(window: _Window | None, other: _Pair) -> None:
    """Count in a window what another run did meanwhile."""
    if window is None:
        return
    stretch, length_us = window.stretch, max(1, window.ended_us - window.begun_us)
    run = other.run
    if other.prompt is not None and other.clean:
        shared_us = _shared_us(window, other.prompt)
        lasted_us = max(1, other.prompt.ended_us - other.prompt.begun_us)
        if other.answer is None:  # where its first byte was is not known
            stretch.beside += shared_us / length_us
            stretch.cached_tokens += shared_us / length_us * run.prompt_tokens
        stretch.prompt_tokens += run.prompt_tokens * shared_us / lasted_us
    if other.answer is not None:
        share = _shared_us(window, other.answer) / length_us
        stretch.beside += share
        stretch.cached_tokens += share * (run.prompt_tokens + run.completion_tokens / 2)


def _shared_us(a: _Window, b: _Window) -> int:
    return max(0, min(a.ended_us, b.ended_us) - max(a.begun_us, b.begun_us))


def _share(pairs: Sequence[_Pair]) -> None:
    """Count the models at work, on average, while each stretch lasted."""
    times, work = _work(pairs)
    for pair in pairs:
        for window in (pair.prompt, pair.answer):
            if window is not None:
                length_us = max(1, window.ended_us - window.begun_us)
                done = _at(times, work, window.ended_us) - _at(times, work, window.begun_us)
                window.stretch.sharing = max(1.0, done / length_us)


def _work(pairs: Sequence[_Pair]) -> tuple[list[int], list[tuple[float, int]]]:
    """Return instants, and at each the integral of the number of working models, and the number."""
    changes: list[tuple[int, int, str]] = []
    for pair in pairs:
        begun_us = pair.run.first_us or pair.run.begun_us
        if pair.clean and pair.prompt is not None:  # else it waited, nobody knows how long
            begun_us = pair.prompt.begun_us
        changes += [(begun_us, 1, pair.run.model), (pair.run.ended_us, -1, pair.run.model)]
    changes.sort()
    running: dict[str, int] = defaultdict(int)
    busy = 0
    times: list[int] = []
    work: list[tuple[float, int]] = []
    total = 0.0
    for (at_us, change, model), (next_us, _, _) in pairwise([*changes, (changes[-1][0], 0, "")]):
        running[model] += change
        if change > 0 and running[model] == 1:
            busy += 1
        elif change < 0 and running[model] == 0:
            busy -= 1
        times.append(at_us)
        work.append((total, busy))
        total += busy * (next_us - at_us)
    return times, work


def _at(times: list[int], work: list[tuple[float, int]], at_us: int) -> float:
    place = bisect_right(times, at_us) - 1
    if place < 0:
        return 0.0
    total, busy = work[place]
    return total + busy * (at_us - times[place])
