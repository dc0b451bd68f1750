"""`traceparent`, read as the standard says."""

import pytest

from herd.http.exchange import Request
from herd.http.noted import noted_of
from herd.tracing.context import context_of

GOOD = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_one_of_the_right_form_is_read() -> None:
    context = context_of(GOOD)
    assert context is not None
    assert f"{context.trace_id:032x}-{context.span_id:016x}" == GOOD[3:52]
    assert context.sampled
    unsampled = context_of(GOOD[:-2] + "00")
    assert unsampled is not None
    assert not unsampled.sampled


@pytest.mark.parametrize(
    "bad",
    [
        "",
        GOOD.upper(),
        GOOD + "0",
        "ff" + GOOD[2:],
        GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32),
        GOOD.replace("00f067aa0ba902b7", "0" * 16),
        "00-\x1b[2Jf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ],
)
def test_any_other_is_not_recorded(bad: str) -> None:
    assert context_of(bad) is None
    assert noted_of(asked(bad)).trace == ""


def asked(traceparent: str) -> Request:
    request = Request()
    request.noted.append((b"Traceparent", traceparent.encode("latin-1")))
    return request


def test_the_header_is_recorded_in_any_case_of_its_name() -> None:
    assert noted_of(asked(GOOD)).trace == GOOD
