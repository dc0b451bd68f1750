"""One log, wherever it lies, and while logd takes its files away."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb
import pytest

from actors.core.state import dump
from events import Recorded
from herd.errors import HerdError
from herd.journal.files import segments
from herd.replay.source import Source
from tests.herd.logd.rig import data_dir, write
from tests.herd.replay.chaos import chaos


class Sealing:
    """A DuckDB in which files vanish, so many times."""

    def __init__(self, log: duckdb.DuckDBPyConnection, times: int) -> None:
        self.log = log
        self.left = times

    def execute(self, query: str, parameters: Sequence[object] = ()) -> duckdb.DuckDBPyConnection:
        if self.left:
            self.left -= 1
            raise duckdb.IOException("No files found that match")
        return self.log.execute(query, parameters)

    def close(self) -> None:
        self.log.close()


@pytest.fixture
def source(tmp_path: Path) -> Source:
    write(data_dir(tmp_path), chaos(0))
    return Source(tmp_path)


@pytest.mark.parametrize(("times", "asks_on"), [(2, True), (3, False)])
def test_a_question_is_asked_again_when_a_file_was_just_sealed(
    source: Source, monkeypatch: pytest.MonkeyPatch, times: int, *, asks_on: bool
) -> None:
    with source:
        monkeypatch.setattr(source, "log", Sealing(source.log, times))
        if asks_on:
            assert source.ask("SELECT count(*) FROM events") == [(len(chaos(0)),)]
        else:
            with pytest.raises(duckdb.IOException):
                source.ask("SELECT count(*) FROM events")


def test_the_state_is_that_of_a_fold_and_can_be_watched(source: Source) -> None:
    seen: list[int] = []

    def watched(records: Iterator[Recorded], total: int) -> Iterator[Recorded]:
        seen.append(total)
        return records

    with source:
        state = source.state_at(500, watched)
        assert state.seq == 500
        assert seen == [500]
        assert dump(source.state_at(500)) == dump(state)


def test_a_damaged_line_is_left_out(tmp_path: Path) -> None:
    directory, log = data_dir(tmp_path), chaos(0)
    write(directory, log)
    [segment] = segments(directory.journal)
    lines = segment.path.read_bytes().split(b"\n")
    lines[100] = b'{"seq":101,"recorded_at":1}'
    lines[200] = lines[200].replace(b'"recorded_at":', b'"k":7,"recorded_at":')
    segment.path.write_bytes(b"\n".join(lines))
    with Source(tmp_path) as source:
        assert [record.seq for record in source.records()] == [
            record.seq for record in log if record.seq not in {101, 201}
        ]


def test_the_newest_stored_state_up_to_a_record(source: Source) -> None:
    with source:
        assert (source.first_seq, source.last_seq, source.heads) == (1, len(chaos(0)), [1])
        assert source.head_at(700) == 1
        with pytest.raises(HerdError, match="no stored state is as old as seq 0"):
            source.head_at(0)


def test_an_instant_is_the_last_record_up_to_it(source: Source) -> None:
    log = chaos(0)
    with source:
        for seq in (1, 800, len(log)):
            at_us = log[seq - 1].recorded_at
            assert source.seq_at(at_us) == max(e.seq for e in log if e.recorded_at == at_us)
        assert source.seq_at(log[0].recorded_at - 1) == 0
