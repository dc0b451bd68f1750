"""The commands that guides tell an operator to type, word for word but for the port."""

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from herd.simulator.fleet import NodeOrder
from tests.e2e.conftest import StartHerd, StartNodes
from tests.e2e.herds import Herd, until
from tests.e2e.nodes import SMALL
from tests.e2e.wire import ask, chat

TINY = "smollm2:135m"
API = "localhost:11435/dashboard/api"

LOOP = r"""
curl -s localhost:11435/fleet/status | python3 -c "
import sys, json
for key, q in json.load(sys.stdin)['queues'].items():
    print(f\"{key}: {q['pending']} pending, {q['in_flight']} in-flight, {q['max_concurrent']} max\")
"
"""


def typed(herd: Herd, line: str) -> str:
    port = herd.url.rpartition(":")[2]
    done = subprocess.run(  # noqa: S602 (word for word)
        line.replace("11435", port), shell=True, capture_output=True, text=True, check=True
    )
    return done.stdout


Sense = Callable[[Any], object]
PAGES: dict[str, Sense] = {
    f"{API}/health": lambda said: said["vitals"]["nodes_online"],
    "localhost:11435/fleet/status": lambda said: said["nodes"][0]["node_id"],
    "localhost:11435/api/tags": lambda said: said["models"][0]["name"],
    "localhost:11435/api/ps": lambda said: said["models"][0]["expires_at"],
    "localhost:11435/v1/models": lambda said: said["data"][0]["id"],
    f"{API}/traces?limit=20": lambda said: said["traces"][0]["request_id"],
    f"{API}/usage": lambda said: said["data"][0]["request_count"],
    f"{API}/recommendations": lambda said: said["nodes"][0]["node_id"],
    f"{API}/settings": lambda said: "auto_pull" in said["config"]["toggles"],
    f"{API}/model-management": lambda said: said["nodes"][0]["models"][0]["size_gb"],
    f"{API}/apps": lambda said: said["data"][0]["request_count"],
}


@pytest.mark.parametrize("page", PAGES)
def test_a_page_prints_sense(herd: Herd, page: str) -> None:
    ask(herd.url, "/api/chat", chat(SMALL))

    def sense() -> bool:
        said = json.loads(typed(herd, f"curl -s '{page}' | python3 -m json.tool"))
        if "error" in said:  # logd may yet start
            return False
        try:
            return bool(PAGES[page](said))
        except IndexError:  # not in the log's tables yet
            return False

    assert until(sense, 10.0)


def test_the_loop_over_queues_prints_a_line_for_each(herd: Herd) -> None:
    ask(herd.url, "/api/chat", chat(SMALL))

    def sense() -> bool:  # a front shows what it was told a moment ago
        lines = typed(herd, LOOP).splitlines()
        assert all(line.endswith(" max") for line in lines)
        return any(SMALL in line and "0 pending" in line for line in lines)

    assert until(sense, 10.0)


def test_a_toggle_is_set_a_model_pulled_and_deleted(
    start_herd: StartHerd, start_nodes: StartNodes
) -> None:
    nodes = start_nodes(NodeOrder(profile="studio", name="ada", time_scale=50.0))
    herd = start_herd(*nodes.flags(), wait_for=("ada",))

    for value in (True, False):
        body = json.dumps({"auto_pull": value})
        said = json.loads(typed(herd, f"curl -s -X POST {API}/settings -d '{body}'"))
        assert said["updated"] == {"auto_pull": value}

    body = json.dumps({"model": TINY, "node_id": "ada"})
    said = json.loads(typed(herd, f"curl -s -X POST {API}/pull -d '{body}'"))
    assert (said["ok"], said["node_id"]) == (True, "ada")

    def there() -> bool:
        return TINY in typed(herd, "curl -s localhost:11435/api/tags")

    assert until(there, 15.0)
    said = json.loads(typed(herd, f"curl -s -X POST {API}/delete -d '{body}'"))
    assert (said["ok"], said["model"]) == (True, TINY)
    assert until(lambda: not there(), 10.0)
