"""The tree of a request, from its events."""

import pytest

from events import Recorded, RequestDispatched
from herd.tracing.spans import Span, Spans
from tests.actors.cast import MODEL, attempt_failed, book, cancelled, completed, node, received
from tests.playbook import Playbook, after

TRACE, CLIENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{CLIENT}-01"
S_NS = 10**9


def spans_of(log: list[Recorded]) -> list[list[Span]]:
    spans = Spans()
    return [tree for record in log if (tree := spans.add(record))]


def one_node(slots: int = 1) -> Playbook:
    return book(*node("ada", slots=slots))


def lease(playing: Playbook, name: str) -> RequestDispatched:
    found = [
        each.event
        for each in playing.log
        if isinstance(each.event, RequestDispatched) and each.event.request_id == name
    ]
    return found[-1]


def served(name: str = "r1", **asked: str) -> list[Span]:
    playing = one_node().given(received(name, **asked), after(2.0))
    sent = lease(playing, name)
    end = completed(name, sent.node_id, sent.lease, ttft_s=0.5, service_s=2.0)
    playing.given(end)
    (tree,) = spans_of(playing.log)
    return tree


def test_a_request_that_runs_at_once_has_one_attempt() -> None:
    root, attempt = served()
    assert root.name == f"chat {MODEL}"
    assert (root.parent_id, root.kind, root.error) == (0, "server", "")
    assert root.attributes["http.response.status_code"] == 200
    assert (attempt.name, attempt.kind) == ("attempt 1 at ada", "client")
    assert (attempt.trace_id, attempt.parent_id) == (root.trace_id, root.span_id)
    assert attempt.first_byte_ns - attempt.start_ns == S_NS // 2
    assert attempt.attributes["gen_ai.response.time_to_first_chunk"] == 0.5
    for span in (root, attempt):
        assert span.attributes["gen_ai.operation.name"] == "chat"
        assert span.attributes["gen_ai.provider.name"] == "ollama"
        assert span.attributes["gen_ai.request.model"] == MODEL
    assert root.attributes["gen_ai.request.stream"] is True
    assert root.attributes["gen_ai.response.model"] == MODEL
    assert "error.type" not in root.attributes
    assert root.end_ns - root.start_ns == 2 * S_NS
    assert attempt.span_id != root.span_id


def test_the_same_log_gives_the_same_ids() -> None:
    assert served() == served()
    assert served("r1")[0].trace_id != served("r2")[0].trace_id


def test_what_the_client_said_is_the_parent() -> None:
    root, attempt = served(trace=PARENT)
    assert root.trace_id == attempt.trace_id == int(TRACE, 16)
    assert (root.parent_id, root.parent_is_remote) == (int(CLIENT, 16), True)
    assert (attempt.parent_id, attempt.parent_is_remote) == (root.span_id, False)


def test_a_client_that_wants_no_trace_gets_none() -> None:
    playing = one_node().given(received("r1", trace=f"00-{TRACE}-{CLIENT}-00"))
    sent = lease(playing, "r1")
    playing.given(completed("r1", sent.node_id, sent.lease))
    assert spans_of(playing.log) == []


def test_a_wait_is_a_span_of_its_own() -> None:
    playing = one_node().given(received("r1"), received("r2"), after(3.0))
    first = lease(playing, "r1")
    playing.given(completed("r1", first.node_id, first.lease), after(1.0))
    second = lease(playing, "r2")
    playing.given(completed("r2", second.node_id, second.lease))
    _, (root, wait, attempt) = spans_of(playing.log)
    assert wait.name == "queue"
    assert (wait.start_ns, wait.end_ns) == (root.start_ns, attempt.start_ns)
    assert wait.end_ns - wait.start_ns == 3 * S_NS


def test_an_attempt_that_failed_is_shown_beside_the_next() -> None:
    playing = book(*node("ada", slots=1), *node("bob", slots=1)).given(received("r1"), after(1.0))
    first = lease(playing, "r1")
    playing.given(attempt_failed("r1", first.node_id, first.lease), after(1.0))
    second = lease(playing, "r1")
    assert second.node_id != first.node_id
    playing.given(completed("r1", second.node_id, second.lease))
    ((root, *attempts),) = spans_of(playing.log)
    assert [each.name for each in attempts] == [
        f"attempt 1 at {first.node_id}",
        f"attempt 2 at {second.node_id}",
    ]
    assert attempts[0].error == f"failed: {attempts[0].attributes['error.type']}"
    assert (root.error, attempts[1].error) == ("", "")


def test_whoever_leaves_ends_its_trace() -> None:
    playing = one_node().given(received("r1"), received("r2"), after(1.0), cancelled("r2"))
    ((root,),) = spans_of(playing.log)
    assert (root.error, root.attributes["error.type"]) == ("cancelled", "cancelled")


def test_what_began_before_the_log_has_no_tree() -> None:
    playing = one_node().given(received("r1"))
    sent = lease(playing, "r1")
    playing.given(completed("r1", sent.node_id, sent.lease))
    begins = next(n for n, each in enumerate(playing.log) if each.event == sent)
    assert spans_of(playing.log[begins:]) == []


def test_requests_without_an_end_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("herd.tracing.spans.MOST_OPEN", 1)
    playing = one_node(slots=2).given(received("r1"), received("r2"))
    for name in ("r1", "r2"):
        sent = lease(playing, name)
        playing.given(completed(name, sent.node_id, sent.lease))
    (tree,) = spans_of(playing.log)
    assert tree[0].attributes["herd.request.id"] == "r2"
