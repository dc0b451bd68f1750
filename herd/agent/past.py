"""When a machine's owner usually uses it: for each hour of the week, the part of it that he does.

What it says only refines what is seen now: an hour that was never seen says nothing, so a new node
serves from its first minute. Of the hours seen the latest count most. One small file keeps it.
"""

import contextlib
from pathlib import Path

import msgspec

HOURS = 7 * 24
GAIN = 0.3
"""The weight of the latest week, once there are a few."""
SURE = 3
"""Weeks after which the past is believed."""
LEAST_S = 600.0
"""An hour of which less was seen is not counted."""


class _Kept(msgspec.Struct):
    used: list[float]
    weeks: list[int]


class Past:
    """What was seen, and the hour in hand."""

    def __init__(self, file: Path | None = None) -> None:
        """Go on from what the file has, if it is there and can be read."""
        self._file = file
        self._kept = _read(file)
        self._hour = -1
        self._seen_s = self._used_s = 0.0

    def add(self, hour: int, lasted_s: float, *, used: bool) -> None:
        """Count some seconds of an hour of the week."""
        if hour != self._hour:
            self._close()
            self._hour = hour
        self._seen_s += lasted_s
        self._used_s += lasted_s if used else 0.0

    def usual(self, hour: int) -> float:
        """Return the part of such an hour that its owner uses it: 0 to 1."""
        return self._kept.used[hour]

    def sure(self, hour: int) -> float:
        """Return how far that can be believed: 0 to 1."""
        return min(1.0, self._kept.weeks[hour] / SURE)

    def _close(self) -> None:
        if self._seen_s >= LEAST_S:
            kept, hour = self._kept, self._hour
            kept.weeks[hour] += 1
            gain = max(GAIN, 1.0 / kept.weeks[hour])
            kept.used[hour] += gain * (self._used_s / self._seen_s - kept.used[hour])
            self._save()
        self._seen_s = self._used_s = 0.0

    def _save(self) -> None:
        if self._file is None:
            return
        rounded = _Kept([round(each, 3) for each in self._kept.used], self._kept.weeks)
        with contextlib.suppress(OSError):  # the next hour tries again
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh = self._file.with_suffix(".new")
            fresh.write_bytes(msgspec.json.encode(rounded))
            fresh.replace(self._file)


def _read(file: Path | None) -> _Kept:
    if file is not None:
        with contextlib.suppress(OSError, msgspec.MsgspecError, UnicodeDecodeError):
            kept = msgspec.json.decode(file.read_bytes(), type=_Kept)
            if len(kept.used) == len(kept.weeks) == HOURS:
                return kept
    return _Kept([0.0] * HOURS, [0] * HOURS)
