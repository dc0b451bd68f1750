"""What a busy herd of three says on each route, for pages that need a past to show.

`answers.json` has all instants as seconds from now, or from this hour or day for buckets.
"""

import json
from pathlib import Path
from typing import Any, cast

from herd.clock import wall_s

REQUEST = "01a20aed-647f-7000-9872-94ba2d886c11"

_FILE = Path(__file__).with_name("answers.json")
_INSTANTS = {
    "added_at",
    "at",
    "began_at",
    "checked_at",
    "first_seen",
    "generated_at",
    "last_seen",
    "last_used",
    "timestamp",
}
_BUCKETS = {"hour_bucket": 3_600, "day_bucket": 86_400}


def answers() -> dict[str, Any]:
    """Return a fresh table: path to answer."""
    found: dict[str, Any] = _now(json.loads(_FILE.read_text("utf-8")), int(wall_s()))
    return found


def _now(value: object, now_s: int) -> Any:
    if isinstance(value, list):
        return [_now(each, now_s) for each in cast("list[object]", value)]
    if isinstance(value, dict):
        pairs = cast("dict[str, object]", value).items()
        return {key: _instant(key, each, now_s) for key, each in pairs}
    return value


def _instant(key: str, value: object, now_s: int) -> object:
    if isinstance(value, int | float):
        if key in _INSTANTS:
            return now_s + value
        if key in _BUCKETS:
            return now_s - now_s % _BUCKETS[key] + value
    return _now(value, now_s)
