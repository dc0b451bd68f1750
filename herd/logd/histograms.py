"""Histograms that are added up from what DuckDB counted, in Prometheus' shape."""

from collections.abc import Sequence


class Times:
    """One histogram; `bounds` are the upper ends of its buckets, to which one without end comes."""

    def __init__(self, bounds: Sequence[float]) -> None:
        """Begin with nothing counted."""
        self._bounds = [*(str(bound) for bound in bounds), "+Inf"]
        self._counts = [0] * len(self._bounds)
        """In each bucket alone."""
        self.total = 0.0
        """All values together."""

    def add(self, counts: Sequence[int], total: float) -> None:
        """Add what `histogram(values, bounds)` counted; what is longer than the last comes last."""
        for place, count in enumerate(counts):
            self._counts[place] += count
        self.total += total

    def buckets(self) -> list[tuple[str, float]]:
        """Return the counts up to each bound."""
        total = 0
        found: list[tuple[str, float]] = []
        for bound, count in zip(self._bounds, self._counts, strict=True):
            total += count
            found.append((bound, total))
        return found
