"""Virtual time never stands still for what is due in it."""

from math import inf, nextafter

from herd.virtual.agenda import Agenda


def test_an_instant_is_never_before_the_seconds_it_stands_for() -> None:
    """Else a machine would be woken a hair too early, find nothing due, and be woken again."""
    agenda = Agenda(7)
    for micro in range(1, 300_000, 7):
        due_s = nextafter(micro / 1e6, inf)
        agenda.now_us = agenda.instant(due_s)
        assert agenda.seconds >= due_s
        assert agenda.now_us - 7 in {micro, micro + 1}


def test_whole_microseconds_are_themselves() -> None:
    assert [Agenda(7).instant(each) for each in (0.0, 0.000001, 1.0, 2.5)] == [
        7,
        8,
        1_000_007,
        2_500_007,
    ]


def test_what_is_due_comes_in_order() -> None:
    agenda, said = Agenda(0), list[str]()
    agenda.at(20, lambda: said.append("third"))
    agenda.at(10, lambda: said.append("first"))
    agenda.at(10, lambda: said.append("second"))
    agenda.until(15)
    assert (said, agenda.now_us) == (["first", "second"], 15)
    agenda.until(30)
    assert said == ["first", "second", "third"]
