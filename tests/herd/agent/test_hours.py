"""Hours of the week, as people write them."""

import time

import pytest

from herd.agent.hours import DAY_MIN, WEEK_MIN, minute_of_week, parse
from herd.errors import HerdError

MON, SAT, SUN = 0, 5 * DAY_MIN, 6 * DAY_MIN


def at(hour: int, minute: int = 0, day: int = MON) -> int:
    return day + hour * 60 + minute


def test_hours_of_every_day_that_end_after_midnight() -> None:
    hours = parse("22:00-07:00")
    for day in range(7):
        begins = day * DAY_MIN
        assert [
            hours.serve(begins + each) for each in (0, at(6, 59), at(7), at(21, 59), at(22))
        ] == [
            True,
            True,
            False,
            False,
            True,
        ]


def test_days_of_their_own() -> None:
    hours = parse("Mon-Fri 19:00-07:00,  sat-sun 0:00-24:00")
    assert hours.text == "Mon-Fri 19:00-07:00, sat-sun 0:00-24:00"
    assert hours.serve(at(12, day=SAT))
    assert hours.serve(WEEK_MIN - 1)
    assert not hours.serve(at(6, 59))  # Monday: the night before was Sunday's
    assert not hours.serve(at(12))
    assert hours.serve(at(19))
    assert hours.serve(at(6, 59, day=DAY_MIN))


def test_days_that_go_over_the_end_of_the_week_and_one_alone() -> None:
    assert parse("sun-mon 10:00-11:00").spans == ((SUN + 600, 60), (600, 60))
    assert parse("tue 9:30-9:45").spans == ((DAY_MIN + 570, 15),)
    assert parse("9:00-9:00").spans[0] == (540, DAY_MIN)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "night",
        "25:00-26:00",
        "9-17",
        "22:00-07:61",
        "xyz 9:00-10:00",
        "mon-abc 9:00-10:00",
        ",",
    ],
)
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(HerdError) as caught:
        parse(text)
    assert "mon-fri" in caught.value.next_step


def test_no_text_that_is_too_long_for_the_fleet() -> None:
    with pytest.raises(HerdError):
        parse(", ".join(["9:00-10:00"] * 20))


def test_the_machines_own_clock() -> None:
    now = time.strptime("2026-11-26 19:30", "%Y-%m-%d %H:%M")  # a Thursday
    assert minute_of_week(time.mktime(now)) == 3 * DAY_MIN + 19 * 60 + 30
