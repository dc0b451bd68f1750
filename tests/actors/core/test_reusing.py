"""What answers tell of caches, and what they must not tell of speeds."""

import msgspec
import pytest

from actors.core.learning import Demand, Mean, Speed
from actors.core.reusing import came_true, prompt_of
from actors.core.state import Request
from events import Lease, NodeId, RequestCompleted, RequestId, Source

ASKED = Demand(prompt_tokens=Mean(9, 1000.0), body_bytes=Mean(9, 4000.0))


def request(hoped: float = 0.8) -> Request:
    """One whose prompt is reckoned at 1,000 tokens."""
    asked = Request(
        RequestId("r"), "m", Source("f1"), v1=False, seq=1, received_us=0, body_bytes=4000
    )
    asked.hoped_share = hoped
    return asked


def answer(
    prompt: int, cached: int = 0, ttft_s: float = 1.0, load_s: float = 0.0
) -> RequestCompleted:
    return RequestCompleted(
        request_id=RequestId("r"),
        model="m",
        node_id=NodeId("n"),
        lease=Lease("1.1"),
        ttft_s=ttft_s,
        service_s=5.0,
        load_s=load_s,
        prompt_tokens=prompt,
        cached_tokens=cached,
    )


def test_a_node_that_says_what_it_had_cached_is_believed() -> None:
    for hoped in (0.0, 0.8):
        told = prompt_of(ASKED, Speed(), request(hoped), answer(1000, cached=700))
        assert told == (300, True, False)
    assert prompt_of(ASKED, Speed(), request(), answer(100, cached=700)).taken_in == 0


def test_where_nothing_was_hoped_for_all_was_taken_in() -> None:
    assert prompt_of(ASKED, Speed(), request(0.0), answer(1000)) == (1000, True, False)
    assert prompt_of(ASKED, Speed(), request(0.04), answer(1000)) == (1000, True, False)


def test_a_small_count_is_of_what_was_taken_in() -> None:
    assert prompt_of(ASKED, Speed(), request(), answer(200)) == (200, False, False)


def test_a_large_count_is_of_the_whole_prompt() -> None:
    told = prompt_of(ASKED, Speed(), request(), answer(950))
    assert told.taken_in == pytest.approx(190.0)
    assert (told.whole, told.reckoned) == (True, True)
    half = Speed(reuse=Mean(3, 0.5))
    assert prompt_of(ASKED, half, request(), answer(950)).taken_in == pytest.approx(570.0)


def test_where_no_length_is_known_it_is_taken_for_the_whole() -> None:
    assert prompt_of(Demand(), Speed(), request(), answer(10)).whole


def test_the_first_byte_tells_what_came_true() -> None:
    speed = Speed(token=Mean(9, 0.01))
    came_true(speed, request(), answer(1000, ttft_s=2.0), 10.0)
    assert speed.reuse.value == pytest.approx(1.0), "8 of 10 s were saved, as hoped"
    came_true(speed, request(), answer(1000, ttft_s=6.0 + 3.0, load_s=3.0), 10.0)
    assert speed.reuse.value == pytest.approx((1.0 + 0.5) / 2), "of 8 s hoped for, 4 were saved"
    came_true(speed, request(), answer(1000, ttft_s=30.0), 10.0)
    assert speed.reuse.value == pytest.approx((1.0 + 0.5 + 0.0) / 3), "never less than nothing"


def test_too_little_tells_nothing() -> None:
    new, short = Speed(token=Mean(1, 0.01)), Speed(token=Mean(9, 0.01))
    came_true(new, request(), answer(1000), 10.0)
    came_true(short, request(), answer(50), 0.5)
    assert new.reuse.count == short.reuse.count == 0
    assert msgspec.structs.asdict(short)["token"] == Mean(9, 0.01)
