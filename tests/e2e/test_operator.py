"""What an operator asks, word for word, of a herd of real processes; and settings that last."""

import json
import subprocess
from typing import Any

from tests.e2e.conftest import StartHerd
from tests.e2e.herds import Composition, Herd, until
from tests.e2e.nodes import SMALL, Nodes
from tests.e2e.wire import ask, chat

GET = "curl -s 'http://localhost:PORT/{page}' | python3 -m json.tool"
SET = "curl -s -X POST http://localhost:PORT/dashboard/api/settings -d '{}'"


def shell(herd: Herd, line: str) -> Any:
    port = herd.url.rpartition(":")[2]
    done = subprocess.run(  # noqa: S602 (word for word)
        line.replace("PORT", port), shell=True, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def page(herd: Herd, name: str) -> Any:
    return shell(herd, GET.format(page=name))


def test_the_commands_print_sense(herd: Herd) -> None:
    asked = {ask(herd.url, "/api/chat", chat(SMALL)).request_id for _ in range(3)}

    def traced() -> bool:
        traces = page(herd, "dashboard/api/traces?limit=20").get("traces", [])  # logd may yet start
        return asked <= {trace["request_id"] for trace in traces if trace["status"] == "completed"}

    assert until(traced, 5.0)
    assert page(herd, "dashboard/api/overview")["completed"] >= 3
    assert any(row["model"] == SMALL for row in page(herd, "dashboard/api/usage")["data"])
    assert page(herd, "dashboard/api/trends")["data"][-1]["request_count"] >= 3
    assert page(herd, "dashboard/api/models")["summary"][0]["total_requests"] >= 3
    assert page(herd, "dashboard/api/apps")["summary"]
    assert page(herd, "dashboard/api/apps/daily")["data"]
    assert page(herd, "dashboard/api/context-usage")["models"]
    assert {row["node_id"] for row in page(herd, "fleet/limits")["nodes"]}
    rows = page(herd, "dashboard/api/settings")["settings"]
    assert next(row["fixed_by"] for row in rows if row["key"] == "port") == "--port"


def test_a_changed_setting_holds_on_every_front_and_after_a_restart(
    start_herd: StartHerd, pair: Nodes, composition: Composition
) -> None:
    herd = start_herd(*pair.flags(), wait_for=tuple(pair.names))
    said = shell(herd, SET.replace("{}", '{"fair_shares": false}'))
    assert said["updated"] == {"fair_shares": False}
    wrong = shell(herd, SET.replace("{}", '{"fair_shares": "false"}'))
    assert "write true or false" in wrong["error"]

    def kept(of: Herd) -> bool:
        toggles = [page(of, "dashboard/api/settings")["config"]["toggles"] for _ in range(6)]
        return not any(each["fair_shares"] for each in toggles)

    assert until(lambda: kept(herd), 10.0)
    assert herd.stop() == 0
    again = Herd(herd.data_dir, composition, pair.flags())
    try:
        again.comes_up()
        assert until(lambda: kept(again), 10.0)
    finally:
        again.clear()
