"""What is told of a request for which a node was woken."""

from pathlib import Path

import pytest

from actors.core.waking import AGAIN_S
from events import TimerFired, WakePlanned
from herd.replay.explain import Explanation, explain
from herd.replay.life import told
from herd.replay.source import Source
from tests.actors.cast import MODEL, book, nid, received
from tests.actors.sleepers import agent, asleep
from tests.herd.logd.rig import data_dir, write
from tests.playbook import Playbook, after

HELP = (
    "ada is woken, which takes about 30 s: the last of 6 in line would wait 76 s without it, "
    "and it can help in 34 s"
)


def explained(tmp_path: Path, playing: Playbook, begins: str) -> Explanation:
    write(data_dir(tmp_path), playing.log)
    with Source(tmp_path) as source:
        return explain(source, begins)


def test_it_says_that_a_node_was_woken_why_and_for_how_long(tmp_path: Path) -> None:
    playing = book(asleep("ada"), received("r1"), TimerFired(), after(AGAIN_S), TimerFired())
    playing.given(after(2.0), received("r2"), after(8.0), agent("ada"))
    first = explained(tmp_path, playing, "r1")
    woken = [step.text for step in first.steps if step.kind == "wake_planned"]
    why = f"no other node that could be asked has {MODEL}"
    assert woken == [
        f"ada is woken, which takes about 30 s: {why}",
        f"ada is woken, which takes about 30 s, attempt 2: {why}",
    ]
    (wait,) = first.waits
    assert (wait.why, wait.opened) == ("ada: asleep", "ada came online")


def test_one_that_comes_later_is_told_that_it_is_being_woken(tmp_path: Path) -> None:
    playing = book(asleep("ada"), received("r1"), TimerFired(), after(4.0), received("r2"))
    (wait,) = explained(tmp_path, playing, "r2").waits
    assert wait.why == "ada: asleep, and woken since 4 s"


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (
            WakePlanned(
                node_id=nid("ada"),
                reason="queue",
                wake_s=30.0,
                there_s=34.0,
                wait_s=75.8,
                in_line=6,
            ),
            HELP,
        ),
        (
            WakePlanned(node_id=nid("ada"), reason="asked", wake_s=12.0),
            "ada is woken, which takes about 12 s: somebody asked for it",
        ),
    ],
)
def test_the_other_reasons(plan: WakePlanned, words: str) -> None:
    assert told(plan) == words
