"""What is asked of a fleet: the arrivals and lengths of a public trace, with models laid over it.

The traces are of one model in a cloud; which request is for which model, of which application, and
how large its body is, is ours: drawn by a seed. Time is stretched so that the fleet is loaded as
wanted.
"""

import csv
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Literal, NamedTuple

from actors.core.state import US
from benchmarks.placement.fleets import MODELS
from events import RequestId, RequestReceived
from herd.simulator.hardware import (
    STEP_TOKENS,
    NodeSpec,
    SimulatedModel,
    Step,
    slots_for,
    step_s,
)
from herd.virtual.script import Arrival

Part = Literal["tune", "held"]
SHARES = (0.30, 0.22, 0.18, 0.14, 0.10, 0.06)
"""How often each of `MODELS` is asked for: small ones more."""
BYTES_PER_TOKEN = 4.2
MOST_TOKENS = 8000
"""Of a prompt: the context of a node is 8,192 tokens."""


class Row(NamedTuple):
    """One request of a trace."""

    at_s: float
    prompt_tokens: int
    output_tokens: int


def trace(name: str, part: Part) -> list[Row]:
    """Return a slice of a trace, from 0 on."""
    path = Path(__file__).with_name(f"azure2023_{name}_{part}.csv")
    with path.open(encoding="utf-8") as file:
        return [
            Row(float(at_s), min(MOST_TOKENS, int(prompt)), max(1, int(output)))
            for at_s, prompt, output in list(csv.reader(file))[1:]
        ]


def ideal_s(spec: NodeSpec, model: SimulatedModel, prompt_tokens: int, output_tokens: int) -> float:
    """Return how long a request takes alone on a node that has its model in memory."""
    whole, rest = divmod(prompt_tokens, STEP_TOKENS)
    steps = [Step(tokens=STEP_TOKENS)] * whole + ([Step(tokens=rest)] if rest else [])
    cached = prompt_tokens + output_tokens // 2
    decode_s = step_s(spec, model, Step(tokens=1, cached_tokens=cached))
    return sum(step_s(spec, model, step) for step in steps) + output_tokens * decode_s


def best_s(specs: Sequence[NodeSpec], arrival: Arrival) -> float:
    """Return the least that a request can take on this fleet."""
    return min(
        ideal_s(spec, model, arrival.prompt_tokens, arrival.output_tokens)
        for spec in specs
        for model in spec.models
        if model.facts.name == arrival.request.model
    )


def capacity_per_s(specs: Sequence[NodeSpec], rows: Sequence[Row]) -> float:
    """Return the requests a second that the fleet can serve at most, without any load.

    Each node works with all its slots, and takes what it is best at; found by filling the nodes
    evenly (a water level found by bisection), largest models first.
    """
    prompt = sum(row.prompt_tokens for row in rows) / len(rows)
    output = sum(row.output_tokens for row in rows) / len(rows)
    low, high = 0.0, 10_000.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if _feasible(specs, middle, prompt, output) else (low, middle)
    return low


def _feasible(specs: Sequence[NodeSpec], per_s: float, prompt: float, output: float) -> bool:
    left = {spec.name: 1.0 for spec in specs}
    for model, share in reversed(list(zip(MODELS, SHARES, strict=True))):
        wanted = per_s * share
        hosts = [spec for spec in specs if model in spec.models]
        hosts.sort(
            key=lambda spec: (
                -_pace(spec, model, prompt, output) / _pace(spec, MODELS[0], prompt, output)
            )
        )
        for spec in hosts:
            taken = min(wanted, left[spec.name] * _pace(spec, model, prompt, output))
            left[spec.name] -= taken / _pace(spec, model, prompt, output)
            wanted -= taken
        if wanted > 1e-9:
            return False
    return True


def _pace(spec: NodeSpec, model: SimulatedModel, prompt: float, output: float) -> float:
    """Return the requests a second that a node serves of one model, with all its slots at work."""
    slots = slots_for(spec, model)
    cached = int(slots * (prompt + output / 2))
    prefill_s = prompt / STEP_TOKENS * step_s(spec, model, Step(tokens=STEP_TOKENS))
    step = step_s(spec, model, Step(tokens=slots, cached_tokens=cached))
    return 1.0 / (prefill_s + output * step / slots)


def arrivals(
    specs: Sequence[NodeSpec],
    rows: Sequence[Row],
    *,
    load: float,
    count: int,
    seed: int,
    start_us: int,
) -> list[Arrival]:
    """Return so many requests, beginning anywhere in the trace, at a share of the capacity."""
    random = Random(seed)  # noqa: S311 (traffic, not secrets)
    begin = random.randrange(len(rows) - count) if count < len(rows) else 0
    chosen = rows[begin : begin + count]
    per_s = len(chosen) / max(1e-9, chosen[-1].at_s - chosen[0].at_s)
    stretch = per_s / (load * capacity_per_s(specs, rows))
    gaps = [0.0, *(after.at_s - before.at_s for before, after in pairwise(chosen))]
    at_s = 0.0
    found: list[Arrival] = []
    for number, (row, gap_s) in enumerate(zip(chosen, gaps, strict=True), 1):
        at_s += gap_s * stretch
        at_us = start_us + int(at_s * US)
        model = random.choices(MODELS, SHARES)[0].facts.name
        found.append(
            Arrival(
                at_us=at_us,
                request=RequestReceived(
                    request_id=RequestId(f"{at_us:013x}-{seed:04x}-{number:06x}"),
                    model=model,
                    app=f"app-{random.randrange(4)}",
                    client="127.0.0.1",
                    body_bytes=120
                    + int(row.prompt_tokens * BYTES_PER_TOKEN * random.lognormvariate(0, 0.15)),
                ),
                prompt_tokens=row.prompt_tokens,
                output_tokens=row.output_tokens,
            )
        )
    return found
