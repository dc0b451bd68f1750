"""The end of a balancer: streams finish, agents find the next one, the log is whole."""

import http.client
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from herd.simulator.fleet import NodeOrder
from tests.e2e.conftest import StartHerd, StartNodes
from tests.e2e.herds import Composition, Herd, Program, command, running, until
from tests.e2e.nodes import SMALL, Nodes
from tests.e2e.wire import Call, ask, chat

pytestmark = pytest.mark.timeout(90)

ENDS = {"request_completed", "request_failed", "request_cancelled", "request_interrupted"}


def slow_node(start_nodes: StartNodes, step_s: float) -> Nodes:
    return start_nodes(
        NodeOrder(profile="ideal", name="slow", step_s=step_s, answer_tokens=20, parallel=8)
    )


def whole_and_sealed(herd: Herd) -> None:
    """Assert that the database has each event of the journal, up to the word that it ended."""
    [row] = herd.sql(
        "SELECT count(*) AS n, max(seq) AS last, arg_max(kind, seq) AS kind FROM events"
    )
    assert (row["n"], row["kind"]) == (row["last"], "control_stopped")
    checked = command("replay", "--check", "--json", str(herd.data_dir))
    assert checked.returncode == 0, checked.stdout + checked.stderr


def ends(herd: Herd) -> list[tuple[str, str | None]]:
    """Return how each request ended, and for what reason if the event has one."""
    rows = herd.sql("SELECT kind, payload->>'reason' AS reason FROM events ORDER BY seq")
    return [(row["kind"], row["reason"]) for row in rows if row["kind"] in ENDS]


def told(lines: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the lines of an answer until it breaks off, which it must."""
    try:
        yield from filter(None, lines)
    except (http.client.IncompleteRead, ConnectionError):
        return
    raise AssertionError("this looks like the end of an answer")


@pytest.mark.parametrize(
    ("step_s", "environment"),
    [(0.1, {}), (0.6, {"FLEET_DRAIN_TIMEOUT": "60"})],
    ids=["two seconds", "twelve, longer than without the setting"],
)
def test_a_stream_finishes_and_the_log_is_sealed(
    start_herd: StartHerd, start_nodes: StartNodes, step_s: float, environment: dict[str, str]
) -> None:
    nodes = slow_node(start_nodes, step_s)
    herd = start_herd(*nodes.flags(), wait_for=("slow",), **environment)
    with Call(herd.url, "/api/chat", chat(SMALL, stream=True)) as call:
        lines = call.lines()
        next(lines)
        herd.send(signal.SIGTERM)
        assert b'"done":true' in list(lines)[-1]
    assert herd.ends() == 0
    whole_and_sealed(herd)
    assert ends(herd) == [("request_completed", None)]


def test_a_stream_that_takes_too_long_is_told_why(
    start_herd: StartHerd, start_nodes: StartNodes
) -> None:
    nodes = slow_node(start_nodes, 1.0)
    herd = start_herd(*nodes.flags(), wait_for=("slow",))
    with Call(herd.url, "/api/chat", chat(SMALL, stream=True)) as call:
        lines = call.lines()
        next(lines)
        herd.send(signal.SIGTERM)
        *_, last = told(lines)
        assert b'"error":"this request was ended: herd is stopping"' in last
    assert herd.ends() == 0
    whole_and_sealed(herd)
    assert ends(herd) == [("request_interrupted", "herd_stopped")]


def test_who_still_waits_is_told_why(start_herd: StartHerd, start_nodes: StartNodes) -> None:
    nodes = start_nodes(NodeOrder(profile="ideal", name="slow", step_s=1.0, parallel=1))
    herd = start_herd(*nodes.flags(slots=1), wait_for=("slow",), FLEET_DRAIN_TIMEOUT="1")
    with Call(herd.url, "/api/chat", chat(SMALL, stream=True)) as first:
        lines = first.lines()
        next(lines)
        with Call(herd.url, "/api/chat", chat(SMALL, stream=True)) as second:
            herd.until(lambda status: bool(status.waiting))
            herd.send(signal.SIGTERM)
            assert second.response.status == 503
        assert b"herd is stopping" in list(told(lines))[-1]
    assert herd.ends() == 0
    whole_and_sealed(herd)
    assert ends(herd) == [("request_interrupted", "herd_stopped")] * 2


def test_told_twice_it_ends_now_and_the_next_one_goes_on(
    start_herd: StartHerd, start_nodes: StartNodes, composition: Composition
) -> None:
    nodes = slow_node(start_nodes, 1.0)
    herd = start_herd(*nodes.flags(), wait_for=("slow",))
    everyone = herd.family()
    with Call(herd.url, "/api/chat", chat(SMALL, stream=True)) as call:
        next(call.lines())
        herd.send(signal.SIGTERM)
        herd.hears("finishing; a second signal ends it at once")
        assert not until(lambda: not running(everyone), 0.3), "a first signal lets streams finish"
        herd.send(signal.SIGTERM)
        assert herd.ends(3.0) == 0
    assert running(everyone) == []
    again = Herd(herd.data_dir, composition, nodes.flags())
    try:
        again.comes_up()
        again.until_online("slow")
        again.until(lambda status: status.idle)
        assert again.stop() == 0, again.tail()
    finally:
        again.clear()
    assert len(ends(again)) == 1
    whole_and_sealed(again)


def test_an_agent_looks_for_it_again_and_no_node_counts_as_lost(
    start_nodes: StartNodes, composition: Composition, tmp_path: Path
) -> None:
    nodes = slow_node(start_nodes, 0.01)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    words = ["-m", "herd", "node", "--ollama-host", nodes.url("slow"), "--node-id", "beside"]
    words += ["--heartbeat-interval", "0.5", "--router-url", f"http://127.0.0.1:{port}"]
    agent = Program(words, {"FLEET_NODE_DATA_DIR": str(tmp_path / "agent")})
    try:
        for _ in (1, 2):  # the second may be there before the agent has missed the first
            herd = Herd(tmp_path / "herd", composition, port=port)
            try:
                herd.comes_up()
                herd.until_online("beside")
                assert ask(herd.url, "/api/chat", chat(SMALL)).status == 200
                assert until(lambda: "connected to" in agent.words, 15.0)
                assert herd.stop() == 0
            finally:
                herd.clear()
        assert (
            herd.sql("SELECT kind FROM events WHERE kind IN ('node_went_offline', 'node_degraded')")
            == []
        )
        whole_and_sealed(herd)
    finally:
        agent.clear()
