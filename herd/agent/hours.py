"""The hours at which a machine serves: `mon-fri 19:00-07:00, sat-sun 00:00-24:00`.

Parts with commas between them, each with its days, or for every day without. A part whose end is
not after its beginning goes on into the next day. Hours are those of the machine's own clock.
"""

import re
import time

import msgspec

from herd.errors import HerdError

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MIN = 24 * 60
WEEK_MIN = 7 * DAY_MIN
LONGEST = 120
"""Of the text, which the whole fleet is told."""
_PART = re.compile(
    r"(?:(?P<first>[a-z]{3})(?:-(?P<last>[a-z]{3}))?\s+)?"
    r"(?P<from>\d{1,2}:\d{2})\s*-\s*(?P<to>\d{1,2}:\d{2})"
)


class Hours(msgspec.Struct, frozen=True):
    """When a machine serves."""

    text: str
    spans: tuple[tuple[int, int], ...]
    """From which minute of the week on, counted from Monday, and for how many."""

    def serve(self, minute: int) -> bool:
        """Whether a minute of the week is one of them."""
        return any((minute - begins) % WEEK_MIN < lasts for begins, lasts in self.spans)


def parse(text: str, *, named: str = "--hours") -> Hours:
    """Read hours as people write them; `HerdError` for anything else."""
    wrong = HerdError(
        f"{named} {text!r}: no hours",
        "write 22:00-07:00, or mon-fri 19:00-07:00, sat-sun 0:00-24:00",
    )
    shown = " ".join(text.split())
    spans: list[tuple[int, int]] = []
    for part in shown.lower().split(","):
        found = _PART.fullmatch(part.strip())
        if found is None or len(shown) > LONGEST:
            raise wrong
        first, last = found["first"] or "mon", found["last"] or found["first"] or "sun"
        begins, ends = _minute(found["from"]), _minute(found["to"])
        if first not in DAYS or last not in DAYS or begins is None or ends is None:
            raise wrong
        begin_day, days = DAYS.index(first), (DAYS.index(last) - DAYS.index(first)) % 7 + 1
        lasts = ends - begins if ends > begins else ends - begins + DAY_MIN
        spans += [((begin_day + day) % 7 * DAY_MIN + begins, lasts) for day in range(days)]
    return Hours(shown, tuple(spans))


def minute_of_week(wall_s: float) -> int:
    """Return the minute of the week by this machine's own clock, counted from Monday."""
    now = time.localtime(wall_s)
    return now.tm_wday * DAY_MIN + now.tm_hour * 60 + now.tm_min


def _minute(text: str) -> int | None:
    hour, _, minute = text.partition(":")
    found = int(hour) * 60 + int(minute)
    return found if int(minute) < 60 and found <= DAY_MIN else None  # noqa: PLR2004 (minutes)
