"""`docs/grafana.json` asks for nothing that `/metrics` does not tell."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from herd.http.endpoints.metrics import text
from herd.link.messages import View
from herd.logd.condition import condition
from herd.logd.meters import Meters
from herd.processes.figures import figures
from tests.herd.logd.rig import data_dir, store

FILE = Path(__file__).parents[2] / "docs" / "grafana.json"
NAME = re.compile(r"herd_[a-z_]+")
SUFFIX = re.compile(r"_(total|bucket|count|sum)$")


@pytest.fixture
def dashboard() -> Any:
    return msgspec.json.decode(FILE.read_bytes())


def test_what_it_draws_is_told(dashboard: Any, tmp_path: Path) -> None:
    directory = data_dir(tmp_path)
    with store(directory) as connection:
        meters = Meters(connection, lambda cursor: condition(cursor, directory.journal, 0.0))
        exposed = meters.text(connection, ()) + text(View()).decode()
    told = {SUFFIX.sub("", line.split()[2]) for line in exposed.splitlines() if "# TYPE" in line}
    told |= {family.name for family in figures(directory)} | {"herd_logd_up"}
    asked = {
        SUFFIX.sub("", name)
        for panel in dashboard["panels"]
        for target in panel["targets"]
        for name in NAME.findall(target["expr"])
    }
    assert len(asked) > 10
    assert asked <= told


def test_no_panel_covers_another(dashboard: Any) -> None:
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in dashboard["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
