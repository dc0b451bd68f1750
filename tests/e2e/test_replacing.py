"""A herd takes the place of another: nobody notices. One that fails half-way changes nothing."""

import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from herd.link.messages import PROTOCOL
from herd.platform import FileLock
from herd.simulator.fleet import NodeOrder
from tests.e2e.conftest import StartHerd, StartNodes
from tests.e2e.herds import Composition, Herd, Program, command, running, until
from tests.e2e.nodes import SMALL, Nodes
from tests.e2e.steady import Steady
from tests.e2e.wire import Call, ask, chat

pytestmark = pytest.mark.timeout(120)

ENDS_S = 60.0
ENDS = {"request_completed", "request_failed", "request_cancelled", "request_interrupted"}
TRIES = 5
"""To catch a herd half-way."""


@pytest.fixture
def nodes(start_nodes: StartNodes) -> Nodes:
    """Two nodes that take 0.3 s for an answer."""
    return start_nodes(
        *(
            NodeOrder(profile="ideal", name=name, step_s=0.02, answer_tokens=15, parallel=8)
            for name in ("alpha", "beta")
        )
    )


Succeed = Callable[..., Herd]


@pytest.fixture
def succeed(composition: Composition, nodes: Nodes) -> Iterator[Succeed]:
    """Start herds that are to take another's place, and end with the test."""
    with ExitStack() as stack:

        def start(before: Herd, host: str = "127.0.0.1") -> Herd:
            port = int(before.url.rpartition(":")[2])
            after = Herd(
                before.data_dir, composition, nodes.flags(), host=host, port=port, replace=True
            )
            stack.callback(after.clear)
            return after

        yield start


def whole(herd: Herd, clients: Steady) -> None:
    """Assert that the log has each event once, one end for each request, and decides the same."""
    assert herd.stop(within_s=ENDS_S) == 0, herd.tail()
    rows = herd.sql("SELECT seq, kind, request_id FROM events ORDER BY seq")
    assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
    received = Counter(row["request_id"] for row in rows if row["kind"] == "request_received")
    ended = Counter(row["request_id"] for row in rows if row["kind"] in ENDS)
    assert set(received.values()) == set(ended.values()) == {1}
    assert set(received) == set(ended)
    completed = {row["request_id"] for row in rows if row["kind"] == "request_completed"}
    assert completed >= set(clients.request_ids)
    checked = command("replay", "--check", "--json", str(herd.data_dir))
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_no_client_notices_that_another_herd_takes_the_place(
    start_herd: StartHerd, nodes: Nodes, succeed: Succeed
) -> None:
    first = start_herd(*nodes.flags(), wait_for=("alpha", "beta"))
    body = chat(SMALL, stream=True, options={"num_predict": 400})
    with Steady(first.url) as clients:
        with Call(first.url, "/api/chat", body, timeout_s=ENDS_S) as call:
            lines = call.lines()
            next(lines)
            second = succeed(first)
            second.comes_up()
            first.hears("another herd has taken this one's place")
            clients.go_on()
            *_, last = filter(None, lines)
            assert b'"done":true' in last, "the old one finishes its streams"
        assert first.ends(ENDS_S) == 0, first.tail()
        third = succeed(second)
        third.comes_up()
        assert second.ends(ENDS_S) == 0, second.tail()
        clients.go_on()
    assert clients.failures == []
    assert third.status().online == {"alpha", "beta"}
    whole(third, clients)


def holds(lock: FileLock, pid: int) -> bool:
    return lock.holder() == pid


def test_one_that_is_killed_half_way_leaves_the_old_one_at_work(
    start_herd: StartHerd, nodes: Nodes, succeed: Succeed
) -> None:
    herd = start_herd(*nodes.flags(), wait_for=("alpha", "beta"))
    lock = FileLock(herd.data_dir / "run" / "lock")
    with Steady(herd.url) as clients:
        for _ in range(TRIES):
            heir = succeed(herd)
            assert until(partial(holds, lock, heir.pid), ENDS_S)
            family = heir.family()
            heir.send(signal.SIGKILL)
            assert until(lambda: not running(family), ENDS_S)  # noqa: B023 (asked at once)
            if until(lambda: "this one goes on" in herd.words, ENDS_S):
                break
        herd.hears("has failed; this one goes on", ENDS_S)
        clients.go_on()
    assert clients.failures == []
    assert lock.holder() == herd.pid
    whole(herd, clients)


def test_the_old_one_may_be_killed_once_it_has_let_go(
    start_herd: StartHerd, nodes: Nodes, succeed: Succeed
) -> None:
    herd = start_herd(*nodes.flags(), wait_for=("alpha", "beta"))
    lock = FileLock(herd.data_dir / "run" / "lock")
    assert ask(herd.url, "/api/chat", chat(SMALL)).status == 200
    heir = succeed(herd)
    assert until(partial(holds, lock, heir.pid), ENDS_S)
    herd.send(signal.SIGKILL)
    heir.comes_up()
    heir.until_online("alpha", "beta")
    with Steady(heir.url) as clients:
        clients.go_on()
    assert clients.failures == []
    whole(heir, clients)


def test_one_that_cannot_start_is_no_harm(
    start_herd: StartHerd, nodes: Nodes, succeed: Succeed
) -> None:
    herd = start_herd(*nodes.flags(), wait_for=("alpha", "beta"))
    stranger = succeed(herd, host="203.0.113.7")
    assert stranger.ends(ENDS_S) == 1
    assert "is no address of this machine" in stranger.words
    killed = succeed(herd)
    killed.send(signal.SIGKILL)
    killed.ends(ENDS_S)
    assert ask(herd.url, "/api/chat", chat(SMALL)).status == 200
    after = succeed(herd)
    after.comes_up()
    assert herd.ends(ENDS_S) == 0, herd.tail()
    assert ask(after.url, "/api/chat", chat(SMALL)).status == 200
    assert after.stop(within_s=ENDS_S) == 0


def test_where_nobody_runs_it_is_a_start(
    tmp_path: Path, composition: Composition, nodes: Nodes
) -> None:
    herd = Herd(tmp_path, composition, nodes.flags(), replace=True)
    try:
        herd.comes_up()
        herd.until_online("alpha", "beta")
        assert herd.stop(within_s=ENDS_S) == 0
    finally:
        herd.clear()


OTHER = f"""
import sys
from herd.link import messages
messages.PROTOCOL = {PROTOCOL + 1}
from herd.cli import main
main(sys.argv[1:])
"""


def test_a_version_that_does_not_understand_the_fronts_of_the_old_one(
    start_herd: StartHerd, nodes: Nodes, composition: Composition
) -> None:
    """Both sides believe so: their processes are the same."""
    herd = start_herd(*nodes.flags(), wait_for=("alpha", "beta"))
    words = ["run", "--replace", "--data-dir", str(herd.data_dir), "--host", "127.0.0.1"]
    words += ["--port", herd.url.rpartition(":")[2], "--no-mdns"]
    for node in nodes.flags():
        words += ["--node", node]
    with Steady(herd.url, keep_alive=False) as clients:
        other = Program(["-c", OTHER, *words], composition.environment)
        try:
            other.hears("  http://", ENDS_S)
            assert herd.ends(ENDS_S) == 0, herd.tail()
            clients.go_on()
            assert clients.failures == []
        finally:
            assert other.stop(within_s=ENDS_S) == 0, other.words
    checked = command("replay", "--check", "--json", str(herd.data_dir))
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_only_one_at_a_time_and_only_its_owner_takes_the_place(
    start_herd: StartHerd, nodes: Nodes, succeed: Succeed
) -> None:
    herd = start_herd(*nodes.flags(), wait_for=("alpha", "beta"))
    door = herd.data_dir / "run" / "herd.sock"
    assert until(door.exists, ENDS_S)
    assert door.stat().st_mode & 0o077 == 0
    assert door.parent.stat().st_mode & 0o077 == 0
    one, two = succeed(herd), succeed(herd)
    assert until(lambda: "  http://" in one.words + two.words, ENDS_S)
    late = one if "  http://" in two.words else two
    assert late.ends(ENDS_S) == 1
    assert "stays: another replaces it" in late.words or "does not answer" in late.words
    assert herd.ends(ENDS_S) == 0
