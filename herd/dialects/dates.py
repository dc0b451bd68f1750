"""Dates in answers of Ollama's API. Pure."""

from datetime import UTC, datetime, timedelta


def rfc3339(instant_s: float) -> str:
    """Write an instant, in seconds since 1970, as Go does; it may be centuries away."""
    instant = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=instant_s)
    return instant.isoformat(timespec="microseconds").replace("+00:00", "Z")
