"""The version of the installed distribution."""

from importlib import metadata

from events import DISTRIBUTION


def version() -> str:
    """Return it, as the package's metadata say."""
    return metadata.version(DISTRIBUTION)
