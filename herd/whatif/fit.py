"""The speed of one model on one node, fitted to what was observed.

The model of speed is the one that the simulator runs on (`hardware.Measured`): a step takes one
token for each answer that is being made and up to `STEP_TOKENS` of prompts along, and lasts the
longer of reading (weights, keys and values) and computing (a fixed part, and one for each token).
The four constants are those that make the sum of |log(predicted / observed)|, weighted by the root
of the time observed, the least: found by a pattern search (Hooke and Jeeves, 1961) over their
logarithms, which needs no derivatives and always ends.
"""

from collections.abc import Sequence
from math import ceil, exp, fsum, log, sqrt

import msgspec

from herd.simulator.hardware import STEP_TOKENS
from herd.whatif.observe import Stretch

MOST_OBSERVED = 240
"""Stretches that a fit looks at, spread evenly over the log."""
FIRST_STEP, LAST_STEP = 0.5, 0.01
"""Of the search, in logarithms: 0.01 is one per cent."""
_LEAST_S = 1e-9


class Speed(msgspec.Struct, frozen=True, gc=False):
    """The constants of one model on one node, in seconds: see `hardware.Measured`."""

    weights_s: float
    token_s: float
    fixed_s: float
    cached_token_s: float
    observed: int = 0
    """Stretches that it was fitted to; 0: it was taken from other models or nodes."""
    beside: float = 1.0
    """The most answers at once that were observed."""

    def step_s(self, tokens: float, cached_tokens: float) -> float:
        """Return how long a step lasts."""
        reading_s = self.weights_s + self.cached_token_s * cached_tokens
        return max(reading_s, self.fixed_s + self.token_s * tokens)

    def prompt_s(self, tokens: int) -> float:
        """Return how long a prompt alone takes, up to the first token of the answer."""
        steps = max(1, ceil(tokens / STEP_TOKENS))
        return steps * self.step_s(tokens / steps, tokens / 2)

    def corrected(self, factor: float) -> "Speed":
        """Return one that takes so many times as long to read, observed like this one."""
        return msgspec.structs.replace(
            self,
            weights_s=self.weights_s * factor,
            cached_token_s=self.cached_token_s * factor,
        )

    def slower(self, reading: float, computing: float) -> "Speed":
        """Return one that takes so many times as long, and that nobody observed."""
        return Speed(
            self.weights_s * reading,
            self.token_s * computing,
            self.fixed_s * computing,
            self.cached_token_s * reading,
        )


def fitted(stretches: Sequence[Stretch]) -> Speed | None:
    """Return the speed that explains the stretches best; None if there is nothing to explain."""
    seen = _spread([each for each in stretches if each.steps or each.prompt_tokens])
    if not seen:
        return None
    logs = _guess(seen)
    best = _misfit(logs, seen)
    step = FIRST_STEP
    while step >= LAST_STEP:
        better = False
        for axis in range(len(logs)):
            for way in (step, -step):
                tried = list(logs)
                tried[axis] += way
                if (misfit := _misfit(tried, seen)) < best:
                    best, logs, better = misfit, tried, True
                    break
        if not better:
            step /= 2
    found = _speed(logs)
    return msgspec.structs.replace(
        found, observed=len(stretches), beside=1 + max(each.beside for each in seen)
    )


def predicted_s(speed: Speed, stretch: Stretch) -> float:
    """Return how long a stretch should have lasted."""
    mixed = stretch.prompt_tokens / STEP_TOKENS
    if stretch.own_prompt:
        mixed = float(max(1, ceil(mixed)))
    making = stretch.beside + (0 if stretch.own_prompt and not stretch.steps else 1)
    lasted_s = max(0.0, stretch.steps - mixed) * speed.step_s(making, stretch.cached_tokens)
    if mixed:
        tokens = stretch.prompt_tokens / mixed if stretch.own_prompt else STEP_TOKENS
        lasted_s += mixed * speed.step_s(min(STEP_TOKENS, tokens + making), stretch.cached_tokens)
    return lasted_s * stretch.sharing


def _guess(seen: Sequence[Stretch]) -> list[float]:
    paces = sorted(each.lasted_s / each.sharing / each.steps for each in seen if each.steps > 1)
    prompts = sorted(
        each.lasted_s / each.sharing / each.prompt_tokens
        for each in seen
        if each.prompt_tokens and not each.steps
    )
    step_s = paces[len(paces) // 4] if paces else 0.01
    token_s = prompts[len(prompts) // 2] if prompts else step_s / 20
    return [log(max(_LEAST_S, each)) for each in (step_s, token_s, step_s / 10, step_s / 1e5)]


def _speed(logs: Sequence[float]) -> Speed:
    weights_s, token_s, fixed_s, cached_token_s = (exp(each) for each in logs)
    return Speed(weights_s, token_s, fixed_s, cached_token_s)


def _misfit(logs: Sequence[float], seen: Sequence[Stretch]) -> float:
    speed = _speed(logs)
    return fsum(
        sqrt(each.lasted_s) * abs(log(max(_LEAST_S, predicted_s(speed, each)) / each.lasted_s))
        for each in seen
    )


def _spread(stretches: list[Stretch]) -> list[Stretch]:
    """Return a sample, evenly spread, with as many of each kind as there are."""
    if len(stretches) <= MOST_OBSERVED:
        return stretches
    every = len(stretches) / MOST_OBSERVED
    return [stretches[int(place * every)] for place in range(MOST_OBSERVED)]
