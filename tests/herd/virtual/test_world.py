"""A world in virtual time is a herd like any other: its log replays, its figures are its log's."""

from collections import Counter

import msgspec
import pytest

from actors.core.policies import POLICIES
from actors.core.state import US, State
from events import (
    AttemptFailed,
    NodeId,
    NodeProbed,
    RequestCancelled,
    RequestDispatched,
    RequestFailed,
    RequestReceived,
    StreamsProgressed,
    StreamStarted,
    encode,
)
from herd.control.restore import head_of_segment
from herd.replay.check import check
from herd.virtual.script import Arrival, Happening, Outcome
from tests.actors.cast import rid
from tests.actors.fleet import check_state
from tests.herd.virtual.small import BEGIN_US, START_US, busy, fleet, played


def arrival(name: str, model: str = "llama3.2:3b", after_s: float = 0.0, **more: float) -> Arrival:
    fields = {"prompt_tokens": 100, "output_tokens": 50} | more
    asked = RequestReceived(request_id=rid(name), model=model)
    return msgspec.convert(
        {"at_us": BEGIN_US + int(after_s * US), "request": msgspec.to_builtins(asked), **fields},
        Arrival,
    )


def probe(name: str, after_s: float, *, reachable: bool) -> Happening:
    fact = NodeProbed(node_id=NodeId(name), reachable=reachable, resident=() if reachable else None)
    return Happening(at_us=BEGIN_US + int(after_s * US), fact=fact)


def by_name(outcomes: list[Outcome]) -> dict[str, Outcome]:
    return {str(each.request_id): each for each in outcomes}


@pytest.mark.parametrize("policy", POLICIES)
def test_its_log_replays_to_the_last_decision(policy: str) -> None:
    world, log = busy(policy)
    head = head_of_segment(State(), START_US)
    shifted = [msgspec.structs.replace(each, seq=each.seq + 1) for each in log]
    moved = [
        msgspec.structs.replace(each, cause=each.cause + 1) if each.cause else each
        for each in shifted
    ]
    report = check([head, *moved])
    assert report.divergences == []
    assert report.dispatches >= 300
    assert Counter(each.how for each in world.outcomes) == {"completed": 300}
    check_state(world.state)


def test_the_same_script_gives_the_same_log() -> None:
    assert [encode(each) for each in busy()[1]] == [encode(each) for each in busy()[1]]


def test_every_request_runs_on_its_machine_for_as_long_as_the_physics_says() -> None:
    world, _ = played(*fleet(), arrival("r1"), arrival("r2", after_s=60))
    first, second = by_name(world.outcomes)["r1"], by_name(world.outcomes)["r2"]
    assert (first.cold, second.cold) == (True, False)
    assert first.node_id == second.node_id
    assert first.total_s - second.total_s == pytest.approx(first.ttft_s - second.ttft_s)
    assert first.ttft_s > second.ttft_s > 0


def test_a_long_stream_is_told_of_every_second() -> None:
    _, log = played(*fleet(), arrival("r1", "llama3.3:70b", output_tokens=200))
    told = [each.event for each in log if isinstance(each.event, StreamsProgressed)]
    counts = [dict(each.progress)[rid("r1")] for each in told]
    assert sum(isinstance(each.event, StreamStarted) for each in log) == 1
    assert len(counts) > 5
    assert counts == sorted(counts)


def test_a_client_leaves_when_its_patience_ends() -> None:
    world, log = played(*fleet(), arrival("r1", "llama3.3:70b", patience_s=3.0))
    (outcome,) = world.outcomes
    assert (outcome.how, outcome.total_s) == ("cancelled", 3.0)
    (gone,) = [each.event for each in log if isinstance(each.event, RequestCancelled)]
    assert (gone.node_id, gone.phase) == ("studio", "first_byte")
    assert world.state.in_flight == 0


def test_a_node_that_goes_breaks_its_streams_and_its_other_requests_go_elsewhere() -> None:
    asked = (arrival("stream", output_tokens=2000), arrival("prompt", after_s=9.99))
    world, _ = played(*fleet(), *asked)
    (home,) = {each.node_id for each in world.outcomes}
    gone = (probe(home, 10.0, reachable=False), probe(home, 11.0, reachable=False))
    world, log = played(*fleet(), *asked, *gone)
    ends = by_name(world.outcomes)
    assert (ends["stream"].how, ends["stream"].node_id) == ("failed", home)
    assert (ends["prompt"].how, ends["prompt"].cold) == ("completed", True)
    assert ends["prompt"].node_id not in {home, ""}
    kinds = Counter(type(each.event) for each in log)
    assert (kinds[RequestFailed], kinds[AttemptFailed]) == (1, 1)


def test_a_refusal_is_an_end_without_a_node() -> None:
    world, _ = played(*fleet(), arrival("r1", "nobody:1b"))
    (outcome,) = world.outcomes
    assert (outcome.how, outcome.node_id) == ("rejected", "")


def test_what_came_into_memory_is_seen_by_the_prober() -> None:
    world, log = played(*fleet(), arrival("r1"), arrival("r2", after_s=30))
    dispatches = [each.event for each in log if isinstance(each.event, RequestDispatched)]
    assert [each.cold for each in dispatches] == [True, False]
    node = world.state.nodes[dispatches[0].node_id]
    assert list(node.resident) == ["llama3.2:3b"]
