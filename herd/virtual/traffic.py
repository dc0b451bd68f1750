"""Requests as people send them: bursts, many short answers and a few long ones.

Lengths are log-normal, by the quantiles of the chat half of the Azure LLM inference trace of 2023
(Patel et al., "Splitwise", ISCA 2024): prompts p50 1,020 and p99 4,142 tokens, answers p50 129 and
p99 601. Gaps are gamma-distributed with a coefficient of variation of their own: 1 is a Poisson
process, more comes in bursts.
"""

from collections.abc import Iterator, Sequence
from math import log
from random import Random

import msgspec

from actors.core.state import US
from events import RequestId, RequestReceived
from herd.virtual.script import NEVER, Arrival

_Z99 = 2.326
"""Standard deviations from the median of a normal distribution to its 99th percentile."""


class Lengths(msgspec.Struct, frozen=True):
    """Quantiles of a length, in tokens."""

    median_tokens: float
    p99_tokens: float

    def draw(self, random: Random) -> int:
        """Return one length, at least 1."""
        spread = log(self.p99_tokens / self.median_tokens) / _Z99
        return max(1, round(random.lognormvariate(log(self.median_tokens), spread)))


CHAT_PROMPTS = Lengths(1020, 4142)
CHAT_ANSWERS = Lengths(129, 601)


class Share(msgspec.Struct, frozen=True):
    """A part of the traffic."""

    weight: float
    model: str
    prompts: Lengths = CHAT_PROMPTS
    answers: Lengths = CHAT_ANSWERS


def traffic(  # noqa: PLR0913 (all but the first three have a default)
    mix: Sequence[Share],
    *,
    count: int,
    per_s: float,
    start_us: int = 0,
    seed: int = 0,
    burstiness: float = 1.0,
    patience_s: float = NEVER,
) -> Iterator[Arrival]:
    """Yield so many requests; `burstiness` is the coefficient of variation of their gaps."""
    random = Random(seed)  # noqa: S311 (traffic, not secrets)
    shape = 1.0 / (burstiness * burstiness)
    at_s = 0.0
    for number in range(1, count + 1):
        at_s += random.gammavariate(shape, 1.0 / (per_s * shape))
        share = random.choices(mix, [each.weight for each in mix])[0]
        at_us = start_us + int(at_s * US)
        yield Arrival(
            at_us=at_us,
            request=RequestReceived(
                request_id=RequestId(f"{at_us:013x}-{seed:04x}-{number:06x}"),
                model=share.model,
                app=f"app-{random.randrange(4)}",
                client="127.0.0.1",
            ),
            prompt_tokens=share.prompts.draw(random),
            output_tokens=share.answers.draw(random),
            patience_s=patience_s,
        )
