"""Make sure that `actors` and `events` are ours: PyPI has other distributions of these names.

A constant is compared, not a path: after another distribution has overwritten our folder, the path
is still ours.
"""

from importlib import import_module, metadata

from herd.errors import HerdError

DISTRIBUTION = "herd-balancer"
SIBLINGS = ("actors", "events")


def check_siblings() -> None:
    """Raise, naming the culprit, if another distribution shadows one of our packages."""
    for name in SIBLINGS:
        try:
            module = import_module(name)
            ours = getattr(module, "DISTRIBUTION", None) == DISTRIBUTION
            found = module.__file__
        except ImportError as error:
            ours, found = False, error.path or str(error)
        if ours:
            continue
        owners = set(metadata.packages_distributions().get(name, ())) - {DISTRIBUTION}
        raise HerdError(
            f"`import {name}` found {found}, which is not herd's. It belongs to: "
            f"{', '.join(sorted(owners)) or 'an unknown package'}",
            f"install herd in its own environment: uv tool install {DISTRIBUTION}",
        )
