from typing import Any

import msgspec
import pytest

from events import Recorded, RequestId, RequestQueued, codec, decode, encode
from events.codec import KINDS, VERSIONS
from events.upcast import STEPS, Step, newest, upcast

QUEUED = RequestQueued(request_id=RequestId("r1"), model="m", position=2, reason="slots")


def place_to_position(raw: dict[str, Any]) -> dict[str, Any]:
    return {**raw, "position": raw["place"]}


def number_from_one(raw: dict[str, Any]) -> dict[str, Any]:
    return {**raw, "position": raw["position"] + 1}


def nothing_new(raw: dict[str, Any]) -> dict[str, Any]:
    return raw


HISTORY: dict[tuple[str, int], Step] = {
    ("request_queued", 1): place_to_position,
    ("request_queued", 2): number_from_one,
    ("stream_started", 1): nothing_new,
}


def test_a_line_of_the_newest_version_is_left_alone() -> None:
    assert upcast("request_queued", 3, b"not even json", HISTORY) is None
    assert upcast("timer_fired", 1, b"not even json", HISTORY) is None


def test_an_old_line_takes_every_step_to_the_newest() -> None:
    line = upcast("request_queued", 1, b'{"k":"request_queued","place":0}', HISTORY)

    assert line is not None
    assert msgspec.json.decode(line) == {"k": "request_queued", "place": 0, "position": 1, "v": 3}


def test_a_line_in_between_takes_only_the_steps_that_are_left() -> None:
    line = upcast("request_queued", 2, b'{"v":2,"position":4}', HISTORY)

    assert line is not None
    assert msgspec.json.decode(line) == {"v": 3, "position": 5}


def test_the_newest_version_is_where_the_last_step_ends() -> None:
    assert newest("request_queued", HISTORY) == 3
    assert newest("stream_started", HISTORY) == 2
    assert newest("timer_fired", HISTORY) == 1
    assert VERSIONS.keys() == KINDS.keys()


def test_steps_lead_from_the_first_version_on_without_gaps() -> None:
    for kind, version in STEPS:
        assert kind in KINDS
        assert version == 1 or (kind, version - 1) in STEPS


def test_a_step_says_in_its_name_what_it_does() -> None:
    for (kind, version), step in STEPS.items():
        assert step.__name__ == f"{kind}_v{version}_to_v{version + 1}"


def test_the_codec_reads_old_lines_and_stamps_new_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    def upcast_here(kind: str, version: int, line: bytes) -> bytes | None:
        return upcast(kind, version, line, HISTORY)

    monkeypatch.setattr(codec, "upcast", upcast_here)
    monkeypatch.setitem(codec.VERSIONS, "request_queued", 3)
    monkeypatch.setattr(codec, "_MARKS", codec.marks({"request_queued": 3, "timer_fired": 1}))
    old = (
        b'{"seq":1,"recorded_at":2,"k":"request_queued","request_id":"r1","model":"m","place":1,'
        b'"reason":"slots"}\n'
    )

    record = decode(old)

    assert record == Recorded(1, 2, QUEUED)
    assert b'"cause":0,"v":3,"k":"request_queued"' in encode(record)
    assert decode(encode(record)) == record
