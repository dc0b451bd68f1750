"""What Open WebUI's server asks of an Ollama, in its order and its words."""

from collections.abc import Mapping

import msgspec

from herd.simulator.fleet import NodeOrder
from tests.e2e.conftest import StartHerd, StartNodes
from tests.e2e.herds import Herd
from tests.e2e.nodes import BIG, EMBED, SIMULATED, SMALL, Nodes
from tests.e2e.wire import Call, ask

TINY = "smollm2:135m"
HEADERS: Mapping[str, str] = {
    "Content-Type": "application/json",
    "Accept": "*/*",
    "Accept-Encoding": "gzip, deflate",
    "User-Agent": "Python/3.11 aiohttp/3.12",
    "X-OpenWebUI-User-Name": "admin",
    "X-OpenWebUI-User-Role": "admin",
}
TITLE = "### Task:\nGenerate a concise, 3-5 word title with an emoji."
TAGS = "### Task:\nGenerate 1-3 broad tags categorizing the main themes."


def asked(text: str, *, stream: bool, **more: object) -> dict[str, object]:
    messages = [{"role": "user", "content": text}]
    return {"model": BIG, "messages": messages, "stream": stream, "options": {}, **more}


def test_its_start(herd: Herd) -> None:
    """It connects, and fills its list of models."""
    tags = ask(herd.url, "/api/tags", headers=HEADERS)
    rows = tags.json["models"]
    assert {row["model"] for row in rows} >= {BIG, SMALL, f"{EMBED}:latest"}
    assert all({"name", "model", "digest", "size", "modified_at", "details"} <= {*r} for r in rows)
    version = ask(herd.url, "/api/version", headers=HEADERS).json["version"]
    assert [int(part) for part in version.split(".")], "it compares the numbers"
    assert isinstance(ask(herd.url, "/api/ps", headers=HEADERS).json["models"], list)


def test_a_chat_with_its_tasks(herd: Herd) -> None:
    """A streamed answer, then a title and tags for it."""
    with Call(herd.url, "/api/chat", asked("hello", stream=True), headers=HEADERS) as call:
        assert call.response.getheader("Content-Type") == "application/x-ndjson"
        lines = [msgspec.json.decode(line) for line in call.lines()]
    assert "".join(line["message"]["content"] for line in lines).startswith(SIMULATED)
    assert [line["done"] for line in lines] == [False] * (len(lines) - 1) + [True]
    assert lines[-1]["eval_count"] == len(lines) - 1
    for task in (TITLE, TAGS):
        body = asked(task, stream=False, options={"num_predict": 8}, keep_alive="5m")
        answer = ask(herd.url, "/api/chat", body, headers=HEADERS)
        assert answer.json["message"]["content"].startswith(SIMULATED[:20])


def test_a_stop_in_the_middle(pair_herd: Herd, pair: Nodes) -> None:
    """Its stop button closes the connection."""
    pair.fault("slow", factor=100.0)
    body = asked("hello", stream=True) | {"model": SMALL}
    with Call(pair_herd.url, "/api/chat", body, headers=HEADERS) as call:
        assert next(call.lines())
    pair_herd.until(lambda status: status.idle, 1.0)
    assert sum(pair.stats(name).in_flight for name in pair.names) == 0


def test_a_model_is_pulled_and_deleted(start_herd: StartHerd, start_nodes: StartNodes) -> None:
    """It asks for its list again as soon as it has read `success`."""
    nodes = start_nodes(NodeOrder(profile="studio", name="ada", time_scale=20.0))
    herd = start_herd(*nodes.flags(), wait_for=("ada",))

    def listed() -> set[str]:
        rows = ask(herd.url, "/api/tags", headers=HEADERS).json["models"]
        return {row["model"] for row in rows}

    with Call(herd.url, "/api/pull", {"name": TINY, "model": TINY}, headers=HEADERS) as call:
        seen: list[dict[str, object]] = []
        for line in call.lines():
            seen.append(msgspec.json.decode(line))
            if seen[-1]["status"] == "success":
                break
        assert TINY in listed()
    assert any(line.get("completed") and line.get("total") for line in seen)
    gone = {"name": TINY, "model": TINY}
    assert ask(herd.url, "/api/delete", gone, method="DELETE", headers=HEADERS).status == 200
    assert TINY not in listed()
    again = ask(herd.url, "/api/delete", gone, method="DELETE", headers=HEADERS)
    assert (again.status, again.json["error"]) == (404, f"model '{TINY}' not found")
