"""A request's page: the stretches of its life, its decisions, in words."""

from typing import Any, cast

from msgspec.structs import replace

from events import (
    AttemptFailed,
    Candidate,
    Event,
    Lease,
    NodeId,
    Recorded,
    RequestCancelled,
    RequestCompleted,
    RequestDispatched,
    RequestFailed,
    RequestId,
    RequestQueued,
    RequestReceived,
    RequestRejected,
    StreamStarted,
    encode,
)
from herd.dashboard import story
from herd.dashboard.story import Span

ID = RequestId("01a20aed-647f-7000-9872-94ba2d886c11")
MODEL = "llama3.2:3b"
RECEIVED = RequestReceived(request_id=ID, model=MODEL, app="notes")
QUEUED = RequestQueued(request_id=ID, model=MODEL, position=1, reason="slots")


def sent(
    node: str, terms: tuple[Candidate, ...] = (), queue_s: float = 0.0, more: int = 0
) -> RequestDispatched:
    return RequestDispatched(
        request_id=ID,
        model=MODEL,
        node_id=NodeId(node),
        lease=Lease("1.1"),
        terms=terms,
        queue_s=queue_s,
        more=more,
    )


def done(ttft_s: float, service_s: float, load_s: float = 0.0) -> RequestCompleted:
    return RequestCompleted(
        request_id=ID,
        model=MODEL,
        node_id=NodeId("mini"),
        lease=Lease("1.1"),
        ttft_s=ttft_s,
        service_s=service_s,
        load_s=load_s,
    )


def life(*events: tuple[float, Event]) -> list[Recorded]:
    return [
        Recorded(seq, 1_000_000_000 + round(at_s * 1e6), event)
        for seq, (at_s, event) in enumerate(events, start=1)
    ]


def test_a_request_that_waits_loads_reads_and_answers() -> None:
    told = life(
        (0.0, RECEIVED),
        (0.0, QUEUED),
        (2.0, sent("mini")),
        (8.0, done(ttft_s=3.0, service_s=6.0, load_s=2.5)),
    )

    assert story.spans(told) == [
        Span("waiting", 0.0, 2.0),
        Span("loading", 2.0, 4.5, "mini"),
        Span("prompt", 4.5, 5.0, "mini"),
        Span("answer", 5.0, 8.0, "mini"),
    ]


def test_an_answer_in_one_piece_does_not_tell_prompt_and_answer_apart() -> None:
    told = life(
        (0.0, RequestReceived(request_id=ID, model=MODEL, stream=False)),
        (0.0, sent("mini")),
        (4.0, done(ttft_s=3.5, service_s=4.0, load_s=1.0)),
    )

    assert story.spans(told) == [Span("loading", 0.0, 1.0, "mini"), Span("whole", 1.0, 4.0, "mini")]


def test_an_attempt_that_failed_is_seen_and_the_wait_after_it() -> None:
    failed = AttemptFailed(
        request_id=ID, model=MODEL, node_id=NodeId("tower"), lease=Lease("1.1"), phase="connect"
    )
    told = life(
        (0.0, RECEIVED),
        (0.0, sent("tower")),
        (1.0, failed),
        (3.0, sent("mini")),
        (4.0, done(ttft_s=1.0, service_s=1.0)),
    )

    assert story.spans(told) == [
        Span("failed", 0.0, 1.0, "tower"),
        Span("waiting", 1.0, 3.0),
        Span("prompt", 3.0, 4.0, "mini"),
    ]


def test_what_lasts_has_no_end() -> None:
    started = StreamStarted(
        request_id=ID, model=MODEL, node_id=NodeId("mini"), lease=Lease("1.1"), ttft_s=0.5
    )

    assert story.spans(life((0.0, RECEIVED))) == [Span("waiting", 0.0, None)]
    assert story.spans(life((0.0, RECEIVED), (1.0, sent("mini")), (2.5, started))) == [
        Span("waiting", 0.0, 1.0),
        Span("prompt", 1.0, 1.5, "mini"),
        Span("answer", 1.5, None, "mini"),
    ]


def test_other_ends() -> None:
    rejected = RequestRejected(request_id=ID, model=MODEL, status=503, reason="queue_timeout")
    left = RequestCancelled(request_id=ID, model=MODEL, phase="first_byte", node_id=NodeId("mini"))

    assert story.spans(life((0.0, RECEIVED), (9.0, rejected))) == [Span("waiting", 0.0, 9.0)]
    assert story.spans(life((0.0, RECEIVED), (0.0, sent("mini")), (2.0, left))) == [
        Span("failed", 0.0, 2.0, "mini")
    ]


def test_an_end_has_the_words_of_the_traces() -> None:
    rejected = RequestRejected(request_id=ID, model=MODEL, status=503, reason="queue_timeout")
    left = RequestCancelled(request_id=ID, model=MODEL, phase="first_byte", node_id=NodeId("mini"))
    broken = RequestFailed(request_id=ID, model=MODEL, phase="stream", fault="node", status=500)
    whole = done(ttft_s=1.0, service_s=1.0)

    def ended(*events: Event) -> str:
        return story.outcome(life(*((0.0, each) for each in events)))

    assert ended(RECEIVED, sent("mini")) == ""
    assert ended(RECEIVED, rejected) == "rejected"
    assert ended(RECEIVED, sent("mini"), left) == "client_disconnected"
    assert ended(RECEIVED, sent("mini"), broken) == "incomplete"
    assert ended(RECEIVED, sent("mini"), replace(broken, phase="connect")) == "failed"
    assert ended(RECEIVED, sent("mini"), replace(whole, completion_tokens=8)) == "completed"
    assert ended(RECEIVED, sent("mini"), whole) == "no_output"
    assert ended(replace(RECEIVED, route="/api/embed"), sent("mini"), whole) == "completed"


def test_what_soonest_weighs_is_told_in_its_own_words() -> None:
    terms = (
        Candidate(NodeId("mini"), resident=True, in_flight=1, slots=2, wait_s=0.0, score=90.0),
        Candidate(NodeId("tower"), resident=False, in_flight=0, slots=2, wait_s=2.0, score=40.0),
    )
    (record,) = life((0.25, replace(sent("mini", terms=terms), policy="soonest/1")))
    assert story.placed(record)["why"] == (
        "where it and those beside it lose least time: 0.1, tower 1.5 (1 is its time alone on the "
        "best node)."
    )


def test_the_page_has_the_words_of_explain() -> None:
    terms = (
        Candidate(NodeId("mini"), resident=True, in_flight=1, slots=2, wait_s=0.0, score=90.0),
        Candidate(NodeId("tower"), resident=False, in_flight=0, slots=2, wait_s=2.0, score=40.0),
    )
    records = life(
        (0.0, RECEIVED),
        (0.25, sent("mini", terms=terms, queue_s=0.25, more=1)),
        (1.25, done(ttft_s=0.5, service_s=1.0)),
    )
    told = story.told(story.records(encode(each).decode() for each in records))

    assert told["request_id"] == ID
    assert told["ended"] is True
    assert told["total_s"] == 1.25
    assert told["command"] == f"herd explain {ID}"
    (decided,) = cast("list[dict[str, Any]]", told["decisions"])
    assert decided["why"] == "mini, the highest score by resident-first/1: 90.0, tower 40.0."
    assert [each["node_id"] for each in decided["candidates"]] == ["mini", "tower"]
    assert decided["not_listed"] == 1
    placed = story.placed(records[1])
    assert placed["why"] == "the highest score by resident-first/1: 90.0, tower 40.0."
    assert placed["queue_s"] == 0.25
    assert cast("dict[str, Any]", placed["runner_up"])["node_id"] == "tower"
