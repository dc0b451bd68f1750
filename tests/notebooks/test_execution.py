"""Each notebook runs on the sample from top to bottom, without a warning, and finds the truth."""

import base64
import struct
from pathlib import Path

import pytest

from tests.notebooks.rig import NOTEBOOKS, run

PNG = b"\x89PNG\r\n\x1a\n"
LEAST_PIXELS = 400
FINDS = {
    "01": ("Look first at minute 6",),
    "02": ("in line", "unluckiest twentieth"),
    "03": ("round-robin/1: ", "resident-first/1: ", "because its predicted wait was the least"),
    "04": ("a second tower: first byte", "few observations"),
    "05": ("studio is the first",),
    "06": ("studio: no free slot", "tower: draining", "studio became", "tower had been drained"),
}
"""Words of the answers that must be there, by what was really done to the fleet of the sample."""


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: str(path.stem))
def test_a_notebook_runs_draws_and_answers(path: Path) -> None:
    ran = run(path)
    assert not ran.complaints
    assert ran.pictures
    for picture in ran.pictures:
        head = base64.b64decode(picture)[:24]
        width, height = struct.unpack(">II", head[16:])
        assert head.startswith(PNG)
        assert width > LEAST_PIXELS < 10 * height
    assert [word for word in FINDS[path.name[:2]] if word not in ran.words] == []
