"""`herd incident`: what it says when it saves, and what it shows of a file."""

import gzip
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from herd.commands.incident import command
from herd.errors import HerdError
from herd.version import version
from tests.herd.replay.eventful import CANARIES, eventful, on_disk, request


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return on_disk(tmp_path_factory.mktemp("log"))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(each) for each in arguments], catch_exceptions=False)


def save(log: Path, file: Path, *arguments: object) -> Result:
    return run("save", "--data-dir", log, *arguments, file)


def test_saving_says_what_it_saved_and_that_it_replays(log: Path, tmp_path: Path) -> None:
    done = save(log, tmp_path / "a.herd", "--around", "2025-10-09T08:54:00Z", "--minutes", 2)
    size_kb = round((tmp_path / "a.herd").stat().st_size / 1000)
    assert done.output.splitlines() == [
        f"{tmp_path}/a.herd: 58 events around 2025-10-09T08:54:00.000+00:00, {size_kb} kB",
        "6 dispatches made again, 0 divergences",
    ]


def test_a_window_that_cannot_begin_earlier_says_so(tmp_path: Path) -> None:
    first, *others = eventful()
    log = on_disk(tmp_path / "data", [first[20:], *others])
    done = save(log, tmp_path / "a.herd", "--around", "2025-10-09T08:54:00Z")
    assert "begins at the first stored state" in done.output


def test_what_is_in_a_file(log: Path, tmp_path: Path) -> None:
    save(log, tmp_path / "a.herd", "--around", request(6), "--minutes", 0.4)
    shown = run("show", tmp_path / "a.herd")
    assert shown.exit_code == 0
    assert shown.output.splitlines() == [
        "incident  0.4 min around 019900000006-0000-7000-8000-000000000000, by herd " + version(),
        "time      2025-10-09T08:54:30.000+00:00 to 2025-10-09T08:56:00.000+00:00",
        "events    31, seq 29 to 58; 3 stored states",
        "nodes     ada, bob",
        "requests  7: 6 interrupted, 1 completed",
        "troubles  6 request_interrupted, 2 control_started",
        "redacted  client, app, tags, by, key_name, macs, prefixes, settings",
        "replay    2 dispatches made again, 0 divergences",
    ]
    assert [canary for canary in CANARIES if canary in shown.output] == []


def test_for_scripts(log: Path, tmp_path: Path) -> None:
    save(log, tmp_path / "a.herd", "--around", "2025-10-09T08:54:00Z")
    told = json.loads(run("show", tmp_path / "a.herd", "--json").output)
    assert told["header"]["first_seq"] == 1
    assert told["replayed"]["divergences"] == []
    assert told["nodes"] == ["ada", "bob"]
    assert told["troubles"]["control_started"] == 3


def test_a_file_that_does_not_replay_ends_with_1(log: Path, tmp_path: Path) -> None:
    save(log, tmp_path / "a.herd", "--around", "2025-10-09T08:54:00Z")
    data = gzip.decompress((tmp_path / "a.herd").read_bytes())
    (tmp_path / "b.herd").write_bytes(
        gzip.compress(data.replace(b'"lease":"1.1"', b'"lease":"9.9"', 1))
    )
    shown = run("show", tmp_path / "b.herd")
    assert shown.exit_code == 1
    assert "1 divergence, the first at seq 16" in shown.output


def test_a_strangers_file_cannot_move_the_cursor(log: Path, tmp_path: Path) -> None:
    save(log, tmp_path / "a.herd", "--around", "2025-10-09T08:54:00Z")
    data = gzip.decompress((tmp_path / "a.herd").read_bytes())
    evil = data.replace(b'"around":"', b'"around":"\\u001b[2J', 1)
    (tmp_path / "b.herd").write_bytes(gzip.compress(evil))
    assert "\x1b" not in run("show", tmp_path / "b.herd").output


def test_clients_stay_only_if_told(log: Path, tmp_path: Path) -> None:
    around = ("--around", "2025-10-09T08:54:00Z")
    save(log, tmp_path / "a.herd", *around)
    with pytest.raises(HerdError, match="exists"):
        save(log, tmp_path / "a.herd", *around, "--keep-clients")
    assert CANARIES[0].encode() not in gzip.decompress((tmp_path / "a.herd").read_bytes())
    save(log, tmp_path / "a.herd", *around, "--keep-clients", "--force")
    assert CANARIES[0].encode() in gzip.decompress((tmp_path / "a.herd").read_bytes())
    assert "redacted  settings" in run("show", tmp_path / "a.herd").output


def test_the_tools_that_read_a_log_read_the_file(log: Path, tmp_path: Path) -> None:
    from herd.commands import replay, sql

    save(log, tmp_path / "a.herd", "--around", "2025-10-09T08:54:00Z")
    told = [str(tmp_path / "a.herd"), "--check"]
    assert "0 divergences" in CliRunner().invoke(replay.command, told).output
    query = "SELECT client, count(*) AS requests FROM requests GROUP BY 1 ORDER BY 1"
    told = [query, "--data-dir", str(tmp_path / "a.herd"), "--csv"]
    assert CliRunner().invoke(sql.command, told).output.splitlines() == [
        "client,requests",
        "client-1,6",
        "client-2,5",
    ]
