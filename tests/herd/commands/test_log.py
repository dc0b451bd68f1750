"""`herd log`: readable lines, filters, and following what happens."""

import gzip
import json
import re
import select
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from events import NodeId, NodePinned, Recorded, encode
from herd.clock import wall_s
from herd.commands.log import command, readable
from herd.errors import HerdError
from herd.journal.files import segments
from herd.signing import fingerprint
from tests.herd.journal.sample import at, busy_log, request_id, requests
from tests.herd.logd.rig import append, data_dir, write


@pytest.fixture
def log(tmp_path: Path) -> Path:
    write(data_dir(tmp_path), busy_log(301))
    return tmp_path


def run(log: Path, *arguments: str) -> Result:
    return CliRunner().invoke(command, [*arguments, "--data-dir", str(log)], catch_exceptions=False)


def seqs(done: Result) -> list[int]:
    return [json.loads(line)["seq"] for line in done.output.splitlines()]


def test_the_last_events_come_oldest_first(log: Path) -> None:
    assert seqs(run(log, "--json")) == list(range(252, 302))
    assert seqs(run(log, "--json", "--last", "3")) == [299, 300, 301]


def test_a_request_is_named_by_its_first_letters(log: Path) -> None:
    assert seqs(run(log, request_id(7), "--json")) == [20, 21, 22]
    assert seqs(run(log, request_id(7)[:12], "--json")) == [20, 21, 22]
    assert run(log, request_id(7)).output.count("\n") == 3


def test_events_are_chosen_by_kind_node_and_model(log: Path) -> None:
    done = run(
        log, "--json", "--kind", "request_received", "--kind", "state_snapshotted", "--last", "1000"
    )
    assert seqs(done) == [1, *range(2, 302, 3)]
    studio = run(log, "--json", "--node", "studio", "--last", "2")
    assert all('"node_id":"studio"' in line for line in studio.output.splitlines())
    both = run(log, "--json", "--node", "studio", "--model", "llama3.2:latest", "--last", "1000")
    assert len(seqs(both)) == 2 * len([n for n in range(1, 101) if n % 6 == 0])


def test_events_are_chosen_by_their_time(log: Path) -> None:
    """Event n was recorded n milliseconds after 2025-10-09 08:53:20 UTC."""
    since, until = "2025-10-09T08:53:20.100Z", "2025-10-09T08:53:20.200Z"
    assert seqs(run(log, "--json", "--since", since)) == list(range(100, 302))
    assert seqs(run(log, "--json", "--until", until)) == list(range(1, 200))
    both = run(log, "--json", "--since", since, "--until", until, "--kind", "request_received")
    assert seqs(both) == list(range(101, 200, 3))
    assert seqs(run(log, "--json", "--since", since, "--last", "2")) == [300, 301]


def test_a_time_that_is_none_is_refused(log: Path) -> None:
    with pytest.raises(HerdError, match="'yesterday' is no time"):
        run(log, "--since", "yesterday")
    with pytest.raises(HerdError, match="--until 2h is not after --since 1h"):
        run(log, "--since", "1h", "--until", "2h")
    with pytest.raises(HerdError, match="no such event"):
        run(log, "--since", "1m")


def test_a_line_shows_time_kind_subject_and_the_rest() -> None:
    events = [at(seq, event) for seq, event in zip((2, 3, 4), requests(), strict=False)]
    shown = [click.unstyle(readable(json.loads(encode(record)))) for record in events]
    assert all(re.match(r"10-\d\d \d\d:\d\d:20\.00\d  request_", line) for line in shown)
    assert shown[1].endswith(
        f"request_dispatched    {request_id(1)}  qwen2.5:7b  mini  lease=1.1 queue_s=0.25 terms=<2>"
    )
    assert "ttft_s=0.5 service_s=2 prompt_tokens=11" in shown[2]


def test_a_nodes_key_is_shown_as_people_compare_it() -> None:
    old, new = "ab" * 32, "cd" * 32
    event = NodePinned(node_id=NodeId("mini"), node_key=new, replaces=old)
    shown = click.unstyle(readable(json.loads(encode(at(2, event)))))
    assert shown.endswith(f"mini  node_key={fingerprint(new)} replaces={fingerprint(old)}")
    assert old not in shown
    assert new not in shown


def test_nothing_found_names_the_next_step(log: Path, tmp_path: Path) -> None:
    with pytest.raises(HerdError, match="no event of request zzz"):
        run(log, "zzz")
    with pytest.raises(HerdError, match="no such event"):
        run(log, "--kind", "nonsense")
    with pytest.raises(HerdError, match="there is no log yet"):
        run(tmp_path / "other")


def test_an_incident_file_is_a_log_too(log: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.herd"
    file.write_bytes(gzip.compress(segments(data_dir(log).journal)[0].path.read_bytes()))

    def shown(*arguments: object) -> Result:
        return CliRunner().invoke(
            command, [str(each) for each in arguments], catch_exceptions=False
        )

    assert seqs(shown("--json", file)) == list(range(252, 302))
    assert seqs(shown("--json", request_id(7), file)) == [20, 21, 22]
    assert seqs(shown("--json", request_id(7), "--data-dir", file)) == [20, 21, 22]
    assert seqs(shown("--json", request_id(7), log)) == [20, 21, 22]
    assert "does not grow" in shown(file, "-f").output
    assert "not both" in shown(file, "--data-dir", log).output


def test_a_file_that_is_no_log_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(HerdError, match=r"notes\.txt"):
        run(tmp_path / "notes.txt")


def follow(directory: Path, *arguments: str) -> "subprocess.Popen[str]":
    code = "from herd.commands.log import command; command()"
    return subprocess.Popen(
        [
            sys.executable,
            "-u",
            "-c",
            code,
            "-f",
            "--json",
            "--data-dir",
            str(directory),
            *arguments,
        ],
        stdout=subprocess.PIPE,
        text=True,
    )


def next_seq(process: "subprocess.Popen[str]") -> int:
    assert process.stdout is not None
    return int(json.loads(process.stdout.readline())["seq"])


def test_following_goes_on_with_what_is_written(tmp_path: Path) -> None:
    directory = data_dir(tmp_path)
    write(directory, busy_log(10))
    with follow(tmp_path, "--kind", "request_completed", "--last", "2") as process:
        try:
            assert [next_seq(process), next_seq(process)] == [7, 10]
            append(directory, busy_log(14)[10:])
            assert next_seq(process) == 13
            with segments(directory.journal)[-1].path.open("ab") as file:
                file.write(b'\xff damaged\n{"seq": 99}\n')
            append(directory, busy_log(16)[14:])
            assert next_seq(process) == 16
            write(directory, busy_log(5, 17))
            assert next_seq(process) == 20
        finally:
            process.kill()


def test_following_ends_when_the_time_is_up(tmp_path: Path) -> None:
    """What was recorded before is shown, the rest is not, and it does not wait for more."""
    directory = data_dir(tmp_path)
    write(directory, busy_log(10))
    with follow(tmp_path, "--until", "2025-10-09T08:53:20.009Z", "--last", "2") as process:
        assert process.wait(20) == 0
        assert [next_seq(process), next_seq(process)] == [7, 8]
        assert process.stdout is not None
        assert process.stdout.read() == ""
    until_s = round(wall_s() + 6)
    until = datetime.fromtimestamp(until_s, UTC).isoformat()
    with follow(tmp_path, "--until", until, "--last", "0") as process:
        now_us = round(wall_s() * 1e6)
        late = encode(Recorded(12, (until_s + 1) * 10**6, next(requests())))
        while not readable_soon(process):  # it has not begun to look
            append(directory, [Recorded(11, now_us, next(requests()))])
        with segments(directory.journal)[-1].path.open("ab") as file:
            file.write(late)
        assert next_seq(process) == 11
        assert process.wait(20) == 0
        assert wall_s() >= until_s
        assert process.stdout.read() == "" if process.stdout else False


def test_following_may_begin_before_the_log_does(tmp_path: Path) -> None:
    directory = data_dir(tmp_path)
    with follow(tmp_path) as process:
        try:
            write(directory, busy_log(3))
            assert [next_seq(process) for _ in range(3)] == [1, 2, 3]
        finally:
            process.kill()


def test_following_from_now_shows_nothing_old(tmp_path: Path) -> None:
    directory = data_dir(tmp_path)
    write(directory, busy_log(10))
    seq = 10
    with follow(tmp_path, "--last", "0") as process:
        try:
            while not readable_soon(process):  # it is not to be seen when it begins to look
                seq += 1
                append(directory, busy_log(seq)[seq - 1 :])
            assert next_seq(process) > 10
        finally:
            process.kill()


def readable_soon(process: "subprocess.Popen[str]") -> bool:
    assert process.stdout is not None
    return bool(select.select([process.stdout], [], [], 0.2)[0])
