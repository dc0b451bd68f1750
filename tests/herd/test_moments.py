"""Points in time, as people write them."""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from herd.errors import HerdError
from herd.moments import parse, shown

US = 1_000_000
NOW_US = int(datetime(2026, 5, 4, 23, 30, 0, 250_000, UTC).timestamp() * US)


@pytest.fixture(autouse=True)
def athens() -> Iterator[None]:
    """Two hours east of Greenwich in winter, three in summer: there it is the 5th of May."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "Europe/Athens"
    time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


def us(month: int, day: int, hour: int, minute: int = 0, second: int = 0) -> int:
    """Return an instant of 2026, UTC."""
    return int(datetime(2026, month, day, hour, minute, second, tzinfo=UTC).timestamp() * US)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-05-04T12:30:00Z", us(5, 4, 12, 30)),
        ("2026-05-04T12:30:00+02:00", us(5, 4, 10, 30)),
        ("2026-05-04T12:30:00", us(5, 4, 9, 30)),
        ("2026-05-04 12:30", us(5, 4, 9, 30)),
        ("2026-01-04 12:30", us(1, 4, 10, 30)),
        ("2026-05-04", us(5, 3, 21)),
        ("2026-05-04T12:30:00.000001Z", us(5, 4, 12, 30) + 1),
        ("12:30", us(5, 5, 9, 30)),
        ("2:05", us(5, 4, 23, 5)),
        (" 12:30:15 ", us(5, 5, 9, 30, 15)),
        ("10m", NOW_US - 600 * US),
        ("0s", NOW_US),
        ("1h30m", NOW_US - 5400 * US),
        ("1.5s", NOW_US - 1_500_000),
        ("2d", NOW_US - 172_800 * US),
        ("1w", NOW_US - 604_800 * US),
    ],
)
def test_it_is_read_as_it_is_meant(text: str, expected: int) -> None:
    assert parse(text, NOW_US) == expected


def test_a_time_of_day_that_has_to_be_past_is_the_last_such_one() -> None:
    assert parse("2:05", NOW_US, past=True) == us(5, 4, 23, 5)
    assert parse("12:30", NOW_US, past=True) == us(5, 4, 9, 30)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "12",
        "20260504",
        "tuesday",
        "25:00",
        "12:60",
        "10x",
        "m",
        "-5m",
        "1..5s",
        "5m ago",
        "inf",
    ],
)
def test_what_is_no_time_is_said_so(text: str) -> None:
    with pytest.raises(HerdError, match="is no time") as caught:
        parse(text, NOW_US)
    assert "10m" in caught.value.next_step


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00", "9999-12-31T23:59:59", "9" * 400 + "d"])
def test_the_ends_of_the_calendar_are_no_traceback(text: str) -> None:
    try:
        assert isinstance(parse(text, NOW_US), int)
    except HerdError as error:
        assert "is no time" in error.what  # noqa: PT017 (either way is right)


def test_an_instant_is_shown_in_local_time() -> None:
    assert shown(NOW_US) == "2026-05-05 02:30:00.250+03:00"


@given(st.integers(0, 4_000_000_000_000))
def test_what_is_shown_is_read_back(instant_ms: int) -> None:
    assert parse(shown(instant_ms * 1000), NOW_US) == instant_ms * 1000
