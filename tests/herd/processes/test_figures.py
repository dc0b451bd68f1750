"""What the processes of a herd take, as far as they run."""

import os
from pathlib import Path

from herd.paths import DataDir
from herd.processes.figures import figures
from herd.processes.run_file import RunFile, birth, write

MEMORY = "herd_process_resident_memory_bytes"


def samples(directory: DataDir) -> dict[tuple[str, str], float]:
    return {
        (sample.name, sample.labels["process"]): sample.value
        for family in figures(directory)
        for sample in family.samples
    }


def test_a_process_that_runs_is_told_and_one_that_is_gone_is_not(tmp_path: Path) -> None:
    directory = DataDir(tmp_path)
    directory.create()
    us = os.getpid()
    write(
        directory,
        RunFile(
            version="1",
            host="localhost",
            port=1,
            data_dir=str(tmp_path),
            started_at=0,
            pids={"control": us, "logd": us},
            born={"control": birth(us), "logd": 1.0},
        ),
    )
    found = samples(directory)
    assert {process for _, process in found} == {"control"}
    assert found[MEMORY, "control"] > 1_000_000
    assert found["herd_process_cpu_seconds_total", "control"] > 0
    assert found["herd_process_open_fds", "control"] >= 3
    assert found["herd_process_start_time_seconds", "control"] == birth(us)


def test_without_a_run_file_there_is_nothing_to_tell(tmp_path: Path) -> None:
    assert samples(DataDir(tmp_path)) == {}
