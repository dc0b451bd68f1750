"""By which hardware addresses this machine may be woken, if its owner allows it."""

import re
from typing import Final, Literal, TypeAlias

from herd.config import WORDS
from herd.errors import HerdError

MOST: Final = 8
"""More cards no machine has that anybody wakes."""
AUTO: Final = "auto"
Wake: TypeAlias = tuple[str, ...] | Literal["auto"]
"""Addresses that were named; or the one of the interface towards the balancer. Empty: never."""

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_NOBODY = "00:00:00:00:00:00"


def parse(text: str) -> Wake:
    """Read what the owner says: a word for yes or no, or addresses with commas between them."""
    word = text.strip().lower()
    if not word or WORDS.get(word) is False or word == "0":
        return ()
    if word in {AUTO, "1"} or WORDS.get(word):
        return AUTO
    named = [each.strip() for each in word.split(",")]
    macs = cards(named)
    if len(macs) != len(named):
        raise HerdError(
            f"--wake {text}: no hardware addresses",
            "write `--wake` alone, or 3c:7c:3f:00:00:01; `ip link` or `ipconfig /all` shows them",
        )
    return macs


def cards(told: list[str]) -> tuple[str, ...]:
    """Return those that are the address of one network card, in one spelling."""
    macs = dict.fromkeys(each.lower().replace("-", ":") for each in told)
    return tuple(each for each in macs if _is_card(each))[:MOST]


def _is_card(mac: str) -> bool:
    """Whether it is no group's address (the lowest bit of the first byte), nor nobody's."""
    return _MAC.fullmatch(mac) is not None and mac != _NOBODY and not int(mac[:2], 16) & 1
