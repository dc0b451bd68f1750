"""What is told of a request that a slow node, or one without memory, did not get."""

from collections.abc import Callable
from pathlib import Path

import pytest

from events import TimerFired
from herd.replay.explain import Explanation, explain
from herd.replay.source import Source
from tests.actors.cast import received
from tests.actors.core.test_lacking import SET, refused
from tests.actors.core.test_slowing import fallen
from tests.herd.logd.rig import data_dir, write
from tests.herd.replay.test_picture import rows
from tests.playbook import Playbook, after

Explain = Callable[[Playbook, str], Explanation]


@pytest.fixture
def told(tmp_path: Path) -> Explain:
    def explained(playing: Playbook, begins: str) -> Explanation:
        write(data_dir(tmp_path), playing.log)
        with Source(tmp_path) as source:
            return explain(source, begins)

    return explained


def test_a_slow_node_says_how_slow_and_when_one_may_try(told: Explain) -> None:
    tale = fallen()
    name = tale.ask()
    (other,) = told(tale.playing, name).decisions[0].others
    assert other.obstacles == {
        "slow": "a token takes 15.4 times as long as usual: asked last, one may try in 60 s"
    }


def test_while_one_tries_the_others_go_elsewhere(told: Explain) -> None:
    tale = fallen()
    tale.later(61.0)
    tale.ask()
    name = tale.ask()
    (other,) = told(tale.playing, name).decisions[0].others
    assert other.obstacles == {
        "slow": "a token takes 15.4 times as long as usual: asked last, one request is trying it"
    }


def test_a_node_without_memory_says_for_how_long_it_is_asked_last(told: Explain) -> None:
    playing = refused(SET)
    playing.given(after(15.0), TimerFired(), received("r2"))
    (other,) = told(playing, "r2").decisions[0].others
    assert other.obstacles == {"refused": "had no memory for the model: asked last for 45 s more"}


def test_the_picture_calls_its_circuit_slow() -> None:
    shown = rows(fallen().playing.state, "models on nodes")
    assert [each["CIRCUIT"] for each in shown if each["NODE"] == "studio"] == ["slow, 60.0 s more"]
