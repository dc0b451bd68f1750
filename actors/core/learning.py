"""What is learned from every answer: the speed of each model on each node, and what is asked.

Each figure is an exponentially weighted mean: of the first answers the plain mean, then each new
one counts a tenth, so that a change is followed within some 20 answers. What one answer tells is
first brought to what it would have told alone on its node: divided by the models that took turns
there, and by what a larger batch costs.
"""

from typing import NamedTuple

import msgspec

GAIN = 0.1
"""The weight of a new observation, once there are ten."""
MEMORY_S = 600.0
"""Over which the rate of requests is counted: it falls to a half in that time without any."""
BATCH_COST = 0.08
"""What each further answer in a batch adds to a step, as a share of it; memory-bound engines read
the weights once for all (Pope et al., "Efficiently Scaling Transformer Inference", 2022)."""
OUTLIER = 8.0
"""Times the mean: more than that an observation never counts for, once there are a few."""
FEW = 4
MOST_APPS = 32
"""Of each model, whose lengths are kept: those that were answered last."""


class Mean(msgspec.Struct, gc=False):
    """A weighted mean, and of how many observations."""

    count: int = 0
    value: float = 0.0

    def add(self, observed: float) -> None:
        """Count one in."""
        if self.count >= FEW and self.value > 0:
            observed = min(observed, OUTLIER * self.value)
        self.count += 1
        gain = GAIN if self.count * GAIN > 1.0 else 1.0 / self.count
        self.value += gain * (observed - self.value)


class Past(msgspec.Struct):
    """The pace of a model on a node as it was for long, to compare with (`slowing`)."""

    usual: Mean = msgspec.field(default_factory=Mean)
    """Seconds for each token of an answer, alone on the node, without what is far slower."""
    slow_s: float = 0.0
    """The same of the last answers in a row that were."""
    row: int = 0
    """How many in a row are far slower; below 0, how many are not."""


class Speed(msgspec.Struct):
    """One model on one node; or one node, by byte of a model's weights."""

    token: Mean = msgspec.field(default_factory=Mean)
    """Seconds for each token of a prompt, alone on the node."""
    step: Mean = msgspec.field(default_factory=Mean)
    """Seconds for each token of an answer, alone on the node."""
    load: Mean = msgspec.field(default_factory=Mean)
    """Seconds to bring the model into memory."""
    reuse: Mean = msgspec.field(default_factory=Mean)
    """What came true of the hope that a beginning of a prompt is cached: 0 to 1."""
    used_us: int = 0
    """When it was last sent something, or last ended something."""
    served_us: int = 0
    """When it last ended an answer: it is in memory then, whatever the last probe said."""
    load_began_us: int = 0
    """The last load that a request waited for."""
    past: Past | None = None
    """Of a model; None while nobody compares."""


class Length(NamedTuple):
    """Of an answer, in tokens, by the last ones to such requests."""

    mean: float
    middle: float
    """Of the middle half: where most are."""
    least: float
    most: float


UNKNOWN = Length(0.0, 0.0, 0.0, 0.0)


class Answers(msgspec.Struct):
    """The last answers to requests of a size."""

    tokens: list[int] = []
    length: Length = UNKNOWN
    """As these have it."""


class OfModel(msgspec.Struct):
    """The same of one model."""

    all: Answers = msgspec.field(default_factory=Answers)
    apps: dict[str, Answers] = {}
    """Of each application; the one that was answered last comes last."""


class Demand(msgspec.Struct):
    """What is asked of one model, on the whole fleet."""

    per_s: float = 0.0
    """Requests a second, as of `at_us`."""
    at_us: int = 0
    prompt_tokens: Mean = msgspec.field(default_factory=Mean)
    answer_tokens: Mean = msgspec.field(default_factory=Mean)
    body_bytes: Mean = msgspec.field(default_factory=Mean)
    """Of those whose prompt is known in tokens."""
    apps: dict[str, Mean] = {}
    """Answers in tokens, by application; the one that was answered last comes last."""
    alone_s: float = 0.0
    """The time that a mean request takes alone on the best node; 0 until one was completed."""

    far: list[float] = msgspec.field(default_factory=lambda: [0.5, 0.5, 0.5])
    """How far off, of late, were a multiple of what is usual, the last answers of all models, and
    those of its own (`recalling`)."""
    low: float = 0.3
    high: float = 3.0
    """Nine of ten answers take between so many times what was predicted."""
    near_low: float = 0.4
    near_high: float = 2.2
    """The same over the ends of what was recalled, where that was predicted."""

    def answered(self, app: str, tokens: float) -> None:
        """Count the length of an answer of an application."""
        mean = self.apps.pop(app, None)
        if mean is None and len(self.apps) >= MOST_APPS:
            del self.apps[next(iter(self.apps))]
        self.apps[app] = mean or Mean()
        self.apps[app].add(tokens)

    def rate(self, now_us: int) -> float:
        """Return the requests a second, as of now."""
        return self.per_s / (1.0 + max(0, now_us - self.at_us) / (MEMORY_S * 1_000_000))

    def arrived(self, now_us: int) -> None:
        """Count one request."""
        self.per_s = self.rate(now_us) + 1.0 / MEMORY_S
        self.at_us = now_us


def shared(n: float, models: float) -> float:
    """Return how much longer a step takes with `n` answers in it, and `models` taking turns."""
    return models * (1.0 + BATCH_COST * max(0.0, n - 1.0))
