"""Reading back, restarting and following."""

from pathlib import Path

import msgspec
import pytest

from events import decode, encode
from herd.errors import HerdError
from herd.journal import snapshots
from herd.journal.files import segment_path
from herd.journal.reader import lines, load_for_restart, records
from herd.journal.snapshots import Snapshot
from herd.journal.tail import Position, Tail
from tests.herd.journal.sample import START_US, busy_log, snapshot, write_segment


def three_segments(tmp_path: Path) -> Path:
    directory = tmp_path / "journal"
    for first_seq in (1, 11, 21):
        write_segment(directory, busy_log(10, first_seq)).close()
    return directory


def side(tmp_path: Path, seq: int, state: bytes = b'{"side":1}', schema: int = 1) -> None:
    one = Snapshot(seq, START_US, schema, "0.1.0", msgspec.Raw(state))
    snapshots.write(tmp_path / "snapshots", one)


def test_records_come_in_order_from_any_seq(tmp_path: Path) -> None:
    directory = three_segments(tmp_path)
    everything = busy_log(10) + busy_log(10, 11) + busy_log(10, 21)
    for start in (1, 2, 10, 11, 12, 29, 30, 31):
        assert list(records(directory, start)) == everything[start - 1 :]


def test_there_is_nothing_before_the_first_segment(tmp_path: Path) -> None:
    assert list(records(tmp_path / "journal")) == []


def test_a_torn_line_at_the_end_of_any_segment_is_not_there(tmp_path: Path) -> None:
    directory = three_segments(tmp_path)
    for first_seq in (11, 21):
        with segment_path(directory, first_seq).open("ab") as file:
            file.write(b'{"seq":99,"reco')
    assert [record.seq for record in records(directory)] == list(range(1, 31))


def test_a_damaged_line_is_left_out_and_the_rest_is_read(tmp_path: Path) -> None:
    directory = three_segments(tmp_path)
    path = segment_path(directory, 11)
    path.write_bytes(path.read_bytes().replace(b'{"seq":15,', b"\0\0\0\0\0\0\0\0\0\0"))
    assert [record.seq for record in records(directory, 13)] == [13, 14, *range(16, 31)]


def test_a_restart_takes_the_head_of_the_newest_segment(tmp_path: Path) -> None:
    """Its state is the one before its own record, which is folded like any other."""
    directory = three_segments(tmp_path)
    side(tmp_path, 18)
    state, after = load_for_restart(directory, tmp_path / "snapshots")
    assert state == b"{}"
    assert [record.seq for record in after] == list(range(21, 31))


def test_a_restart_takes_a_newer_snapshot_beside_it(tmp_path: Path) -> None:
    directory = three_segments(tmp_path)
    side(tmp_path, 25)
    state, after = load_for_restart(directory, tmp_path / "snapshots")
    assert state == b'{"side":1}'
    assert [record.seq for record in after] == list(range(26, 31))


def test_a_restart_ignores_states_of_another_schema(tmp_path: Path) -> None:
    directory = three_segments(tmp_path)
    side(tmp_path, 25, schema=2)
    assert load_for_restart(directory, tmp_path / "snapshots", schema=2).state_json == b'{"side":1}'
    state, after = load_for_restart(directory, tmp_path / "snapshots", schema=3)
    assert state is None
    assert len(list(after)) == 30


@pytest.mark.parametrize("beside", [False, True])
def test_what_a_newer_herd_has_written_is_refused_naming_it(
    tmp_path: Path, *, beside: bool
) -> None:
    directory = three_segments(tmp_path)
    newer = msgspec.structs.replace(snapshot(31).event, schema=2, version="9.8.7")
    if beside:
        side(tmp_path, 25, schema=2)
    else:
        head = msgspec.structs.replace(snapshot(31), event=newer)
        segment_path(directory, 31).write_bytes(encode(head))
    with pytest.raises(HerdError) as caught:
        load_for_restart(directory, tmp_path / "snapshots")
    assert ("9.8.7" in caught.value.what) is not beside
    assert "newer" in caught.value.what
    assert "update this herd" in caught.value.next_step


def test_a_restart_passes_over_a_segment_with_a_torn_head(tmp_path: Path) -> None:
    directory = three_segments(tmp_path)
    segment_path(directory, 31).write_bytes(encode(snapshot(31))[:-1])
    state, after = load_for_restart(directory, tmp_path / "snapshots")
    assert state == b"{}"
    assert [record.seq for record in after] == list(range(21, 31))


def test_the_newest_two_snapshots_are_kept_and_a_broken_one_is_passed_over(tmp_path: Path) -> None:
    directory = tmp_path / "snapshots"
    for seq in (5, 15, 25):
        side(tmp_path, seq, b'{"seq":%d}' % seq)
    assert sorted(path.name for path in directory.iterdir()) == [
        "00000000000000000015.json",
        "00000000000000000025.json",
    ]
    found = snapshots.newest(directory, not_after_seq=24)
    assert found is not None
    assert bytes(found.state) == b'{"seq":15}'
    (directory / "00000000000000000025.json").write_bytes(b'{"seq":25,')
    found = snapshots.newest(directory)
    assert found is not None
    assert found.seq == 15
    assert snapshots.newest(directory, not_after_seq=14) is None


def test_following_reads_each_line_once_across_segments(tmp_path: Path) -> None:
    directory = tmp_path / "journal"
    tail = Tail(directory, Position(), chunk_bytes=700)
    assert tail.read() is None
    expected = busy_log(10)
    journal = write_segment(directory, expected)
    seen: list[bytes] = []
    while chunk := tail.read():
        assert chunk.data == chunk.path.read_bytes()[chunk.start.offset_bytes :][: len(chunk.data)]
        assert chunk.end.offset_bytes == chunk.start.offset_bytes + len(chunk.data)
        seen += chunk.data.splitlines()
    assert [decode(line) for line in seen] == expected
    torn = encode(busy_log(12)[10])
    with segment_path(directory, 1).open("ab") as file:
        file.write(torn[:50])
        file.flush()
        assert tail.read() is None
        file.write(torn[50:])
    chunk = tail.read()
    assert chunk is not None
    assert chunk.data == torn
    journal.close()
    write_segment(directory, busy_log(3, 12)).close()
    chunk = tail.read()
    assert chunk is not None
    assert chunk.start == Position(12, 0)


def test_following_reads_a_line_longer_than_a_chunk(tmp_path: Path) -> None:
    directory = tmp_path / "journal"
    big = snapshot(1, b'"' + b"x" * 5000 + b'"')
    write_segment(directory, [big]).close()
    chunk = Tail(directory, Position(), chunk_bytes=100).read()
    assert chunk is not None
    assert chunk.data == encode(big)


def test_following_goes_on_where_the_segment_is_gone(tmp_path: Path) -> None:
    directory = three_segments(tmp_path)
    segment_path(directory, 11).unlink()
    chunk = Tail(directory, Position(11, 300)).read()
    assert chunk is not None
    assert chunk.start == Position(21, 0)


def test_following_begins_a_segment_again_that_was_cut_back(tmp_path: Path) -> None:
    directory = three_segments(tmp_path)
    chunk = Tail(directory, Position(21, 10**6)).read()
    assert chunk is not None
    assert chunk.start == Position(21, 0)


def test_lines_are_the_bytes_as_written(tmp_path: Path) -> None:
    directory = three_segments(tmp_path)
    stored = b"".join(path.read_bytes() for path in sorted(directory.glob("*.ndjson")))
    assert b"".join(line + b"\n" for line in lines(directory)) == stored
