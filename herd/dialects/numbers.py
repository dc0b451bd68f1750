"""Numbers that other programs tell."""

LARGEST = 2**53
"""Beyond this a number is nonsense, and no JSON reader would get it right."""


def count(number: float | None) -> int:
    """Return it as a count; 0 for one that is missing or cannot be meant."""
    return round(number) if number is not None and 0 <= number < LARGEST else 0
