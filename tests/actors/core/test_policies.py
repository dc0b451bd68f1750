"""The policies to compare with: each keeps its own order, and says its name in the decision."""

from collections import Counter

import pytest

from actors.core.policies import POLICIES
from events import Event, RequestDispatched, SettingsChanged
from tests.actors.cast import book, completed, node, received
from tests.playbook import Playbook


def playing(policy: str, *facts: Event) -> Playbook:
    return book(*facts, SettingsChanged(key="policy", old="", new=policy))


def dispatches(made: Playbook) -> list[RequestDispatched]:
    made.check()
    return [each.event for each in made.log if isinstance(each.event, RequestDispatched)]


def sent(made: Playbook, count: int) -> list[str]:
    """Return where so many requests go, one after the other, each done before the next."""
    for number in range(count):
        made.given(received(f"r{number}"))
        event = dispatches(made)[-1]
        made.given(completed(event.request_id, event.node_id, event.lease))
    return [str(event.node_id) for event in dispatches(made)]


def test_round_robin_takes_each_in_its_turn() -> None:
    nodes = [fact for name in ("ada", "bob", "cyd") for fact in node(name, slots=2)]
    made = playing("round-robin", *nodes)
    first = sent(made, 6)
    assert Counter(first) == {"ada": 2, "bob": 2, "cyd": 2}
    assert first[:3] == first[3:]


def test_round_robin_passes_over_the_full() -> None:
    made = playing("round-robin", *node("ada", slots=1), *node("bob", slots=3))
    made.given(*(received(f"r{number}") for number in range(4)))
    assert Counter(str(event.node_id) for event in dispatches(made)) == {"ada": 1, "bob": 3}


def test_least_connections_counts_the_share_of_slots_and_not_the_memory() -> None:
    made = playing("least-connections", *node("ada", slots=1), *node("bob", slots=4, resident=()))
    made.given(received("r1"), received("r2"), received("r3"))
    found = dispatches(made)
    assert Counter(str(event.node_id) for event in found) == {"ada": 1, "bob": 2}
    assert next(event.cold for event in found if event.node_id == "bob")


def test_random_draws_each_time_and_says_so() -> None:
    nodes = [fact for name in ("ada", "bob", "cyd") for fact in node(name, slots=9)]
    made = playing("random", *nodes)
    assert len(set(sent(made, 12))) == 3
    assert all(event.draw for event in dispatches(made))


@pytest.mark.parametrize("policy", POLICIES)
def test_a_decision_names_its_policy(policy: str) -> None:
    made = playing(policy, *node("ada"))
    made.given(received("r1"))
    assert dispatches(made)[0].policy == f"{policy}/1"


def test_the_policy_can_change_while_running_and_is_replayed() -> None:
    made = playing("resident-first", *node("ada", slots=4), *node("bob", slots=4, resident=()))
    made.given(received("r1"), received("r2"))
    made.given(SettingsChanged(key="policy", old="resident-first", new="least-connections"))
    made.given(received("r3"))
    found = dispatches(made)
    assert [event.node_id for event in found] == ["ada", "ada", "bob"]
    assert [event.policy for event in found[1:]] == ["resident-first/1", "least-connections/1"]


def test_a_policy_that_this_version_does_not_know_is_the_first() -> None:
    made = playing("tomorrow", *node("ada"))
    made.given(received("r1"))
    assert dispatches(made)[0].policy == "resident-first/1"
