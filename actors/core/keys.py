"""A key, and what it has used: counted by instants of the log, in whole microseconds and tokens."""

from typing import Literal

import msgspec

from actors.core.aliases import fits
from events import Priority

Bar = Literal["", "key_unknown", "key_model", "key_rate", "key_tokens"]
"""Why a key does not open for a request; empty: it does."""

_US = 1_000_000
_MINUTE_US = 60 * _US
_DAY_US = 86_400 * _US


class Key(msgspec.Struct):
    """What one who shows it may ask for, and what was used of that.

    The Queue writes `free_us`, the Scheduler all the rest.
    """

    key_name: str
    digest: str
    models: tuple[str, ...] = ()
    per_minute: int = 0
    tokens_a_day: int = 0
    priority: Priority = "normal"
    added_us: int = 0
    free_us: int = 0
    """When all that it has asked for in the last minute is made up for."""
    requests: int = 0
    """Ended with or without an answer, since it was made."""
    tokens: int = 0
    """Of their prompts and answers."""
    day: int = 0
    """The day that `tokens_today` are of, since 1970."""
    tokens_today: int = 0

    def allows(self, model: str) -> bool:
        """Whether it may ask for a model of that name."""
        return not self.models or any(fits(pattern, model) for pattern in self.models)

    def asks(self, now_us: int) -> bool:
        """Count a request, if it may ask now: as a bucket that holds a minute's worth leaks."""
        if not self.per_minute:
            return True
        if self.wait_us(now_us) > 0:
            return False
        self.free_us = max(self.free_us, now_us) + _MINUTE_US // self.per_minute
        return True

    def wait_us(self, now_us: int) -> int:
        """Return how long it has to wait until it may ask; 0 or less: it may now."""
        if not self.per_minute:
            return 0
        return self.free_us - now_us + _MINUTE_US // self.per_minute - _MINUTE_US

    def spend(self, tokens: int, now_us: int) -> None:
        """Count what a request came to."""
        self.requests += 1
        self.tokens += tokens
        self.tokens_today = self.used_today(now_us) + tokens
        self.day = now_us // _DAY_US

    def used_today(self, now_us: int) -> int:
        """Return the tokens of this day so far."""
        return self.tokens_today if self.day == now_us // _DAY_US else 0

    def day_left_us(self, now_us: int) -> int:
        """Return how long it has to wait for a new day; 0 while it has tokens for this one."""
        if not self.tokens_a_day or self.used_today(now_us) < self.tokens_a_day:
            return 0
        return _DAY_US - now_us % _DAY_US
