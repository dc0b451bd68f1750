"""Models come and go through herd as on one Ollama, and by themselves where that is wanted."""

import hashlib
from pathlib import Path

import pytest
from ollama import ResponseError

from herd.simulator.fleet import NodeOrder
from tests.e2e.conftest import StartHerd, StartNodes
from tests.e2e.herds import Herd, command
from tests.e2e.nodes import SMALL, Nodes
from tests.e2e.test_ollama_package import HELLO, Use, either, use
from tests.e2e.wire import Call, ask, chat

TINY = "smollm2:135m"


def started(start_nodes: StartNodes) -> Nodes:
    return start_nodes(
        *(NodeOrder(profile="studio", name=name, time_scale=20.0) for name in ("ada", "bob"))
    )


@either
def test_each_request_sees_what_the_one_before_has_done(
    start_herd: StartHerd, start_nodes: StartNodes, use: Use, tmp_path: Path
) -> None:
    nodes = started(start_nodes)
    url = start_herd(*nodes.flags(), wait_for=("ada", "bob")).url
    for _ in range(3):
        told = use(url, "pull", TINY, stream=True)
        assert told[-1].status == "success"
        assert any(line.completed for line in told)
        assert use(url, "show", TINY).details.parameter_size == "134.52M"
        assert use(url, "chat", TINY, HELLO).done
        use(url, "copy", TINY, "mine")
        assert "mine:latest" in {row.model for row in use(url, "list").models}
        use(url, "delete", "mine")
        use(url, "create", "yours", from_=SMALL)
        use(url, "delete", "yours")
        use(url, "delete", TINY)
        with pytest.raises(ResponseError, match="not found"):
            use(url, "delete", TINY)
    file = tmp_path / "model.gguf"
    file.write_bytes(b"GGUF" * 5_000)
    digest = use(url, "create_blob", file)
    assert digest == f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
    use(url, "create", "filed", files={"model.gguf": digest})
    use(url, "delete", "filed")


def test_two_that_pull_the_same_share_one_download(
    start_herd: StartHerd, start_nodes: StartNodes
) -> None:
    [order] = [NodeOrder(profile="studio", name="ada", time_scale=1.0)]
    nodes = start_nodes(order, NodeOrder(profile="studio", name="bob"))
    herd = start_herd(*nodes.flags(), wait_for=("ada", "bob"))
    with Call(herd.url, "/api/pull", {"model": TINY}) as first:
        assert next(first.lines())
        herd.until(lambda _: bool(_pulling(herd)))
        with Call(herd.url, "/api/pull", {"model": TINY}) as second:
            assert next(second.lines())
            assert second.response.getheader("X-Fleet-Node") == first.response.getheader(
                "X-Fleet-Node"
            )


def _pulling(herd: Herd) -> list[str]:
    pulls = ask(herd.url, "/dashboard/api/pull").json.get("pulls", ())
    return [each["model"] for each in pulls if not each["done"]]


def test_a_model_that_no_node_has_comes_by_itself_where_that_is_wanted(
    start_herd: StartHerd, start_nodes: StartNodes
) -> None:
    nodes = started(start_nodes)
    herd = start_herd(*nodes.flags(), wait_for=("ada", "bob"), FLEET_AUTO_PULL="on")
    answer = ask(herd.url, "/api/chat", chat(TINY))
    assert (answer.status, answer.json["done"]) == (200, True)
    rows = herd.sql("SELECT kind, node_id FROM events WHERE kind LIKE 'pull_%' ORDER BY seq")
    assert rows[0] == {"kind": "pull_started", "node_id": answer.node}
    assert rows[-1] == {"kind": "pull_ended", "node_id": answer.node}
    lost = ask(herd.url, "/api/chat", chat("no-such-model"))
    assert (lost.status, "none could pull it" in lost.json["error"]) == (404, True)
    assert herd.stop() == 0
    checked = command("replay", "--check", str(herd.data_dir))
    assert checked.returncode == 0, checked.stdout


def test_it_does_not_come_unless_it_is_wanted(
    start_herd: StartHerd, start_nodes: StartNodes
) -> None:
    nodes = started(start_nodes)
    herd = start_herd(*nodes.flags(), wait_for=("ada", "bob"))
    with pytest.raises(ResponseError, match=f"model '{TINY}' not found"):
        use(herd.url, "chat", TINY, HELLO)
