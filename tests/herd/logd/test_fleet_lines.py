"""Lines of the log file about nodes."""

import json
from pathlib import Path
from typing import Any

import pytest

from events import (
    CircuitOpened,
    Event,
    NodeBecameHealthy,
    NodeId,
    NodeKnocked,
    NodePinned,
    NodeWentOffline,
    RequestRejected,
    encode,
)
from herd.logd.fleet_lines import write_fleet_lines
from herd.logs import LogFile
from tests.herd.journal.sample import at, request_id

STUDIO = NodeId("studio")


def written(path: Path, *events: Event) -> list[dict[str, Any]]:
    file = path / "herd.jsonl"
    write_fleet_lines(LogFile(file), [encode(at(7, event)).decode() for event in events])
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@pytest.mark.parametrize(
    ("event", "level", "said"),
    [
        (NodeBecameHealthy(node_id=STUDIO), "INFO", "studio is online"),
        (
            NodeWentOffline(node_id=STUDIO, reason="silent for 30 s"),
            "WARNING",
            "studio is offline: silent for 30 s",
        ),
        (
            NodePinned(node_id=STUDIO, node_key="k"),
            "INFO",
            "studio joined: a key speaks for it from now on",
        ),
        (
            NodeKnocked(node_id=STUDIO, node_key="k"),
            "WARNING",
            "studio asks to join: `herd nodes approve studio` lets it in",
        ),
        (
            CircuitOpened(node_id=STUDIO, model="m", failures=3, open_s=10),
            "WARNING",
            "studio failed m too often in a row: it gets no more of it for now",
        ),
        (
            CircuitOpened(node_id=STUDIO, model="m", failures=3, open_s=10, reason="slow"),
            "WARNING",
            "studio answers for m far more slowly than it used to: it is asked last",
        ),
    ],
)
def test_what_happens_to_a_node_is_a_line(
    tmp_path: Path, event: Event, level: str, said: str
) -> None:
    [line] = written(tmp_path, event)
    assert (line["level"], line["msg"]) == (level, said)
    assert (line["logger"], line["node_id"], line["process"]) == ("herd.fleet", "studio", "logd")


def test_requests_are_none_whatever_they_are_called(tmp_path: Path) -> None:
    named = RequestRejected(
        request_id=request_id(1), model='"k":"node_pinned"', status=404, reason="unknown_model"
    )
    assert written(tmp_path, named) == []
