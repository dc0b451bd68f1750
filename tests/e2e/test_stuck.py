"""Processes of herd that turn in a circle for good: killed, started again, and the rest served."""

import os
import signal
from pathlib import Path

import msgspec
import psutil
import pytest

from herd.processes.run_file import RunFile
from herd.simulator.fleet import NodeOrder
from tests.e2e.conftest import StartHerd, StartNodes
from tests.e2e.herds import Herd, until
from tests.e2e.nodes import SMALL
from tests.e2e.wire import ask, chat

pytestmark = pytest.mark.timeout(120)

CIRCLING = Path(__file__).parent / "circling"
PATH = os.pathsep.join(filter(None, (str(CIRCLING), os.environ.get("PYTHONPATH", ""))))


@pytest.fixture
def herd(start_herd: StartHerd, start_nodes: StartNodes) -> Herd:
    nodes = start_nodes(NodeOrder(profile="ideal", name="one", time_scale=50.0, answer_tokens=4))
    return start_herd(
        *nodes.flags(),
        wait_for=("one",),
        FLEET_STUCK_AFTER="4",
        PYTHONPATH=PATH,
        CIRCLING="1",
    )


def pids(herd: Herd) -> dict[str, int]:
    content = (herd.data_dir / "run" / "herd.json").read_bytes()
    return msgspec.json.decode(content, type=RunFile).pids


def serves(herd: Herd) -> bool:
    """Whether a request is answered; in one process there is nobody for a second or two."""
    try:
        return ask(herd.url, "/api/chat", chat(SMALL)).status == 200
    except OSError:
        return False


@pytest.mark.parametrize("which", ["front 1", "control", "logd"])
def test_it_is_killed_and_started_again(herd: Herd, which: str) -> None:
    assert until((herd.data_dir / "logs" / "herd.jsonl").exists, 30.0), "logd does not work yet"
    before = pids(herd)
    name = which if which in before else "single"
    others = {each: pid for each, pid in before.items() if each != name}
    os.kill(before[name], signal.SIGUSR1)
    herd.hears(f"{name} (pid {before[name]}) runs, but has done nothing for", 60.0)
    assert until(lambda: pids(herd).get(name, before[name]) != before[name], 15.0)
    assert not psutil.pid_exists(before[name])
    after = pids(herd)
    assert {each: after[each] for each in others} == others, "nobody else was taken for stuck"
    assert until(lambda: serves(herd), 30.0)
    log = (herd.data_dir / "logs" / "herd.jsonl").read_text()
    assert "has done nothing for" in log
    assert herd.stop() == 0
