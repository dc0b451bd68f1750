"""`herd replay`: check a log, look at a moment of it, begin further on."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from actors.core.settings import Settings
from actors.core.state import State, dump, load
from events import NodeId, Recorded, RequestDispatched
from herd.commands import replay
from herd.control.restore import apply, head_of_segment
from herd.errors import HerdError
from tests.actors.cast import book, node, received
from tests.herd.logd.rig import data_dir, write
from tests.playbook import Playbook, after


def later(playing: Playbook) -> list[Recorded]:
    """A second segment: the state so far, a second, and three more requests."""
    head = head_of_segment(playing.state, playing.now_us)
    more = Playbook()
    apply(more.state, head)
    more.log, more.now_us = [head], playing.now_us
    more.given(after(1.0), received("s1"), received("s2"), after(60.0), received("s3"))
    return more.log


@pytest.fixture(scope="module")
def segments() -> tuple[list[Recorded], list[Recorded]]:
    playing = book(*node("ada", slots=2), *node("bob", slots=1))
    playing.given(after(0.5), received("r1"), received("r2"), received("r3"), received("r4"))
    return playing.log, later(playing)


@pytest.fixture
def log(tmp_path: Path, segments: tuple[list[Recorded], list[Recorded]]) -> Path:
    write(data_dir(tmp_path), *segments)
    return tmp_path


def run(log: Path, *arguments: str) -> Result:
    return CliRunner().invoke(replay.command, [str(log), *arguments], catch_exceptions=False)


def state_after(segments: tuple[list[Recorded], list[Recorded]], seq: int) -> State:
    state = State()
    for record in (each for segment in segments for each in segment):
        if record.seq <= seq:
            apply(state, record)
    return state


def test_the_state_after_each_record_is_the_folded_one(
    log: Path, segments: tuple[list[Recorded], list[Recorded]]
) -> None:
    for seq in (1, len(segments[0]), segments[1][0].seq, segments[1][-1].seq):
        shown = run(log, "--at", str(seq), "--json").output.strip()
        assert shown.encode() == dump(state_after(segments, seq))


def test_a_time_means_the_last_record_up_to_it(
    log: Path, segments: tuple[list[Recorded], list[Recorded]]
) -> None:
    at_us = segments[1][-1].recorded_at - 30_000_000
    expected = max(each.seq for each in segments[1] if each.recorded_at <= at_us)
    when = datetime.fromtimestamp(at_us / 1e6, UTC).isoformat()
    for point in ("30s", when):
        assert load(run(log, "--at", point, "--json").output.encode()).seq == expected


def test_the_picture_names_nodes_lines_and_what_runs(
    log: Path, segments: tuple[list[Recorded], list[Recorded]]
) -> None:
    shown = run(log, "--at", str(segments[1][-1].seq)).output
    state = state_after(segments, segments[1][-1].seq)
    assert shown.startswith(f"after seq {state.seq}, ")
    assert f"{state.waiting} waiting, {state.in_flight} in flight" in shown
    for name in (*state.nodes, *state.requests, "max_retries"):
        assert str(name) in shown
    assert "\x1b" not in shown, "nothing but text where nobody looks on"


def test_a_long_table_is_cut_and_says_so(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "SHOWN", 2)
    left = len(Settings.__struct_fields__) - 2
    assert f"and {left} more: --json has them all" in run(log, "--at", "0s").output


@pytest.mark.parametrize(
    ("point", "what"),
    [
        ("9999", "seq 9999 is after the end of the log"),
        ("0", "no stored state is as old as seq 0"),
        ("2099-01-01", "is after the end of the log"),
        ("1970-01-02", "is before the log, which begins"),
        ("tuesday", "'tuesday' is no time"),
    ],
)
@pytest.mark.parametrize("option", ["--at", "--from"])
def test_a_point_outside_the_log_is_said_so(log: Path, option: str, point: str, what: str) -> None:
    with pytest.raises(HerdError, match=what) as caught:
        run(log, option, point)
    assert caught.value.next_step


def test_a_check_begins_at_the_newest_stored_state_up_to_a_point(
    log: Path, segments: tuple[list[Recorded], list[Recorded]]
) -> None:
    whole = json.loads(run(log, "--check", "--json").output)
    assert (whole["events"], whole["snapshots"]) == (len(segments[0]) + len(segments[1]), 1)
    for point in (str(segments[1][2].seq), "30s"):
        part = json.loads(run(log, "--check", "--json", "--from", point).output)
        assert (part["events"], part["snapshots"]) == (len(segments[1]), 0)
        assert part["divergences"] == []


def test_a_divergence_ends_with_1_where_the_check_sees_it(
    tmp_path: Path, segments: tuple[list[Recorded], list[Recorded]]
) -> None:
    forged = [_moved(each) for each in segments[0]]
    write(data_dir(tmp_path), forged, segments[1])
    result = run(tmp_path, "--check")
    assert result.exit_code == 1
    assert "the first is at seq" in result.output
    assert run(tmp_path).exit_code == 0, "only a check is asked for a verdict"
    assert run(tmp_path, "--check", "--from", str(segments[1][0].seq)).exit_code == 0


def _moved(record: Recorded) -> Recorded:
    """The same, but every request was sent to another node than it says."""
    event = record.event
    if not isinstance(event, RequestDispatched):
        return record
    other = NodeId("ada" if event.node_id == "bob" else "bob")
    return replace(record, event=replace(event, node_id=other))


def test_options_that_exclude_each_other_are_refused(log: Path) -> None:
    assert run(log, "--at", "1", "--check").exit_code == 2
    assert run(log, "--data-dir", str(log)).exit_code == 2
    alone = CliRunner().invoke(replay.command, ["--data-dir", str(log), "--at", "1"])
    assert alone.exit_code == 0
