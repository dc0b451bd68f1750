"""How long requests wait at a front."""

from collections.abc import Mapping

import msgspec


class Waits(msgspec.Struct):
    """How long requests wait at a front that hears nothing of them."""

    hold_timeout_s: float = 30.0
    """While control is away."""
    queue_timeout_s: float = 600.0
    """While it is there: it ends such waits itself, so this is the last resort."""

    def follow(self, settings: Mapping[str, bool | float | str]) -> None:
        """Wait as long as the settings in force say."""
        self.hold_timeout_s = float(settings.get("hold_timeout_s", self.hold_timeout_s))
        self.queue_timeout_s = float(settings.get("queue_timeout_s", self.queue_timeout_s))
