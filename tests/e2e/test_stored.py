"""Models on the nodes' disks, as the dashboard shows and changes them."""

import json
from typing import Any

from herd.simulator.fleet import NodeOrder
from tests.e2e.conftest import StartHerd, StartNodes
from tests.e2e.herds import Herd, command, until
from tests.e2e.nodes import SMALL
from tests.e2e.wire import ask, chat

TINY = "smollm2:135m"


def disks(herd: Herd) -> dict[str, dict[str, Any]]:
    """Return the models of each node, by name; nothing until logd is there."""
    told = ask(herd.url, "/dashboard/api/model-management").json
    return {
        node["node_id"]: {model["name"]: model for model in node["models"]}
        for node in told.get("nodes", ())
    }


def test_a_model_is_shown_pulled_onto_one_node_and_deleted_there(
    start_herd: StartHerd, start_nodes: StartNodes
) -> None:
    nodes = start_nodes(
        *(NodeOrder(profile="studio", name=name, time_scale=50.0) for name in ("ada", "bob"))
    )
    herd = start_herd(*nodes.flags(), wait_for=("ada", "bob"))
    served = ask(herd.url, "/api/chat", chat(SMALL)).node
    assert until(lambda: bool(disks(herd)), 15.0)
    assert until(lambda: disks(herd)[served][SMALL]["total_requests"] == 1, 5.0)
    row = disks(herd)[served][SMALL]
    assert (row["unused"], row["days_unused"]) == (False, 0.0)
    assert row["size_gb"] > 1

    asked = ask(herd.url, "/dashboard/api/pull", {"model": TINY, "node_id": "bob"})
    assert (asked.status, asked.json["status"]) == (200, "started")
    assert until(lambda: TINY in disks(herd)["bob"], 10.0)
    assert TINY not in disks(herd)["ada"]

    def ended() -> bool:
        pulls = ask(herd.url, "/dashboard/api/pull").json["pulls"]
        return [(each["node_id"], each["status"]) for each in pulls] == [("bob", "success")]

    assert until(ended, 5.0)
    gone = ask(herd.url, "/dashboard/api/delete", {"model": TINY, "node_id": "bob"})
    assert (gone.status, gone.json["status"]) == (200, "deleted")
    assert until(lambda: TINY not in disks(herd)["bob"], 10.0)
    assert ask(herd.url, "/dashboard/api/delete", {"model": TINY, "node_id": "bob"}).status == 404
    nobody = ask(herd.url, "/dashboard/api/delete", {"model": SMALL})
    assert (nobody.status, "ada, bob" in nobody.json["error"]) == (404, True)
    assert ask(herd.url, "/dashboard/api/pull", {"node_id": "bob"}).status == 400
    failed = ask(herd.url, "/dashboard/api/pull", {"model": "no-such-model", "node_id": "ada"})
    assert failed.status == 200

    def told() -> bool:
        pulls = ask(herd.url, "/dashboard/api/pull").json["pulls"]
        return any(each["status"] == "failed" and each["error"] for each in pulls)

    assert until(told, 5.0)


def test_herd_pull_and_herd_rm(start_herd: StartHerd, start_nodes: StartNodes) -> None:
    nodes = start_nodes(
        *(NodeOrder(profile="studio", name=name, time_scale=50.0) for name in ("ada", "bob"))
    )
    herd = start_herd(*nodes.flags(), wait_for=("ada", "bob"))
    assert until(lambda: bool(disks(herd)), 15.0)
    refused = command("pull", TINY, "--url", herd.url)
    assert (refused.returncode, "--yes" in refused.stderr) == (1, True), "nobody can be asked"
    pulled = command("pull", TINY, "--node", "bob", "--yes", "--json", "--url", herd.url)
    assert pulled.returncode == 0, pulled.stderr
    assert json.loads(pulled.stdout) == {"model": TINY, "status": "success"}
    assert until(lambda: TINY in disks(herd)["bob"], 10.0)
    removed = command("rm", TINY, "--yes", "--url", herd.url)
    assert removed.stdout == f"{TINY} is gone from bob\n", removed.stderr
    assert until(lambda: TINY not in disks(herd)["bob"], 10.0)
    again = command("rm", TINY, "--yes", "--url", herd.url)
    assert (again.returncode, f"no node that is online has {TINY}" in again.stderr) == (1, True)
    wrong = command("pull", "no-such-model", "--node", "ada", "--yes", "--url", herd.url)
    assert wrong.returncode == 1
    assert "file does not exist" in wrong.stderr
