"""Points in time as people write them, for every option that takes one."""

import re
from datetime import UTC, datetime, time, timedelta

from herd.errors import HerdError

FORMS = "2026-05-04T12:30:00 (local, or with a zone), 12:30, 12:30:15, or an age: 10m, 1h30m, 2d"
"""What can be written, by example."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_DAY = timedelta(days=1)
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")
_AGE = re.compile(r"(?:\d+(?:\.\d+)?[smhdw])+")
_PART = re.compile(r"([\d.]+)([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def parse(text: str, now_us: int, *, past: bool = False) -> int:
    """Return an instant in microseconds since the epoch; raises `HerdError` if it is none.

    An age is one before `now_us`, a time of day one on the local day of `now_us`; or on the day
    before, if it has to lie in the past.
    """
    told = text.strip()
    try:
        if _AGE.fullmatch(told):
            age_s = sum(float(size) * _SECONDS[unit] for size, unit in _PART.findall(told))
            return now_us - round(age_s * 1_000_000)
        if clock := _CLOCK.fullmatch(told):
            hour, minute, second = (int(part or 0) for part in clock.groups())
            today = _local(now_us).date()
            found_us = _us(datetime.combine(today, time(hour, minute, second)))
            if not past or found_us <= now_us:
                return found_us
            return _us(datetime.combine(today - _DAY, time(hour, minute, second)))
        if not told.isdecimal():
            return _us(datetime.fromisoformat(told))
    except (ValueError, OverflowError):
        pass
    raise HerdError(f"{text!r} is no time", f"write one like {FORMS}")


def shown(us: int) -> str:
    """Return an instant as local time with its zone, to the millisecond."""
    return _local(us).isoformat(sep=" ", timespec="milliseconds")


def _local(us: int) -> datetime:
    return (_EPOCH + us * _MICROSECOND).astimezone()


def _us(when: datetime) -> int:
    """Return microseconds since the epoch; without a zone it is local time."""
    return (when.astimezone(UTC) - _EPOCH) // _MICROSECOND
