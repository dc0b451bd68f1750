"""What every request teaches, brought to what it would have been alone."""

import msgspec
import pytest

from actors.core import observing
from actors.core.slots import Slots, Turn
from actors.core.state import Node, Request, State
from events import Lease, NodeId, RequestCompleted, RequestId, RequestQueued, RequestReceived
from tests.actors.core.fleets import LARGE, NOW_US, SMALL, a_node, a_state, first, working_on

DONE = RequestCompleted(
    request_id=RequestId("r0"),
    model=SMALL,
    node_id=NodeId("ada"),
    lease=Lease("1.1"),
    ttft_s=2.0,
    service_s=6.95,
    prompt_tokens=1000,
    completion_tokens=100,
    usage_source="reported",
)


def taught(
    event: RequestCompleted = DONE, *, cold: bool = False, n: int = 1, models: int = 1
) -> tuple[State, Node]:
    """Return a state and its node, of which nothing was known before this answer."""
    node = a_node("ada", SMALL, slots=8)
    node.speeds = {}
    working_on(node, SMALL, n)
    for number in range(models - 1):
        node.slots[f"other-{number}"] = Slots(in_flight=1)
    state = a_state(node)
    state.demands.clear()
    request = first(state)
    request.cold, request.turn, request.models = cold, Turn(n, 0), models
    observing.completed(state, node, request, event, NOW_US)
    return state, node


def test_a_stream_has_two_parts() -> None:
    state, node = taught()
    speed = node.speeds[SMALL]
    assert speed.token.value == pytest.approx(0.002)
    assert speed.step.value == pytest.approx(0.05)
    assert node.pace.step.value == pytest.approx(0.05 / 2e9)
    assert speed.load.count == 0
    asked = state.demands[SMALL]
    assert (asked.prompt_tokens.value, asked.answer_tokens.value) == (1000.0, 100.0)
    assert asked.body_bytes.value == 800.0
    assert asked.alone_s == pytest.approx(1000 * 0.002 + 100 * 0.05)


def test_beside_others_it_is_slower_than_alone() -> None:
    _, alone = taught()
    _, beside = taught(n=4)
    assert beside.speeds[SMALL].step.value == pytest.approx(
        alone.speeds[SMALL].step.value / (1 + 0.08 * 3)
    )
    _, shared = taught(models=2)
    assert shared.speeds[SMALL].step.value == pytest.approx(0.025)
    assert shared.speeds[SMALL].token.value == pytest.approx(0.001)


def test_a_cold_start_teaches_the_load() -> None:
    _, told = taught(msgspec.structs.replace(DONE, load_s=1.5), cold=True)
    assert told.speeds[SMALL].load.value == 1.5
    assert told.speeds[SMALL].token.count == 0
    assert told.speeds[SMALL].step.count == 1
    _, untold = taught(msgspec.structs.replace(DONE, ttft_s=30.0, service_s=34.95), cold=True)
    assert 20.0 < untold.speeds[SMALL].load.value < 30.0
    _, quick = taught(msgspec.structs.replace(DONE, ttft_s=0.001), cold=True)
    assert quick.speeds[SMALL].load.count == 0
    _, warm = taught(msgspec.structs.replace(DONE, load_s=0.03), cold=True)
    assert warm.speeds[SMALL].load.count == 0, "it was in memory after all"


def test_an_answer_in_one_piece_is_split_as_was_to_be_expected() -> None:
    whole = msgspec.structs.replace(DONE, ttft_s=6.95)
    for first_s in (6.95, 6.94994, 0.0):
        _, node = taught(msgspec.structs.replace(DONE, ttft_s=first_s))
        speed = node.speeds[SMALL]
        assert 1000 * speed.token.value + 99 * speed.step.value == pytest.approx(6.95)
        assert speed.step.value > speed.token.value
    _, cold = taught(whole, cold=True)
    assert cold.speeds[SMALL].step.count == 0, "how long the load took is a guess"


def test_what_nobody_asked_for_as_a_stream_came_in_one_piece() -> None:
    def learned(*, as_asked: bool, stream: bool) -> float:
        """Return the time of a step, of an answer of which the last bytes came 2 ms later."""
        node = working_on(a_node("ada", SMALL, step_s=0.005), SMALL, 1)
        state = a_state(node)
        state.settings.streams_as_asked = as_asked
        request = first(state)
        request.stream, request.turn = stream, Turn(1, 0)
        event = msgspec.structs.replace(
            DONE, ttft_s=0.153, service_s=0.155, prompt_tokens=13, completion_tokens=29
        )
        observing.completed(state, node, request, event, NOW_US)
        return node.speeds[SMALL].step.value

    whole = pytest.approx((0.005 + 0.155 / 29) / 2, rel=0.02)
    assert learned(as_asked=True, stream=False) == whole
    assert learned(as_asked=True, stream=True) < 0.003
    assert learned(as_asked=False, stream=False) < 0.003, "as logs of before have it"


def test_a_stream_that_tells_nothing_of_its_prompt() -> None:
    state, node = taught(msgspec.structs.replace(DONE, prompt_tokens=0, usage_source="counted"))
    asked = state.demands[SMALL]
    assert asked.prompt_tokens.count == asked.body_bytes.count == 0
    assert asked.answer_tokens.value == 100.0
    assert node.speeds[SMALL].step.value == pytest.approx(0.05)


def test_what_is_computed_elsewhere_says_nothing_of_the_node() -> None:
    node = working_on(a_node("ada", SMALL), SMALL, 1)
    node.models[SMALL] = msgspec.structs.replace(node.models[SMALL], size_bytes=384)
    state = a_state(node)
    observing.completed(state, node, first(state), DONE, NOW_US)
    assert node.pace.step.count == node.pace.token.count == 0
    assert node.speeds[SMALL].step.count == 2


def test_what_tells_nothing() -> None:
    state, node = taught(msgspec.structs.replace(DONE, usage_source="none"))
    assert node.speeds[SMALL].step.count == 0
    assert state.demands == {}
    assert node.speeds[SMALL].used_us == NOW_US
    _, short = taught(msgspec.structs.replace(DONE, prompt_tokens=3, completion_tokens=1))
    assert short.speeds[SMALL].token.count == short.speeds[SMALL].step.count == 0


def test_a_request_meets_a_node() -> None:
    node = working_on(working_on(a_node("ada"), SMALL, 1), LARGE, 2)
    request: Request = first(a_state(node))
    observing.sent(node, request, NOW_US, cold=False)
    assert (request.models, node.speeds[SMALL].used_us) == (2, NOW_US)
    assert node.speeds[SMALL].load_began_us == 0
    observing.sent(node, request, NOW_US + 1, cold=True)
    assert node.speeds[SMALL].load_began_us == NOW_US + 1


def test_only_models_of_the_fleet_are_counted() -> None:
    state = a_state(a_node("ada"))
    state.demands.clear()
    for model in (SMALL, "made-up:1b"):
        event = RequestReceived(request_id=RequestId("r9"), model=model)
        observing.arrived(state, event, NOW_US)
    queued = RequestQueued(request_id=RequestId("r9"), model=LARGE, position=1, reason="slots")
    observing.arrived(state, queued, NOW_US)
    assert list(state.demands) == [SMALL]
    assert state.demands[SMALL].per_s > 0


def test_of_a_forgotten_model_only_the_speed_is_learned() -> None:
    node = working_on(a_node("ada", SMALL), SMALL, 1)
    state = a_state(node)
    state.demands.clear()
    state.catalogue.clear()
    node.slots.clear()
    observing.completed(state, node, first(state), DONE, NOW_US)
    assert state.demands == {}
    assert node.speeds[SMALL].step.count == 2


@pytest.mark.parametrize("streamed", [True, False])
def test_a_prompt_that_may_have_been_cached_tells_of_the_cache_not_of_the_speed(
    streamed: bool,  # noqa: FBT001 (a parameter of the test)
) -> None:
    node = working_on(a_node("ada", SMALL, slots=8), SMALL, 1)
    state = a_state(node)
    state.demands[SMALL].body_bytes.count = 0
    request = first(state)
    request.hoped_share = 0.5
    node.speeds[SMALL].token.count = 9
    before = node.speeds[SMALL].token.value
    event = DONE if streamed else msgspec.structs.replace(DONE, ttft_s=DONE.service_s)
    observing.completed(state, node, request, event, NOW_US)
    assert node.speeds[SMALL].token.value == before
    assert node.speeds[SMALL].reuse.count == streamed


@pytest.mark.parametrize("own", [True, False])
def test_the_lengths_of_an_application_are_learned_if_they_count(*, own: bool) -> None:
    node = a_node("ada", SMALL)
    state = a_state(node)
    state.settings.lengths_by_app = own
    request = first(state)
    request.app = "chat"
    observing.completed(state, node, request, DONE, NOW_US)
    known = {app: mean.value for app, mean in state.demands[SMALL].apps.items()}
    assert known == ({"chat": 100.0} if own else {})
