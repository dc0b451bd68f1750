"""The figures of a run, real or not: how long requests waited and took, and what became of them."""

from collections import Counter
from collections.abc import Iterable, Sequence
from math import ceil

import msgspec

from herd.virtual.script import Outcome


class Quantiles(msgspec.Struct, frozen=True):
    """Seconds that this share of the requests did not exceed."""

    p50: float = 0.0
    p95: float = 0.0
    p99: float = 0.0


class Figures(msgspec.Struct, frozen=True):
    """One column of the comparison."""

    requests: int
    completed: int
    failed: int
    rejected: int
    cancelled: int
    cold_loads: int
    """Requests that had to wait for a load that began with them."""
    wait: Quantiles
    """Until the dispatch; of all requests."""
    ttft: Quantiles
    """Until the first byte, from the arrival on; of those that were completed."""
    completion: Quantiles
    """Until the last byte; of those that were completed."""


def middle(plays: Sequence[Figures]) -> Figures:
    """Return the median of each figure over several plays; of two the lesser."""
    names = Figures.__struct_fields__
    counts = {
        name: _median([getattr(each, name) for each in plays])
        for name in names
        if name not in TIMES
    }
    times = {
        time: Quantiles(
            *(_median([figure(each, time, point) for each in plays]) for point in POINTS)
        )
        for time in TIMES
    }
    return msgspec.convert(counts | msgspec.to_builtins(times), Figures)


def _median(values: Sequence[float]) -> float:
    return sorted(values)[(len(values) - 1) // 2]


TIMES = ("wait", "ttft", "completion")
POINTS = ("p50", "p95", "p99")


def figures(outcomes: Iterable[Outcome]) -> Figures:
    """Return the figures of these requests."""
    each = list(outcomes)
    whole = [outcome for outcome in each if outcome.how == "completed"]
    how = Counter(outcome.how for outcome in each)
    return Figures(
        requests=len(each),
        completed=how["completed"],
        failed=how["failed"],
        rejected=how["rejected"],
        cancelled=how["cancelled"],
        cold_loads=sum(outcome.cold for outcome in each),
        wait=_quantiles([outcome.wait_s for outcome in each]),
        ttft=_quantiles([outcome.ttft_s for outcome in whole if outcome.ttft_s]),
        completion=_quantiles([outcome.total_s for outcome in whole]),
    )


def figure(found: Figures, time: str, point: str) -> float:
    """Return one time, by its two names."""
    value: float = getattr(getattr(found, time), point)
    return value


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the least value that this share of the ordered ones does not exceed; 0 of none."""
    return ordered[max(0, ceil(share * len(ordered)) - 1)] if ordered else 0.0


def _quantiles(values: list[float]) -> Quantiles:
    values.sort()
    return Quantiles(*(round(quantile(values, share), 6) for share in (0.5, 0.95, 0.99)))
