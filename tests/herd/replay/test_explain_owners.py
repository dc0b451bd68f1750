"""What is told of a request where the owners of nodes have a say."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from events import HeartbeatReceived, Limits, NodeFacts, TimerFired
from herd.replay.explain import Explanation, explain
from herd.replay.source import Source
from tests.actors.cast import (
    MODEL,
    OTHER_MODEL,
    SIZE_BYTES,
    book,
    heartbeat,
    in_memory,
    on_disk,
    received,
)
from tests.herd.logd.rig import data_dir, write
from tests.playbook import Playbook, after

Explain = Callable[[Playbook, str], Explanation]


@pytest.fixture
def told(tmp_path: Path) -> Explain:
    def explained(playing: Playbook, begins: str) -> Explanation:
        write(data_dir(tmp_path), playing.log)
        with Source(tmp_path) as source:
            return explain(source, begins)

    return explained


def lent(name: str, **limits: Any) -> HeartbeatReceived:
    return heartbeat(name, MODEL, limits=Limits(**limits), facts=NodeFacts(slots=2))


def test_a_node_that_its_owner_uses_says_so_and_what_had_been_without(told: Explain) -> None:
    playing = book(lent("ada"), lent("bob", paused="its owner is using it"))
    playing.given(received("r0"), received("r1"))
    decided = told(playing, "r1").decisions[0]
    (other,) = decided.others
    assert other.obstacles == {"paused": "paused by its owner: its owner is using it"}
    assert "had bob not been paused by its owner, bob" in {each.text for each in decided.contrasts}


def test_a_wait_for_an_owner_ends_when_he_lends_his_node_again(told: Explain) -> None:
    playing = book(lent("ada", paused="its owner is using it"), received("r1"))
    playing.given(after(3.0), lent("ada"))
    (wait,) = told(playing, "r1").waits
    assert wait.why == "ada: paused by its owner: its owner is using it"
    assert wait.opened == "ada's owner lent it again"


def test_a_wait_for_an_owner_may_be_in_vain(told: Explain) -> None:
    playing = book(lent("ada", paused="its owner is using it"), received("r1"))
    playing.given(after(30.0), TimerFired())
    assert told(playing, "r1").rejected == (
        "the owners of the nodes that have the model kept them to themselves for 30.0 s "
        "(hold_timeout_s is 30)"
    )


def test_what_an_owner_allows_is_what_stood_in_the_way(told: Explain) -> None:
    few = lent("ada", max_requests=1)
    small = replace(lent("bob", max_bytes=SIZE_BYTES), resident=())
    playing = book(few, small, lent("cyd"), received("r0"), received("r1"), received("r2"))
    last = told(playing, "r2").decisions[0]
    assert {each.node_id: each.obstacles for each in last.others} == {
        "ada": {"exhausted": "runs the 1 requests that its owner allows"},
        "bob": {"too_large": "its owner allows 4.0 GB for models"},
    }


def test_memory_that_an_owner_allows_is_what_a_wait_was_for(told: Explain) -> None:
    full = replace(
        lent("ada", max_bytes=2 * SIZE_BYTES),
        models=on_disk(MODEL, OTHER_MODEL),
        resident=in_memory(OTHER_MODEL),
    )
    (wait,) = told(book(full, received("r1")), "r1").waits
    assert wait.why == "ada: no room for the model in the 8.0 GB that its owner allows"
