"""The join token: who knows it may bring a node into a fleet that takes none without it.

`FLEET_JOIN_TOKEN`, else the one in the data directory, made at the first start.
"""

import os
from collections.abc import Mapping

from herd import admin_token
from herd.config import Settings
from herd.paths import DataDir

VARIABLE = "FLEET_JOIN_TOKEN"


def ensure(directory: DataDir) -> None:
    """Make the token if there is none."""
    admin_token.make(directory.join_token)


def read(directory: DataDir, environment: Mapping[str, str] = os.environ) -> str:
    """Return the token; nothing where there is none, or none that we may read."""
    return environment.get(VARIABLE, "").strip() or admin_token.held(directory.join_token)


def mode(settings: Settings, environment: Mapping[str, str] = os.environ) -> str:
    """Return how nodes join: a token that was given closes a fleet that would be open."""
    given = environment.get(VARIABLE, "").strip()
    return "token" if given and settings.join == "open" else settings.join
