"""Requests that cannot run yet: in line for a slot, held for a node, or told to come again."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial

import pytest

from herd.simulator.fleet import NodeOrder
from tests.e2e.conftest import HOLD_S, MOST_WAITING, StartHerd, StartNodes
from tests.e2e.herds import Herd, Status, until
from tests.e2e.nodes import BIG, MIDDLE, SMALL, Nodes
from tests.e2e.wire import JSON, Answer, Call, ask, chat


@pytest.fixture
def calls() -> Iterator[ExitStack]:
    """Connections to leave at the end."""
    with ExitStack() as stack:
        yield stack


def fill(herd: Herd, calls: ExitStack, count: int, model: str = SMALL) -> list[Call]:
    """Ask so often, one after the other, each when the one before has its place."""
    made: list[Call] = []
    for number in range(1, count + 1):
        call = Call(herd.url, "/api/chat", chat(model, stream=True))
        made.append(calls.enter_context(call))
        herd.until(partial(_holds, number))
    return made


def _holds(count: int, status: Status) -> bool:
    return status.in_flight + sum(status.waiting.values()) == count


def many(herd: Herd, count: int, model: str = SMALL) -> list[Answer]:
    with ThreadPoolExecutor(count) as pool:
        asked = [pool.submit(ask, herd.url, "/api/chat", chat(model)) for _ in range(count)]
        return [each.result() for each in asked]


def test_more_requests_than_slots_are_all_answered_in_order_of_admission(pair_herd: Herd) -> None:
    for model in (SMALL, MIDDLE):  # the second in the order of the first would be out of order
        answers = many(pair_herd, MOST_WAITING, model)
        assert [answer.status for answer in answers] == [200] * MOST_WAITING
        assert {answer.node for answer in answers} == {"alpha", "beta"}
        ids = ", ".join(f"'{answer.request_id}'" for answer in answers)

        def order(kind: str, ids: str = ids) -> list[str]:
            query = f"SELECT request_id FROM events WHERE kind = '{kind}' AND request_id IN ({ids}) ORDER BY seq"  # noqa: E501, S608 (a test's own words)
            return [row["request_id"] for row in pair_herd.sql(query)]

        assert until(lambda: len(order("request_completed")) == MOST_WAITING, 3.0)
        assert order("request_dispatched") == order("request_received")
        assert len(order("request_queued")) >= MOST_WAITING - 2 - 1


def test_an_interactive_request_passes_and_a_batch_lets_pass(
    pair_herd: Herd, pair: Nodes, calls: ExitStack
) -> None:
    pair.fault("slow", factor=100.0)
    first, second = fill(pair_herd, calls, 2)
    waiting: dict[str, Call] = {}
    for number, priority in enumerate(("batch", "normal", "interactive"), start=3):
        headers = JSON | {"X-Herd-Priority": priority}
        call = Call(pair_herd.url, "/api/chat", chat(SMALL), headers=headers)
        waiting[priority] = calls.enter_context(call)
        pair_herd.until(partial(_holds, number))
    first.leave()  # its slot is given to one after the other
    pair.heal()
    ids = {waiting[priority].answer().request_id: priority for priority in waiting}
    second.leave()
    names = ", ".join(f"'{name}'" for name in ids)
    query = f"SELECT request_id FROM events WHERE kind = 'request_dispatched' AND request_id IN ({names}) ORDER BY seq"  # noqa: E501, S608 (a test's own words)
    assert until(lambda: len(pair_herd.sql(query)) == len(ids), 3.0)
    order = [ids[row["request_id"]] for row in pair_herd.sql(query)]
    assert order == ["interactive", "normal", "batch"]


def test_who_waits_is_seen_per_model_and_the_slots_are_kept(
    pair_herd: Herd, pair: Nodes, calls: ExitStack
) -> None:
    pair.fault("slow", factor=100.0)
    first, second, *others = fill(pair_herd, calls, 5)
    status = pair_herd.status()
    assert status.waiting == {SMALL: 3}
    row = status.queues[f"*:{SMALL}"]
    assert (row.pending, row.in_flight, row.node_id) == (3, 0, "")
    for name in pair.names:
        queue = status.queues[f"{name}:{SMALL}"]
        assert (queue.in_flight, queue.pending, queue.max_concurrent) == (1, 0, 1)
        assert pair.stats(name).in_flight == 1
    others[0].leave()  # from the middle of the line
    pair_herd.until(lambda s: s.waiting == {SMALL: 2}, 1.0)
    first.leave()
    pair_herd.until(lambda s: s.waiting == {SMALL: 1}, 1.0)  # the next in line has the slot
    assert others[1].response.status == 200
    second.leave()
    assert others[2].response.status == 200
    pair_herd.until(lambda s: not s.waiting, 1.0)


def test_a_full_line_says_when_to_come_again(
    pair_herd: Herd, pair: Nodes, calls: ExitStack
) -> None:
    pair.fault("slow", factor=100.0)
    fill(pair_herd, calls, 2 + MOST_WAITING)
    refused = ask(pair_herd.url, "/api/chat", chat(SMALL))
    assert refused.status == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 600
    assert refused.json["error"].startswith(f"too many requests wait for model '{SMALL}'")
    refused = ask(pair_herd.url, "/v1/chat/completions", chat(SMALL))
    assert (refused.status, refused.json["error"]["type"]) == (429, "api_error")
    # the line of another model is another line
    with Call(pair_herd.url, "/api/chat", chat(MIDDLE, stream=True)) as other:
        assert other.response.status == 200


def test_a_deadline_ends_the_wait(pair_herd: Herd, pair: Nodes, calls: ExitStack) -> None:
    pair.fault("slow", factor=100.0)
    fill(pair_herd, calls, 2)
    began = time.monotonic()
    late = ask(pair_herd.url, "/api/chat", chat(SMALL), headers=JSON | {"X-Herd-Deadline-S": "0.5"})
    assert 0.5 <= time.monotonic() - began < 1.5
    assert late.status == 503
    assert "deadline" in late.json["error"]
    assert int(late.headers["retry-after"]) >= 1
    wrong = ask(pair_herd.url, "/api/chat", chat(SMALL), headers=JSON | {"X-Herd-Deadline-S": "x"})
    assert wrong.status == 400


def switch_off(herd: Herd, pair: Nodes) -> None:
    pair.fault("refuse")
    assert ask(herd.url, "/api/chat", chat(SMALL)).status in {502, 503}
    herd.until(lambda status: not status.online and status.state_of("alpha") == "offline", 10.0)
    herd.until(lambda status: status.state_of("beta") == "offline", 10.0)


def test_held_requests_are_served_when_a_node_comes_back(pair_herd: Herd, pair: Nodes) -> None:
    switch_off(pair_herd, pair)
    with ExitStack() as calls:
        held = fill(pair_herd, calls, 3)
        pair.heal("beta")
        answers = [call.answer() for call in held]
    assert [(answer.status, answer.node) for answer in answers] == [(200, "beta")] * 3
    assert [answer.retries for answer in answers] == [0] * 3


def test_nobody_is_held_for_ever(pair_herd: Herd, pair: Nodes) -> None:
    switch_off(pair_herd, pair)
    began = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        paths = ("/api/chat", "/v1/chat/completions")
        asked = [pool.submit(ask, pair_herd.url, path, chat(SMALL)) for path in paths]
        native, openai = (each.result() for each in asked)
    assert HOLD_S - 0.1 <= time.monotonic() - began < HOLD_S + 1.5
    for refused, text in (
        (native, native.json["error"]),
        (openai, openai.json["error"]["message"]),
    ):
        assert refused.status == 503
        assert int(refused.headers["retry-after"]) >= 1
        assert text.startswith("no node online: run `herd node`")
    assert ask(pair_herd.url, "/api/chat", chat("nope")).status == 404  # once all is known
    listed = ask(pair_herd.url, "/api/tags").json
    assert listed == {"models": []}


def test_until_every_node_has_spoken_nothing_is_unknown(
    start_herd: StartHerd, start_nodes: StartNodes
) -> None:
    nodes = start_nodes(NodeOrder(profile="studio", name="late", time_scale=50.0))
    nodes.fault("freeze")
    herd = start_herd(nodes.flag("late"))
    with Call(herd.url, "/api/chat", chat(BIG)) as early:
        herd.until(lambda status: status.waiting == {BIG: 1})
        nodes.heal()
        answer = early.answer()
    assert (answer.status, answer.node) == (200, "late")
    assert ask(herd.url, "/api/chat", chat("nope")).status == 404
