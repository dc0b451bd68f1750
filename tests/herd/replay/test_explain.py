"""What is told of one request: its life, what it waited for, why it was sent where."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from actors.core.placement import SHOWN
from events import (
    CONTROL,
    ConfigurationLoaded,
    DrainRequested,
    Event,
    Lease,
    ModelSubstituted,
    NodeId,
    NodeProbed,
    Recorded,
    RequestDispatched,
    RequestQueued,
    RequestReaped,
    RequestRejected,
    ResidentModel,
    StreamStarted,
    TimerFired,
    encode,
)
from herd.errors import HerdError
from herd.replay.explain import Explanation, explain
from herd.replay.life import steps
from herd.replay.life import told as told_of
from herd.replay.source import Source
from herd.replay.wording import opened
from tests.actors.cast import (
    MODEL,
    OTHER_MODEL,
    attempt_failed,
    book,
    cancelled,
    completed,
    configured,
    failed,
    node,
    on_disk,
    received,
    rid,
    settings,
    unreachable,
)
from tests.herd.logd.rig import data_dir, write
from tests.herd.replay.chaos import chaos
from tests.playbook import Playbook, after

Explain = Callable[[Playbook | list[Recorded], str], Explanation]


@pytest.fixture
def told(tmp_path: Path) -> Explain:
    def explained(playing: Playbook | list[Recorded], begins: str) -> Explanation:
        log = playing.log if isinstance(playing, Playbook) else playing
        write(data_dir(tmp_path), log)
        with Source(tmp_path) as source:
            return explain(source, begins)

    return explained


def lease(playing: Playbook, name: str) -> tuple[str, str]:
    request = playing.state.requests[rid(name)]
    return request.node_id, request.lease


def test_a_cold_runner_up_is_the_reason_and_the_contrast_names_it(told: Explain) -> None:
    playing = book(*node("ada", slots=2), *node("bob", slots=2, resident=()), *node("cyd", "x:1"))
    playing.given(received("r1"))
    (decided,) = told(playing, "r1").decisions
    assert decided.why == "ada, because bob would have had to load the model, about 4.0 s."
    assert [each["node_id"] for each in decided.candidates] == ["ada", "bob"]
    assert {each.node_id: list(each.obstacles) for each in decided.others} == {"cyd": ["model"]}
    assert "had bob had the model in memory, bob" in {each.text for each in decided.contrasts}


def test_the_less_busy_of_two_is_the_reason(told: Explain) -> None:
    playing = book(*node("ada", slots=4), *node("bob", slots=4), received("r1"), received("r2"))
    first, second = (lease(playing, name)[0] for name in ("r1", "r2"))
    decided = told(playing, "r2").decisions[0]
    assert first != second
    assert decided.why == (
        f"{second}, because it was the least busy: 0 of 4 slots in use, {first} 1 of 4."
    )
    assert decided.contrasts


def test_a_retry_is_two_decisions_and_the_second_knows_the_first(told: Explain) -> None:
    playing = book(*node("ada", slots=2), *node("bob", slots=2), received("r1"))
    where, which = lease(playing, "r1")
    playing.given(after(1.5), attempt_failed("r1", where, which))
    again = told(playing, "r1")
    assert [each.attempt for each in again.decisions] == [1, 2]
    (other,) = again.decisions[1].others
    assert (other.node_id, list(other.obstacles)) == (where, ["failed_it"])
    assert [each.at_s for each in again.steps] == [0.0, 0.0, 1.5, 1.5]
    assert again.steps[2].text == f"{where} failed it before the first byte: boom"
    assert (again.waits, again.ended) == ([], False)


def test_a_wait_names_what_was_full_and_who_freed_the_slot(told: Explain) -> None:
    playing = book(*node("ada", slots=1), *node("bob", slots=1))
    playing.given(received("r1"), received("r2"), received("r3"), received("r4"))
    where, which = lease(playing, "r1")
    playing.given(after(2.0), completed("r1", where, which))
    (wait,) = told(playing, "r3").waits
    assert (wait.from_s, wait.to_s, wait.why) == (0.0, 2.0, "ada and bob were full")
    assert wait.opened == f"request r1 on {where} completed, which freed its slot"


def test_a_wait_that_ends_as_another_comes_says_that_it_was_received() -> None:
    sent = RequestDispatched(
        request_id=rid("r1"), model=MODEL, node_id=NodeId("ada"), lease=Lease("1.1")
    )
    chunk = [Recorded(1, 0, received("r2"), CONTROL), Recorded(2, 0, sent, CONTROL)]
    assert opened(chunk, sent) == "request r2 was received"


def test_one_that_waits_still_says_so(told: Explain) -> None:
    playing = book(*node("ada", slots=1), received("r1"), received("r2"))
    (wait,) = told(playing, "r2").waits
    assert (wait.to_s, wait.why) == (None, "ada, the only node with the model, was full")


def test_a_node_that_takes_work_again_ends_a_wait(told: Explain) -> None:
    drain = DrainRequested(node_id=NodeId("ada"), by="eve")
    playing = book(*node("ada", slots=1), drain, received("r1"))
    playing.given(after(3.0), replace(drain, draining=False))
    (wait,) = told(playing, "r1").waits
    assert (wait.why, wait.opened) == ("ada: draining (asked by eve)", "ada took work again")


def test_a_node_that_comes_back_ends_a_wait(told: Explain) -> None:
    playing = book(*node("ada"), unreachable("ada"), unreachable("ada"), received("r1"))
    playing.given(after(3.0), *node("ada"))
    (wait,) = told(playing, "r1").waits
    assert (wait.why, wait.opened) == ("ada: offline", "ada came online")


def test_a_full_line_is_why_one_was_rejected(told: Explain) -> None:
    playing = book(settings(max_queue=1), *node("ada", slots=1))
    playing.given(received("r1"), received("r2"), received("r3"))
    said = told(playing, "r3")
    assert said.rejected == f"the line of {MODEL} was full: 1 waited, 1 may"
    assert said.steps[-1].text == "rejected with 429 (queue full)"
    assert (said.decisions, said.waits, said.ended) == ([], [], True)


def test_all_lines_together_may_be_full(told: Explain) -> None:
    playing = book(settings(max_queue_total=1), *node("ada", MODEL, OTHER_MODEL, slots=1))
    playing.given(received("r1"), received("r2"), received("r3", OTHER_MODEL))
    playing.given(received("r4", OTHER_MODEL))
    assert told(playing, "r4").rejected == "all lines together were full: 1 waited, 1 may"


@pytest.mark.parametrize(
    ("given", "waits_s", "said"),
    [
        ({}, 601.0, "no slot was free for it in 601.0 s (queue_timeout_s is 600)"),
        ({"deadline_s": 5.0}, 6.0, "its client would wait no longer; it had waited 6.0 s"),
    ],
)
def test_a_wait_that_was_too_long_is_why(
    told: Explain, given: dict[str, Any], waits_s: float, said: str
) -> None:
    playing = book(*node("ada", slots=1), received("r1"), received("r2", **given))
    playing.given(after(waits_s), TimerFired())
    again = told(playing, "r2")
    assert again.rejected == said
    assert [each.to_s for each in again.waits] == [waits_s]


def test_a_model_that_nobody_has_is_why(told: Explain) -> None:
    playing = book(*node("ada"), received("r1", "nobody-has:this"))
    assert told(playing, "r1").rejected.startswith("no node has nobody-has:this")


def test_candidates_that_were_not_stored_are_told_too(told: Explain) -> None:
    names = [f"node{number:02}" for number in range(SHOWN + 4)]
    playing = book(*(node(name, slots=1) for name in names), received("r1"))
    (decided,) = told(playing, "r1").decisions
    assert sorted(each["node_id"] for each in decided.candidates) == names
    assert decided.not_listed == 0


def test_what_this_version_would_not_decide_is_said_honestly(told: Explain) -> None:
    """As after an update that changed the policy: the recorded terms are told, and no contrast."""
    playing = book(*node("ada", slots=2), *node("bob", slots=2, resident=()), received("r1"))
    record = playing.log[-1]
    event = record.event
    assert isinstance(event, RequestDispatched)
    forged = replace(
        event, node_id=NodeId("bob"), terms=event.terms[::-1], policy="another/9", more=3
    )
    (decided,) = told([*playing.log[:-1], replace(record, event=forged)], "r1").decisions
    assert (decided.known, decided.exact) == (True, False)
    assert (decided.node_id, decided.now) == ("bob", "ada")
    assert (decided.contrasts, decided.not_listed) == ([], 3)
    assert "another/9" in decided.why


def test_a_request_is_named_by_its_first_letters(tmp_path: Path) -> None:
    playing = book(*node("ada", slots=3), received("abc-1"), received("abd-2"))
    write(data_dir(tmp_path), playing.log)
    with Source(tmp_path) as source:
        assert explain(source, "abd").request_id == "abd-2"
        with pytest.raises(HerdError, match="more than one request begins with ab: abc-1, abd-2"):
            explain(source, "ab")
        with pytest.raises(HerdError, match="no request xyz in the log"):
            explain(source, "xyz")


def test_what_precedes_the_oldest_stored_state_is_told_without_reasons(tmp_path: Path) -> None:
    """As in a part of a log."""
    playing = book(*node("ada", slots=1), received("r1"))
    part = tmp_path / "part.herd"
    part.write_bytes(gzip.compress(b"".join(encode(each) for each in playing.log[1:])))
    with Source(part) as source:
        said = explain(source, "r1")
    assert [each.kind for each in said.steps] == ["request_received", "request_dispatched"]
    assert [(each.known, each.exact) for each in said.decisions] == [(False, False)]


def test_every_kind_of_request_in_chaos_can_be_explained(tmp_path: Path) -> None:
    log = chaos(1)
    names: dict[str, str] = {}
    for kind in ("request_rejected", "lease_voided", "attempt_failed", "request_queued"):
        found = [e for e in log if e.event.__struct_config__.tag == kind]
        names |= {str(getattr(each.event, "request_id", "")): kind for each in found[:3]}
    assert len(names) >= 10
    write(data_dir(tmp_path), log)
    with Source(tmp_path) as source:
        for name, kind in names.items():
            said = explain(source, name)  # `r1` is that one, though `r10` begins so too
            assert said.request_id == name
            assert kind in {each.kind for each in said.steps}
            assert all(each.exact for each in said.decisions)
            assert all(each.text for each in said.steps)
            assert all(each.why for each in said.waits)


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (received("r", asked_model="llama3.2", app="chat", deadline_s=5.0), "(asked as llama3.2)"),
        (completed("r", "ada", "1.1", load_s=2.0, finish="stop"), "of these 2.00 s loading"),
        (completed("r", "ada", "1.1", status=400), "completed with 400"),
        (failed("r", "ada", "1.1"), "failed on ada in the middle of the answer, fault of the node"),
        (cancelled("r"), "the client left while it waited"),
        (attempt_failed("r", "ada", "1.1", error="", status=503), "answered 503"),
        (
            RequestQueued(request_id=rid("r"), model=MODEL, position=3, reason="hold"),
            "number 3 in line: no node online has the model",
        ),
        (
            StreamStarted(
                request_id=rid("r"),
                model=MODEL,
                node_id=NodeId("ada"),
                lease=Lease("1.1"),
                ttft_s=0.25,
            ),
            "first byte, 0.25 s after it was sent",
        ),
    ],
)
def test_each_event_is_told_in_words(event: Event, said: str) -> None:
    (step,) = steps([Recorded(1, 0, event, CONTROL)])
    assert said in step.text


def test_a_first_byte_stands_where_it_came_and_not_where_it_was_reported() -> None:
    lease, ada = Lease("1.1"), NodeId("ada")
    sent = RequestDispatched(request_id=rid("r"), model=MODEL, node_id=ada, lease=lease)
    began = StreamStarted(request_id=rid("r"), model=MODEL, node_id=ada, lease=lease, ttft_s=0.25)
    events = (received("r"), sent, began, completed("r", "ada", "1.1"))
    at_us = (0, 2_000_000, 3_300_000, 4_000_000)
    log = [Recorded(*each, CONTROL) for each in zip(range(1, 5), at_us, events, strict=True)]
    assert [each.at_s for each in steps(log)] == [0.0, 2.0, 2.25, 4.0]


def test_an_end_by_herd_itself_is_told() -> None:
    reaped = RequestReaped(
        request_id=rid("r"),
        model=MODEL,
        node_id=NodeId("ada"),
        lease=Lease("1.1"),
        idle_s=600.0,
    )
    rejected = RequestRejected(request_id=rid("r"), model=MODEL, status=503, reason="hold_timeout")
    first, second = steps([Recorded(1, 0, reaped), Recorded(2, 1_000_000, rejected)])
    assert first.text == "ended by herd: no progress on ada for 600 s"
    assert (second.at_s, second.text) == (1.0, "rejected with 503 (hold timeout)")


def test_another_model_and_another_context_are_told(told: Explain) -> None:
    on = ConfigurationLoaded(settings={"fallback_models": True, "context_protection": "strip"})
    loaded = ResidentModel(name=MODEL, context_length=4096)
    has = NodeProbed(
        node_id=NodeId("ada"), reachable=True, models=on_disk(MODEL), resident=(loaded,)
    )
    playing = book(on, configured("ada", 1), has)
    asked = received("r1", "x:1", fallbacks=(MODEL,), num_ctx=2048, most_tokens=9)
    playing.given(asked)
    found = told(playing, "r1")
    assert [each.text for each in found.steps] == [
        f"received: x:1, else {MODEL}, /api/chat, with a context of 2048, up to 9 tokens",
        f"goes to {MODEL}: no node online has x:1, and its body names this one",
        "sent to ada, its context pinned to the 4096 that is loaded there",
    ]
    assert found.decisions[0].exact
    assert found.waits == []


def test_a_node_with_too_small_a_context_is_said_to_be_none_for_it(told: Explain) -> None:
    on = ConfigurationLoaded(settings={"context_protection": "strip"})
    given: list[Event] = [on]
    for name, context in (("ada", 4096), ("bob", 16_384)):
        loaded = ResidentModel(name=MODEL, context_length=context)
        has = NodeProbed(
            node_id=NodeId(name), reachable=True, models=on_disk(MODEL), resident=(loaded,)
        )
        given += [configured(name, 1), has]
    (decided,) = told(book(*given, received("r1", num_ctx=8192)), "r1").decisions
    assert decided.node_id == "bob"
    (other,) = decided.others
    assert other.obstacles == {"context": "has the model with a context of 4096 only"}


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (
            ModelSubstituted(request_id=rid("r"), model="a", to="b", reason="vram", saved_s=12.4),
            "goes to b, about 12 s sooner: it is in memory, and a is in none",
        ),
        (
            ModelSubstituted(request_id=rid("r"), model="a", to="b", reason="alias"),
            "goes to b: that is what a stands for",
        ),
        (
            ModelSubstituted(request_id=rid("r"), model="a", to="b", reason="anthropic"),
            "goes to b: no node has a, and this is the best in memory that can use tools",
        ),
        (
            RequestDispatched(
                request_id=rid("r"),
                model=MODEL,
                node_id=NodeId("ada"),
                lease=Lease("1.1"),
                context="reloads",
                loaded_ctx=4096,
            ),
            "sent to ada, which has 4096 of context loaded and may have to load anew",
        ),
        (
            received("r", no_fallback=True),
            f"received: {MODEL}, and no other model, /api/chat",
        ),
    ],
)
def test_what_a_substitution_says(event: Event, text: str) -> None:
    assert told_of(event) == text
