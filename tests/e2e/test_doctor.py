"""`herd doctor` beside a herd that runs, and beside one of whose nodes is gone."""

import json
import subprocess
import sys
from typing import Any

from herd.simulator.fleet import NodeOrder
from tests.e2e.conftest import StartHerd, StartNodes
from tests.e2e.herds import Herd

SOON = {"FLEET_HEARTBEAT_TIMEOUT": "2", "FLEET_HEARTBEAT_OFFLINE": "4"}


def looked(herd: Herd) -> tuple[int, list[dict[str, Any]]]:
    done = subprocess.run(
        [sys.executable, "-m", "herd", "doctor", "--json", "--data-dir", str(herd.data_dir)],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, json.loads(done.stdout)


def test_a_node_that_is_gone_is_found(start_herd: StartHerd, start_nodes: StartNodes) -> None:
    pair = start_nodes(NodeOrder(profile="ideal", name="a"), NodeOrder(profile="ideal", name="b"))
    herd = start_herd(*pair.flags(), wait_for=tuple(pair.names), **SOON)
    _, found = looked(herd)
    nodes = {each["about"]: each["state"] for each in found if each["about"].startswith("node ")}
    assert nodes == {f"node {name}": "good" for name in pair.names}
    assert any(each["about"] == "balancer" and each["state"] == "good" for each in found)
    gone = pair.names[0]
    pair.kill(gone)
    herd.until(lambda status: any(n.status == "offline" for n in status.nodes), 15.0)
    code, found = looked(herd)
    assert code == 1
    assert {each["state"] for each in found if each["about"] == f"node {gone}"} == {"bad"}
