"""A backup of a herd at work, and a herd that goes on from it elsewhere."""

import threading
from pathlib import Path

from tests.e2e.conftest import StartHerd
from tests.e2e.herds import Composition, Herd, command, until
from tests.e2e.nodes import SMALL, Nodes
from tests.e2e.wire import ask, chat


def test_what_was_saved_under_load_replays_and_goes_on(
    start_herd: StartHerd, pair: Nodes, composition: Composition, tmp_path: Path
) -> None:
    herd = start_herd(*pair.flags(), wait_for=tuple(pair.names))
    changed = ask(herd.url, "/dashboard/api/settings", {"fair_shares": False})
    assert changed.status == 200
    over = threading.Event()
    answered: list[str] = []

    def load() -> None:
        while not over.is_set():
            answer = ask(herd.url, "/api/chat", chat(SMALL))
            assert answer.status == 200
            answered.append(answer.request_id)

    clients = [threading.Thread(target=load) for _ in range(4)]
    for client in clients:
        client.start()
    try:
        assert until(lambda: len(answered) > 20, 20.0)
        before = list(answered)
        file = tmp_path / "saved.tar.gz"
        saved = command("backup", str(file), "--data-dir", str(herd.data_dir))
        assert saved.returncode == 0, saved.stderr
    finally:
        over.set()
        for client in clients:
            client.join()
    assert herd.stop() == 0
    there = tmp_path / "there"
    assert command("restore", str(file), "--data-dir", str(there)).returncode == 0
    checked = command("replay", "--data-dir", str(there), "--check")
    assert " 0 divergences" in checked.stdout, checked.stdout + checked.stderr
    again = Herd(there, composition, pair.flags())
    try:
        again.comes_up()
        again.until_online(*pair.names)
        toggles = ask(again.url, "/dashboard/api/settings").json["config"]["toggles"]
        assert toggles["fair_shares"] is False
        assert ask(again.url, "/api/chat", chat(SMALL)).status == 200
        kept = {row["request_id"] for row in again.sql("SELECT request_id FROM requests")}
        assert set(before) <= kept
    finally:
        again.stop()
