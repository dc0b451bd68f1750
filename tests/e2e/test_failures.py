"""Nodes that fail: before the first byte another answers, after it the client is told."""

import http.client

import msgspec
import pytest

from herd.simulator.faults import FaultKind
from herd.simulator.fleet import NodeOrder
from tests.e2e.conftest import TOKENS, StartHerd, StartNodes
from tests.e2e.herds import Herd
from tests.e2e.nodes import SIMULATED, SMALL, Nodes
from tests.e2e.wire import Answer, Call, ask, chat

TRIES = 30


@pytest.mark.parametrize("kind", ["error", "refuse", "die"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_before_the_first_byte_another_node_answers(
    pair_herd: Herd, pair: Nodes, kind: FaultKind, *, stream: bool
) -> None:
    ill = ask(pair_herd.url, "/api/chat", chat(SMALL)).node
    (well,) = set(pair.names) - {ill}
    retried = _retried(pair_herd, pair, kind, ill, stream=stream)
    assert (retried.status, retried.node, retried.retries) == (200, well, 1)
    lines = [msgspec.json.decode(line) for line in retried.body.splitlines()]
    assert [line["done"] for line in lines] == [False] * (TOKENS * stream) + [True]
    text = "".join(line["message"]["content"] for line in lines)
    assert text.startswith(f"{SIMULATED} {well}.")


def _retried(herd: Herd, pair: Nodes, kind: FaultKind, ill: str, *, stream: bool) -> Answer:
    """Ask until the ill node was chosen first; whoever asks never sees it.

    A probe may see it before that; then it is made well, and ill again.
    """
    for _ in range(TRIES):
        pair.fault(kind, ill)
        for _ in range(3):
            answer = ask(herd.url, "/api/chat", chat(SMALL, stream=stream))
            assert answer.status == 200
            if answer.retries:
                return answer
        pair.heal(ill)
        herd.until_online(ill)
    raise AssertionError(f"nothing was retried in {3 * TRIES} requests")


def test_a_native_stream_that_dies_ends_with_an_error_and_never_cleanly(
    pair_herd: Herd, pair: Nodes
) -> None:
    pair.fault("die", after_tokens=5)
    lines: list[bytes] = []
    with Call(pair_herd.url, "/api/chat", chat(SMALL, stream=True)) as call:
        assert call.response.status == 200
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            lines.extend(call.lines())
    assert len(lines) == 6
    assert msgspec.json.decode(lines[-1])["error"].startswith("node failed: ")
    assert not any(msgspec.json.decode(line).get("done") for line in lines)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
def test_an_event_stream_that_dies_ends_with_an_error_and_never_cleanly(
    pair_herd: Herd, pair: Nodes, path: str
) -> None:
    pair.fault("die", after_tokens=5)
    lines: list[bytes] = []
    with (
        Call(pair_herd.url, path, {**chat(SMALL, stream=True), "prompt": "why?"}) as call,
        pytest.raises((http.client.HTTPException, ConnectionError)),
    ):
        lines.extend(call.lines())
    events = [line.removeprefix(b"data: ") for line in lines if line.strip()]
    assert len(events) == 6
    error = msgspec.json.decode(events[-1])["error"]
    assert error["message"].startswith("node failed: ")
    assert b"[DONE]" not in b"".join(lines)


@pytest.mark.parametrize("kind", ["error", "refuse", "die"])
def test_when_all_nodes_fail_it_is_a_502(pair_herd: Herd, pair: Nodes, kind: FaultKind) -> None:
    pair.fault(kind)
    native = ask(pair_herd.url, "/api/chat", chat(SMALL))
    assert native.status == 502
    assert native.retries == 1
    assert native.json["error"].startswith(f"node failed: {native.node}: ")


def test_the_502_of_the_openai_routes_has_their_shape(pair_herd: Herd, pair: Nodes) -> None:
    pair.fault("error")
    answer = ask(pair_herd.url, "/v1/chat/completions", chat(SMALL))
    assert answer.status == 502
    error = answer.json["error"]
    assert error.pop("message").startswith(f"node failed: {answer.node}: answered 500: ")
    assert error == {"type": "api_error", "param": None, "code": None}


def test_a_node_that_died_gets_no_more_traffic(pair_herd: Herd, pair: Nodes) -> None:
    pair.fault("refuse", "alpha")
    for _ in range(TRIES):
        if ask(pair_herd.url, "/api/chat", chat(SMALL)).retries:
            break
    pair_herd.until(lambda status: status.state_of("alpha") == "offline")
    answers = [ask(pair_herd.url, "/api/chat", chat(SMALL)) for _ in range(6)]
    assert {(answer.node, answer.retries) for answer in answers} == {("beta", 0)}
    pair.heal("alpha")
    pair_herd.until(lambda status: status.state_of("alpha") == "online")


def test_a_busy_single_node_is_a_503(start_herd: StartHerd, start_nodes: StartNodes) -> None:
    """Ollama says so while a model loads and too many wait for it."""
    nodes = start_nodes(
        NodeOrder(profile="studio", name="full", time_scale=4.0, max_queue=1, parallel=1)
    )
    herd = start_herd(nodes.flag("full", slots=8), wait_for=("full",))
    with Call(herd.url, "/api/chat", chat("llama3.3:70b")):
        herd.until(lambda status: status.in_flight == 1)
        busy = ask(herd.url, "/api/chat", chat("llama3.3:70b"))
        openai = ask(herd.url, "/v1/chat/completions", chat("llama3.3:70b"))
    assert (busy.status, openai.status) == (503, 503)
    assert "server busy" in busy.json["error"]
    assert "server busy" in openai.json["error"]["message"]
    assert int(busy.headers["retry-after"]) >= 1


def test_a_deadlocked_node_is_found_by_traffic_and_nobody_is_told(
    start_herd: StartHerd, pair: Nodes
) -> None:
    herd = start_herd(
        *pair.flags(slots=4),
        wait_for=tuple(pair.names),
        FLEET_STALL_TIMEOUT="1",
        FLEET_POLICY="round-robin",
    )
    for _ in range(12):  # how long an answer takes is known, and how sure that is
        assert ask(herd.url, "/api/chat", chat(SMALL)).status == 200
    pair.fault("deadlock", "alpha")
    answers = [ask(herd.url, "/api/chat", chat(SMALL)) for _ in range(8)]
    pair.heal()
    assert {(answer.status, answer.node) for answer in answers} == {(200, "beta")}
    assert sum(answer.retries for answer in answers) == 1, "then its circuit is open"
    assert herd.status().state_of("alpha") == "online", "its lists are answered as before"
    told = herd.sql(
        "SELECT node_id FROM events WHERE kind IN ('request_stalled', 'circuit_opened')"
    )
    assert [row["node_id"] for row in told] == ["alpha", "alpha"]
