"""What the process that looks back says of a recorded log."""

from pathlib import Path
from typing import Any

from herd.replay.looking import told
from tests.herd.journal.sample import busy_log
from tests.herd.logd.rig import data_dir, store, take_in, write


def logged(tmp_path: Path) -> str:
    directory = data_dir(tmp_path)
    write(directory, busy_log(91))
    with store(directory) as db:
        take_in(db, directory)
    return str(directory.root)


def test_an_event_is_told_with_the_fleet_after_it(tmp_path: Path) -> None:
    root = logged(tmp_path)

    found: dict[str, Any] = told(root, 30)

    assert found["seq"] == 30
    assert found["kind"].startswith("request_")
    assert found["status"]["timestamp"] == found["at"]
    assert {"nodes", "queues", "fleet"} <= found["status"].keys()
    assert told(root, 31)["at"] >= found["at"]


def test_a_stored_state_is_told_too(tmp_path: Path) -> None:
    found = told(logged(tmp_path), 1)
    assert (found["seq"], found["kind"], found["request_id"]) == (1, "state_snapshotted", None)


def test_what_no_stored_state_precedes_is_said(tmp_path: Path) -> None:
    assert "no stored state" in str(told(logged(tmp_path), 0)["error"])
