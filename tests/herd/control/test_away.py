"""Fronts that are away: waited for as long as they live."""

from pathlib import Path

from events import Source
from herd.control.away import Away
from herd.link.presence import Presence

ONE, OTHER = Source("f1-aaaaaa"), Source("f2-bbbbbb")


def test_who_lives_is_waited_for_until_it_is_here(tmp_path: Path) -> None:
    here: set[Source] = set()
    one, other = Presence(tmp_path, ONE), Presence(tmp_path, OTHER)
    one.enter()
    other.enter()
    away = Away(tmp_path, [ONE, OTHER, Source("f3-cccccc")], here.__contains__)
    assert away.ended() == ["f3-cccccc"]
    assert away.still() == (ONE, OTHER)
    here.add(ONE)
    assert away.still() == (OTHER,)
    other.leave()
    assert away.ended() == [OTHER]
    assert away.ended() == []


def test_whose_link_broke_is_waited_for_if_it_lives(tmp_path: Path) -> None:
    one = Presence(tmp_path, ONE)
    one.enter()
    away = Away(tmp_path, [], set[Source]().__contains__)
    assert not away.waits_for(OTHER)
    assert away.waits_for(ONE)
    assert away.still() == (ONE,)
    one.leave()
    assert away.ended() == [ONE]
