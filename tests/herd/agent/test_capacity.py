"""What an owner lends, on the wire: ours there and back, and ollama-herd's."""

from typing import Any

import msgspec
import pytest

from events import Limits
from herd.agent.capacity import LONGEST, Capacity, read, written
from herd.agent.owner import IN_USE

GIB = 1024**3


@pytest.mark.parametrize(
    "limits",
    [
        Limits(),
        Limits(paused="it serves 22:00-07:00 only"),
        Limits(max_requests=3, max_bytes=10_000_000_001, available_share=0.7),
        Limits(macs=("3c:7c:3f:00:00:01", "3c:7c:3f:00:00:02")),
    ],
)
def test_ours_there_and_back(limits: Limits) -> None:
    sent = msgspec.json.encode(written(limits))
    assert read(msgspec.json.decode(sent, type=Capacity | None), ours=True) == limits


def test_ours_has_the_keys_that_scripts_know() -> None:
    told = written(Limits(paused=IN_USE, max_bytes=8 * GIB, available_share=0.3))
    assert told is not None
    assert (told.mode, told.ceiling_gb, told.availability_score, told.reason) == (
        "paused",
        8.0,
        0.3,
        IN_USE,
    )


def theirs(**told: Any) -> Limits:
    return read(msgspec.convert(told, Capacity), ours=False)


def test_ollama_herds() -> None:
    assert theirs(mode="full", ceiling_gb=19.2, availability_score=0.93) == Limits(
        max_bytes=round(19.2 * GIB), available_share=1.0
    )
    assert theirs(mode="paused", reason="CPU at 97 %", availability_score=0.1) == Limits(
        paused=IN_USE, available_share=0.0
    )


def test_its_week_without_work_is_not_kept_up() -> None:
    assert theirs(mode="bootstrap", availability_score=0.0, ceiling_gb=0.0) == Limits()


def test_its_score_is_news_only_in_quarters() -> None:
    assert theirs(availability_score=0.71) == theirs(availability_score=0.84)


def test_nonsense_limits_nothing() -> None:
    assert theirs(max_requests=-3, ceiling_gb=-1.0, availability_score=7.0) == Limits()
    assert theirs(mode=None, ceiling_gb=None, availability_score=None) == Limits()


def test_a_reason_is_short_and_can_be_printed() -> None:
    told = Capacity(mode="paused", reason="\x1b[2J" + "x" * 500)
    reason = read(told, ours=True).paused
    assert reason.isprintable()
    assert len(reason) == LONGEST
    assert read(Capacity(mode="paused", reason="\n"), ours=True).paused == IN_USE


def test_nobody_else_tells_by_what_a_machine_is_woken() -> None:
    assert theirs(wake=["3c:7c:3f:00:00:01"]) == Limits()
