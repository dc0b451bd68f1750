"""What Health says of real processes: nothing while all is well, and each trouble by its name."""

import contextlib
import http.client
import resource
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from herd.simulator.fleet import NodeOrder
from tests.e2e.conftest import StartHerd, StartNodes
from tests.e2e.herds import Herd, until
from tests.e2e.nodes import MIDDLE, SMALL, Nodes
from tests.e2e.wire import Call, ask, chat

WELL = 48
"""Requests; 20 of one node are enough for a rate."""
SOON_S = 15.0


def told(herd: Herd) -> dict[str, Any]:
    """Return what is not well."""
    found = ask(herd.url, "/dashboard/api/health").json.get("recommendations", [])
    return {each["check_id"]: each for each in found}


def finds(herd: Herd, *names: str, on: str | None = "alpha") -> None:
    """Wait until all of these are told of, with the events that say so."""
    now: dict[str, Any] = {}

    def found() -> bool:  # each front keeps an answer for a second, so one may know before another
        now.update(told(herd))
        return all(name in now and now[name]["seqs"] for name in names)

    assert until(found, SOON_S), now
    for name in names:
        each = now[name]
        assert each["node_id"] == on
        assert each["fix"]


@pytest.fixture
def herd(start_herd: StartHerd, pair: Nodes) -> Herd:
    """A fleet at work, with nothing wrong."""
    herd = start_herd(
        *pair.flags(slots=4),
        wait_for=tuple(pair.names),
        FLEET_POLICY="round-robin",
        FLEET_LONGEST_OPEN="1",
        FLEET_STALL_TIMEOUT="1",
    )
    with ThreadPoolExecutor(8) as crowd:
        asked = [crowd.submit(ask, herd.url, "/api/chat", chat(SMALL)) for _ in range(WELL)]
    assert {each.result().status for each in asked} == {200}
    time.sleep(2.0)  # herd keeps an answer for a second, and logd is behind by less
    assert told(herd) == {}
    return herd


def test_answers_that_break_off(herd: Herd, pair: Nodes) -> None:
    pair.fault("die", "alpha", after_tokens=5)
    for _ in range(8):
        with (
            Call(herd.url, "/api/chat", chat(SMALL, stream=True)) as call,
            contextlib.suppress(http.client.HTTPException, ConnectionError),
        ):
            list(call.lines())
    pair.heal("alpha")
    finds(herd, "incomplete_streams", "high_error_rate", "circuit_open")


def test_a_node_that_refuses_at_once(herd: Herd, pair: Nodes) -> None:
    pair.fault("error", "alpha")
    for _ in range(24):
        assert ask(herd.url, "/api/chat", chat(SMALL)).node == "beta"
        time.sleep(0.25)
    finds(herd, "fast_errors", "high_error_rate")


def test_clients_that_leave(herd: Herd) -> None:
    for _ in range(4):
        with Call(herd.url, "/api/chat", chat(SMALL, stream=True)) as call:
            next(call.lines())
            call.leave()
    finds(herd, "client_disconnects", on=None)


def test_a_node_that_takes_requests_and_does_nothing(herd: Herd, pair: Nodes) -> None:
    pair.fault("deadlock", "alpha")
    for _ in range(4):
        assert ask(herd.url, "/api/chat", chat(SMALL)).node == "beta"
    finds(herd, "requests_stalled")


def test_a_node_that_is_gone(herd: Herd, pair: Nodes) -> None:
    pair.fault("refuse", "alpha")
    finds(herd, "node_offline")


def test_requests_that_wait_too_long(start_herd: StartHerd, pair: Nodes) -> None:
    herd = start_herd(pair.flag("alpha", slots=1), wait_for=("alpha",), FLEET_QUEUE_TIMEOUT="1")
    assert ask(herd.url, "/api/chat", chat(SMALL)).status == 200
    pair.fault("freeze", "alpha")
    with Call(herd.url, "/api/chat", chat(SMALL, stream=True)):
        herd.until(lambda status: status.in_flight == 1)
        assert ask(herd.url, "/api/chat", chat(SMALL)).status == 503
    finds(herd, "timeouts", on=None)


def test_a_node_that_others_ask_beside_herd(start_herd: StartHerd, start_nodes: StartNodes) -> None:
    nodes = start_nodes(NodeOrder(profile="tower", name="tower", time_scale=20.0, answer_tokens=8))
    assert ask(nodes.url("tower"), "/api/chat", chat(SMALL, keep_alive=-1)).status == 200
    herd = start_herd(nodes.flag("tower"), wait_for=("tower",))
    assert until(lambda: held(herd) == {SMALL}, SOON_S)
    assert ask(herd.url, "/api/chat", chat(SMALL)).status == 200
    assert "node_bypassed" not in told(herd), "it was asked before herd was there"
    assert ask(nodes.url("tower"), "/api/chat", chat(MIDDLE, keep_alive=-1)).status == 200
    finds(herd, "node_bypassed", on="tower")
    assert ask(herd.url, "/api/chat", chat(MIDDLE)).status == 200
    assert until(lambda: "node_bypassed" not in told(herd), SOON_S), "herd was asked for it, too"


def held(herd: Herd) -> set[str]:
    """Return what herd knows to be in the memory of nodes."""
    return {each["model"] for each in ask(herd.url, "/api/ps").json["models"]}


def test_a_log_that_cannot_be_written(herd: Herd) -> None:
    with no_file_grows(herd):
        assert ask(herd.url, "/api/chat", chat(SMALL)).status == 200
        assert until(lambda: "recording_off" in told(herd), SOON_S)
        assert ask(herd.url, "/api/chat", chat(SMALL)).status == 200
    finds(herd, "log_gaps", on=None)
    assert "recording_off" not in told(herd)


@contextlib.contextmanager
def no_file_grows(herd: Herd) -> Generator[None]:
    """Let no process of herd but logd write to files, as if the disk were full."""
    writers = [each for each in herd.family() if not each.name().startswith("herd: logd")]
    for writer in writers:
        resource.prlimit(writer.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        for writer in writers:
            everything = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
            resource.prlimit(writer.pid, resource.RLIMIT_FSIZE, everything)
