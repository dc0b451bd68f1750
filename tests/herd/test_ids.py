import uuid
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from herd.ids import RequestIds


def test_an_id_is_a_uuid_of_version_7_with_its_time() -> None:
    made = uuid.UUID(RequestIds(lambda: 1_795_447_744.849).next())
    assert made.version == 7
    assert made.variant == uuid.RFC_4122
    assert made.int >> 80 == 1_795_447_744_849


@given(st.lists(st.floats(min_value=1.7e9, max_value=1.8e9), min_size=2))
def test_ids_rise_even_when_the_clock_goes_back(instants: list[float]) -> None:
    clock = iter(instants)
    ids = RequestIds(lambda: next(clock))
    made = [ids.next() for _ in instants]
    assert all(first < second for first, second in pairwise(made))


def test_more_than_4096_ids_in_one_millisecond_still_rise() -> None:
    ids = RequestIds(lambda: 1_795_447_744.0)
    made = [ids.next() for _ in range(10_000)]
    assert made == sorted(set(made))


def test_two_processes_make_different_ids() -> None:
    def frozen() -> float:
        return 1_795_447_744.0

    assert RequestIds(frozen).next() != RequestIds(frozen).next()
