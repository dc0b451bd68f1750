"""`herd reload`: settings that hold at once, those that need another start, and that start."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from herd.simulator.fleet import NodeOrder
from tests.e2e.conftest import StartHerd, StartNodes
from tests.e2e.herds import Herd, command, running, until
from tests.e2e.nodes import SMALL, Nodes
from tests.e2e.steady import Steady
from tests.e2e.wire import ask, chat

pytestmark = pytest.mark.timeout(120)

WITHIN_S = 60.0


@pytest.fixture
def nodes(start_nodes: StartNodes) -> Nodes:
    """Two nodes without physics."""
    return start_nodes(*(NodeOrder(profile="ideal", name=name) for name in ("alpha", "beta")))


def reload(herd: Herd, *words: str) -> dict[str, Any]:
    """Have it read its settings file again, and return what it says of that."""
    done = command("reload", "--data-dir", str(herd.data_dir), "--json", *words, timeout_s=100)
    assert done.returncode == 0, done.stderr + herd.words
    told: dict[str, Any] = msgspec.json.decode(done.stdout)
    return told


def write(herd: Herd, **variables: object) -> None:
    lines = ["# of a test", *(f"{name}={value}" for name, value in variables.items())]
    (herd.data_dir / "herd-balancer.env").write_text("\n".join(lines))


def setting(herd: Herd, key: str) -> tuple[object, str]:
    """Return its value, and what has decided that."""
    told = ask(herd.url, "/dashboard/api/settings").json["settings"]
    return next((each["value"], each["fixed_by"]) for each in told if each["key"] == key)


def replays(herd: Herd) -> None:
    checked = command("replay", "--check", "--json", str(herd.data_dir))
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_what_can_change_holds_at_once_and_the_rest_is_named(
    start_herd: StartHerd, nodes: Nodes
) -> None:
    herd = start_herd()
    urls = " ".join(nodes.flags())
    write(herd, FLEET_MAX_QUEUE=9, FLEET_LOG_KEEP_DAYS=3, FLEET_NODES=f'"{urls}"')
    told = reload(herd)
    assert told["changed"] == {"max_queue": [512, 9], "nodes": ["", urls]}
    assert told["needs_restart"] == {"log_keep_days": 3.0}
    herd.until_online("alpha", "beta")
    assert ask(herd.url, "/api/chat", chat(SMALL)).status == 200
    assert until(lambda: setting(herd, "max_queue") == (9, "FLEET_MAX_QUEUE"), WITHIN_S)
    asked = ask(herd.url, "/dashboard/api/settings", {"max_queue": 10})
    assert "fixed by FLEET_MAX_QUEUE" in asked.json["error"]
    write(herd, FLEET_NODES=nodes.flag("beta"))
    assert reload(herd)["changed"] == {
        "max_queue": [9, 512],
        "nodes": [urls, nodes.flag("beta")],
    }
    herd.until(lambda status: status.online == {"beta"}, WITHIN_S)
    assert herd.stop(within_s=WITHIN_S) == 0
    replays(herd)


def test_a_mistake_in_the_file_changes_nothing(start_herd: StartHerd) -> None:
    herd = start_herd()
    write(herd, FLEET_MAX_QUEUE="many", FLEET_MAX_RETRIES=1)
    done = command("reload", "--data-dir", str(herd.data_dir))
    assert done.returncode == 1
    assert "stay as they are: FLEET_MAX_QUEUE cannot be 'many'" in done.stderr
    (herd.data_dir / "herd-balancer.env").write_text("FLEET_MAX_RETRIES=1\nmany more\n")
    done = command("reload", "--data-dir", str(herd.data_dir))
    assert "line 2 is not NAME=VALUE" in done.stderr
    assert setting(herd, "max_retries") == (2, "")
    write(herd, FLEET_MAX_RETRY=1)
    assert "FLEET_MAX_RETRY is no setting; FLEET_MAX_RETRIES is one" in reload(herd)["note"]


@pytest.fixture
def hangups() -> Iterator[None]:
    """Have what the test starts hear hangups, also where these tests themselves run by nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hangups")
def test_a_hangup_is_a_reload_and_a_control_that_is_killed_keeps_it(start_herd: StartHerd) -> None:
    herd = start_herd()
    write(herd, FLEET_MAX_RETRIES=1)
    herd.send(signal.SIGHUP)
    herd.hears("max_retries is 1 now; it was 2", WITHIN_S)
    decides = next(
        process
        for process in herd.family()
        if {"herd: control", "herd: single"} & set(process.cmdline())
    )
    decides.kill()
    herd.hears("it is started again", WITHIN_S)

    def holds() -> bool:
        try:
            return setting(herd, "max_retries") == (1, "FLEET_MAX_RETRIES")
        except OSError:
            return False

    assert until(holds, WITHIN_S)
    assert reload(herd)["changed"] == {}
    assert herd.stop(within_s=WITHIN_S) == 0
    rows = herd.sql("SELECT count(*) AS n FROM events WHERE kind = 'configuration_loaded'")
    assert rows == [{"n": 3}]
    replays(herd)


def test_the_file_is_read_at_the_start_and_the_environment_comes_before_it(
    start_herd: StartHerd,
) -> None:
    herd = start_herd(FLEET_MAX_QUEUE="7")
    write(herd, FLEET_MAX_QUEUE=9, FLEET_MAX_RETRIES=1)
    assert reload(herd)["changed"] == {"max_retries": [2, 1]}
    reload(herd, "--anew")
    assert setting(herd, "max_queue") == (7, "FLEET_MAX_QUEUE")
    assert setting(herd, "max_retries") == (1, "FLEET_MAX_RETRIES")


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    """What a service tells its state to."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(str(tmp_path / "notify"))
        made.settimeout(WITHIN_S)
        yield made


def test_a_new_process_takes_the_place_and_systemd_is_told(
    start_herd: StartHerd, nodes: Nodes, systemd: socket.socket
) -> None:
    notify = systemd.getsockname()
    herd = start_herd(*nodes.flags(), wait_for=("alpha", "beta"), NOTIFY_SOCKET=notify)
    write(herd, FLEET_LOG_KEEP_DAYS=3)
    with Steady(herd.url) as clients:
        new = reload(herd, "--anew")
        assert systemd.recv(100) == b"MAINPID=%d" % new["pid"]
        assert herd.ends(WITHIN_S, clear=False) == 0
        clients.go_on()
        write(herd, FLEET_LOG_KEEP_DAYS="soon")
        done = command("reload", "--anew", "--data-dir", str(herd.data_dir), timeout_s=100)
        assert done.returncode == 1
        assert "the herd that runs stays: the new one ended (exit 1)" in done.stderr
        herd.hears("FLEET_LOG_KEEP_DAYS cannot be 'soon'", WITHIN_S)
        clients.go_on()
    assert clients.failures == []
    assert setting(herd, "log_keep_days") == (3.0, "FLEET_LOG_KEEP_DAYS")
    process = psutil.Process(new["pid"])
    os.kill(new["pid"], signal.SIGTERM)
    assert until(lambda: not running([process]), WITHIN_S)
    replays(herd)


def test_where_nothing_runs_it_says_so(tmp_path: Path) -> None:
    done = command("reload", "--data-dir", str(tmp_path))
    assert done.returncode == 1
    assert f"no herd runs on {tmp_path}" in done.stderr
