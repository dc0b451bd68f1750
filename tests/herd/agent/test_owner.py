"""What an owner lends: from the first minute, while he is away, and by his own past."""

from pathlib import Path

import pytest

from events import Limits
from herd.agent.hours import parse
from herd.agent.owner import IN_USE, Owner, Use, Wishes
from herd.agent.past import HOURS, LEAST_S, SURE, Past

SPARE = Wishes(spare=True, away_s=300.0)
BUSY, QUIET = Use(90.0), Use(5.0)
BEAT_S = 5.0


def watched(owner: Owner, use: Use, seconds: float, now_s: float = 0.0) -> list[Limits]:
    """What is told at each heartbeat of so many seconds."""
    beats = range(int(seconds / BEAT_S) + 1)
    return [owner.lends(use, now_s + beat * BEAT_S, 0) for beat in beats]


def past(used: float, weeks: int) -> Past:
    """An owner who used the first hour of the week so much, for so many weeks."""
    found = Past()
    for _ in range(weeks):
        found.add(0, 3600.0 * used, used=True)
        found.add(0, 3600.0 * (1.0 - used), used=False)
        found.add(1, 0.0, used=False)
    return found


def test_an_owner_who_says_nothing_lends_all() -> None:
    assert set(watched(Owner(Wishes()), BUSY, 60.0)) == {Limits()}


def test_what_he_said_is_told_as_it_is() -> None:
    wishes = Wishes(max_requests=2, max_bytes=10, hours=parse("mon 0:00-1:00"))
    owner = Owner(wishes)
    assert owner.lends(QUIET, 0.0, 59) == Limits(max_requests=2, max_bytes=10)
    assert owner.lends(QUIET, 1.0, 60) == Limits(
        paused="it serves mon 0:00-1:00 only", max_requests=2, max_bytes=10
    )


def test_a_machine_that_nobody_uses_serves_from_its_first_minute() -> None:
    assert not any(limits.paused for limits in watched(Owner(SPARE), QUIET, 600.0))
    assert not any(limits.paused for limits in watched(Owner(SPARE), Use(5.0, 9000.0), 600.0))


def test_a_program_that_starts_is_no_use_and_work_is() -> None:
    told = watched(Owner(SPARE), BUSY, 60.0)
    assert [bool(limits.paused) for limits in told[:3]] == [False, False, False]
    assert told[-1].paused == IN_USE


def test_work_that_ended_is_over_after_a_while() -> None:
    owner = Owner(SPARE)
    watched(owner, BUSY, 60.0)
    told = [limits.paused for limits in watched(owner, QUIET, 400.0, 65.0)]
    assert told == sorted(told, reverse=True)  # once
    assert 300.0 <= told.index("") * BEAT_S <= 330.0


def test_whoever_touches_the_keys_uses_it() -> None:
    owner = Owner(SPARE)
    assert owner.lends(Use(1.0, 2.0), 0.0, 0).paused == IN_USE
    assert owner.lends(Use(1.0, 299.0), 1.0, 0).paused == IN_USE
    assert owner.lends(Use(1.0, 301.0), 303.0, 0).paused == ""


def test_the_past_makes_his_absence_sure_sooner_and_never_later() -> None:
    def back_after(owner: Owner) -> int:
        owner.lends(Use(1.0, 0.0), 0.0, 0)
        return next(s for s in range(1, 400) if not owner.lends(Use(1.0, float(s)), s, 0).paused)

    assert back_after(Owner(SPARE)) == 300
    assert back_after(Owner(SPARE, past(1.0, SURE))) == 300
    assert back_after(Owner(SPARE, past(0.0, SURE))) == 60
    assert 60 < back_after(Owner(SPARE, past(0.5, SURE))) < 300
    assert 60 < back_after(Owner(SPARE, past(0.0, 1))) < 300


def test_what_is_available_follows_the_use_in_steps_that_hold() -> None:
    told = [limits.available_share for limits in watched(Owner(SPARE), Use(49.0), 120.0)]
    assert told == sorted(told, reverse=True)
    assert set(told) == {1.0, 0.75, 0.5}
    owner = Owner(SPARE)
    watched(owner, Use(49.0), 120.0)
    for now_s, others_pct in ((200.0, 35.0), (400.0, 49.0), (600.0, 40.0)):
        assert watched(owner, Use(others_pct), 120.0, now_s)[-1].available_share == 0.5
    assert watched(owner, Use(20.0), 120.0, 800.0)[-1].available_share == 0.75


def test_what_is_available_is_also_what_usually_is() -> None:
    assert watched(Owner(SPARE, past(1.0, SURE)), Use(0.0), 60.0)[-1].available_share == 0.5
    assert watched(Owner(SPARE, past(0.0, SURE)), Use(0.0), 60.0)[-1].available_share == 1.0


# The past


def test_the_past_outlives_the_agent(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "owner-studio.json"
    first = Past(file)
    first.add(7, 1800.0, used=True)
    first.add(7, 1800.0, used=False)
    assert not file.exists()
    first.add(8, 1.0, used=False)
    again = Past(file)
    assert again.usual(7) == 0.5
    assert again.sure(7) == pytest.approx(1 / SURE)
    assert (again.usual(8), again.sure(8)) == (0.0, 0.0)


def test_an_hour_of_which_little_was_seen_does_not_count() -> None:
    found = Past()
    found.add(3, LEAST_S - 1, used=True)
    found.add(4, LEAST_S, used=True)
    found.add(5, 0.0, used=True)
    assert [found.sure(hour) > 0 for hour in (3, 4, 5)] == [False, True, False]


def test_of_many_weeks_the_latest_count_most() -> None:
    found = past(0.0, 20)
    for _ in range(4):
        found.add(0, 3600.0, used=True)
        found.add(1, 0.0, used=False)
    assert found.usual(0) > 0.7


@pytest.mark.parametrize("text", ["", "{}", '{"used":[1],"weeks":[1]}', "\xff"])
def test_a_file_that_cannot_be_read_is_no_past(tmp_path: Path, text: str) -> None:
    file = tmp_path / "owner.json"
    file.write_text(text, "latin-1")
    assert [Past(file).usual(hour) for hour in range(HOURS)] == [0.0] * HOURS


def test_a_directory_that_cannot_be_written_costs_only_the_memory(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    found = Past(tmp_path / "taken" / "owner.json")
    found.add(0, 3600.0, used=True)
    found.add(1, 0.0, used=False)
    assert found.usual(0) == 1.0
