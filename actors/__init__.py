"""Who reacts: the five actors of herd, thin shells over their pure core."""

DISTRIBUTION = "herd-balancer"
"""Whose package this is; `herd._siblings` asks, since PyPI has another `actors`."""
