"""A herd does not start on a log that a newer one has written, and leaves it as it is."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from actors.core.state import SCHEMA
from events import Recorded, StateSnapshotted, encode
from herd.journal.files import segment_path
from tests.herd.logd.rig import data_dir


@pytest.mark.parametrize("workers", [0, 1])
def test_it_says_which_herd_wrote_it_and_what_to_do(tmp_path: Path, workers: int) -> None:
    directory = data_dir(tmp_path)
    newer = StateSnapshotted(state=msgspec.Raw(b"{}"), schema=SCHEMA + 1, version="9.8.7")
    segment = segment_path(directory.journal, 41)
    segment.write_bytes(encode(Recorded(41, 1, newer)))
    before = segment.read_bytes()
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "herd", "run", "--host", "127.0.0.1", "--port", "0"),
            *("--no-mdns", "--workers", str(workers), "--data-dir", str(tmp_path)),
        ],
        env={**os.environ, "FLEET_LOCAL_OLLAMA": "off"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert "written by herd 9.8.7" in ended.stderr
    assert "update this herd" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert segment.read_bytes() == before
    assert {path.stem for path in directory.journal.glob("0*.ndjson")} == {segment.stem}
