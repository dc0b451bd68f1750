"""API keys for real: made by a command, counted by control, known after kill -9, replayed."""

import json
import os
import signal
from pathlib import Path

from herd.simulator.fleet import NodeOrder
from tests.e2e.conftest import StartHerd, StartNodes
from tests.e2e.herds import Herd, command, until
from tests.e2e.nodes import SMALL
from tests.e2e.wire import ask, chat


def made(herd: Herd, *arguments: str) -> str:
    added = command("key", "add", *arguments, "--json", "--url", herd.url)
    assert added.returncode == 0, added.stderr
    return str(json.loads(added.stdout)["key"])


def used(herd: Herd, name: str) -> dict[str, object]:
    rows = ask(herd.url, "/dashboard/api/usage").json.get("keys", [])  # none while logd is away
    return next((row for row in rows if row["name"] == name), {"requests": -1})


def test_a_key_from_its_making_to_its_end(start_herd: StartHerd, start_nodes: StartNodes) -> None:
    nodes = start_nodes(NodeOrder(profile="ideal", name="ada", step_s=0.001, answer_tokens=20))
    herd = start_herd(*nodes.flags(), wait_for=("ada",))
    assert ask(herd.url, "/api/chat", chat(SMALL)).status == 200, "no key, no question"

    key = made(herd, "laptop", "--rate", "3", "--tokens-per-day", "100000")
    other = made(herd, "other", "--models", "qwen*")
    shown = {"Authorization": f"Bearer {key}"}
    assert until(lambda: ask(herd.url, "/api/chat", chat(SMALL)).status == 401, 5.0)
    for _ in range(3):
        assert ask(herd.url, "/v1/chat/completions", chat(SMALL), headers=shown).status == 200
    again = ask(
        herd.url, "/v1/messages", {**chat(SMALL), "max_tokens": 5}, headers={"x-api-key": key}
    )
    assert again.status == 429
    assert 1 <= int(again.headers["retry-after"]) <= 20
    assert again.json["error"]["type"] == "rate_limit_error"
    assert ask(herd.url, "/api/chat", chat(SMALL), headers={"x-api-key": other}).status == 403
    assert until(lambda: used(herd, "laptop")["requests"] == 3, 5.0)
    tokens = used(herd, "laptop")["tokens_today"]
    assert isinstance(tokens, int)
    assert tokens > 60

    killed = deciding(herd)
    os.kill(killed, signal.SIGKILL)
    assert until(lambda: deciding(herd) not in {killed, 0}, 20.0)
    assert until(lambda: knows_again(herd, tokens), 20.0), "what it had used was forgotten"
    assert ask(herd.url, "/api/chat", chat(SMALL)).status == 401

    ended = command("key", "revoke", "laptop", "--url", herd.url)
    assert ended.returncode == 0, ended.stderr
    assert until(lambda: ask(herd.url, "/api/chat", chat(SMALL), headers=shown).status == 401, 5.0)
    query = "SELECT requests, rejected FROM key_usage WHERE key_name = 'laptop'"
    assert until(lambda: herd.sql(query) == [{"requests": 4, "rejected": 1}], 15.0)
    assert herd.stop() == 0
    assert command("replay", "--check", str(herd.data_dir)).returncode == 0
    stored = [path for path in herd.data_dir.rglob("*") if path.is_file()]
    assert not [path for path in stored if holds(path, key) or holds(path, other)]
    assert key not in herd.words


def deciding(herd: Herd) -> int:
    """Return the pid of the process that decides."""
    pids = json.loads((herd.data_dir / "run" / "herd.json").read_bytes())["pids"]
    return int(pids.get("control", 0) or pids.get("single", 0))


def knows_again(herd: Herd, tokens: int) -> bool:
    """Whether control is back, as several answers in a row have it, and knows what was used."""
    try:
        ready = all(ask(herd.url, "/readyz").status == 200 for _ in range(8))
        return ready and used(herd, "laptop")["tokens_today"] == tokens
    except (OSError, KeyError):
        return False


def holds(path: Path, secret: str) -> bool:
    return secret.encode() in path.read_bytes()
