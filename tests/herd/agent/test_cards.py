"""By which hardware addresses a machine may be woken: what its owner says of it."""

import pytest

from herd.agent.cards import AUTO, MOST, cards, parse
from herd.errors import HerdError

ONE, OTHER = "3c:7c:3f:00:00:01", "3c:7c:3f:00:00:02"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("", ()),
        ("off", ()),
        ("no", ()),
        ("0", ()),
        (AUTO, AUTO),
        ("on", AUTO),
        ("1", AUTO),
        (ONE, (ONE,)),
        (f"3C-7C-3F-00-00-01, {OTHER}", (ONE, OTHER)),
    ],
)
def test_what_the_owner_says(text: str, meant: object) -> None:
    assert parse(text) == meant


@pytest.mark.parametrize("text", ["studio", "3c:7c:3f:00:00", f"{ONE},{ONE}x", "ff:ff:ff:ff:ff:ff"])
def test_what_is_no_card_is_refused(text: str) -> None:
    with pytest.raises(HerdError, match="no hardware addresses") as refused:
        parse(text)
    assert "--wake" in refused.value.next_step


def test_of_what_an_agent_tells_only_cards_count() -> None:
    told = ["01:00:5e:00:00:01", "00:00:00:00:00:00", "x", ONE, ONE.upper(), "", OTHER]
    assert cards(told) == (ONE, OTHER)
    assert len(cards([f"3c:7c:3f:00:01:{each:02x}" for each in range(50)])) == MOST
