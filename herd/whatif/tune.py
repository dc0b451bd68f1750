"""The learned machines put to the test: each gets the recorded requests when they were sent to it.

No herd takes part, so what differs is the machine's error alone. The fit looks at stretches one by
one, with means of what ran beside them; where the answers as a whole came out slower or faster
than recorded, reading is corrected by that factor.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from actors.core.state import US
from herd.simulator.hardware import NodeSpec
from herd.simulator.physics import Finished, Job, Output, Tokens
from herd.whatif.evidence import Run
from herd.whatif.preload import preloaded

LEAST_ANSWERS = 10
MOST_RUNS = 2000
"""Of a node that are played: the last ones."""
_ENDLESS = 1_000_000
_SETTLE_S = 3600.0
LARGEST = 1.5
"""A factor beyond that, or its inverse, says that something else is wrong."""


def factors(spec: NodeSpec, resident: Iterable[str], runs: Sequence[Run]) -> dict[str, float]:
    """Return, by model, how many times as long answers took as they take on this machine."""
    ended = (run for run in runs if run.ended_us)
    runs = sorted(ended, key=lambda run: run.begun_us)[-MOST_RUNS:]
    played = _played(spec, resident, runs)
    ratios: dict[str, list[float]] = defaultdict(list)
    for run, (first_s, end_s) in zip(runs, played, strict=True):
        if run.whole and 0 < run.first_us < run.ended_us and 0 < first_s < end_s:
            ratios[run.model].append((run.ended_us - run.first_us) / US / (end_s - first_s))
    return {
        model: min(LARGEST, max(1 / LARGEST, sorted(found)[len(found) // 2]))
        for model, found in ratios.items()
        if len(found) >= LEAST_ANSWERS
    }


def _played(
    spec: NodeSpec, resident: Iterable[str], runs: Sequence[Run]
) -> list[tuple[float, float]]:
    """Return when each run would have had its first token and its last; 0 if it had none."""
    start_us = runs[0].begun_us if runs else 0
    machine, now_s = preloaded(spec, resident), 0.0
    firsts, ends = [0.0] * len(runs), [0.0] * len(runs)

    def hear(outputs: Iterable[Output]) -> None:
        for output in outputs:
            match output:
                case Tokens(job=job, at_s=at_s) if job >= 0 and not firsts[job]:
                    firsts[job] = at_s
                case Finished(job=job, at_s=at_s) if job >= 0:
                    ends[job] = at_s
                case _:
                    pass

    calls = [(run.begun_us, number, True) for number, run in enumerate(runs)]
    calls += [(run.ended_us, number, False) for number, run in enumerate(runs) if not run.whole]
    for at_us, number, comes in sorted(calls):
        now_s = (at_us - start_us) / US
        if not comes:
            hear(machine.cancel(now_s, number))
            continue
        run = runs[number]
        job = Job(
            id=number,
            model=run.model,
            prompt_tokens=max(1, run.prompt_tokens),
            output_tokens=run.completion_tokens if run.whole else _ENDLESS,
        )
        hear(machine.submit(now_s, job))
    hear(machine.advance(now_s + _SETTLE_S))
    return list(zip(firsts, ends, strict=True))
