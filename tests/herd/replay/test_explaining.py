"""What the process that explains says of a recorded log."""

from pathlib import Path
from typing import Any

import msgspec

from herd.replay.explaining import told
from tests.actors.cast import book, node, received
from tests.herd.logd.rig import data_dir, write


def logged(tmp_path: Path) -> str:
    playing = book(*node("ada", slots=2), *node("bob", slots=2, resident=()), *node("cyd", "x:1"))
    playing.given(received("r1"))
    directory = data_dir(tmp_path)
    write(directory, playing.log)
    return str(directory.root)


def plain(root: str, request_id: str) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(told(root, request_id)))
    return found


def test_a_request_is_explained(tmp_path: Path) -> None:
    found = plain(logged(tmp_path), "r1")

    [decided] = found["decisions"]
    assert decided["why"] == "ada, because bob would have had to load the model, about 4.0 s."
    assert [(each["node_id"], each["obstacles"]) for each in decided["others"]] == [
        ("cyd", {"model": "does not have the model"})
    ]
    assert found["steps"][0]["kind"] == "request_received"


def test_an_unknown_one_is_said(tmp_path: Path) -> None:
    assert "no request nobody" in plain(logged(tmp_path), "nobody")["error"]
