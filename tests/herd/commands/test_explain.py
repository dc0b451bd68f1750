"""`herd explain`, on a log in one file."""

import gzip
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from actors.core.state import State
from events import RequestDispatched, RequestQueued, encode
from herd.commands.explain import command
from herd.control.restore import head_of_segment
from herd.errors import HerdError
from tests.herd.replay.test_contrast import moved
from tests.herd.virtual.small import START_US, busy


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("log") / "busy.herd"
    _, log = busy(count=60, per_s=4.0)
    with gzip.open(path, "wb") as out:
        out.write(encode(head_of_segment(State(), START_US)))
        out.writelines(encode(moved(each)) for each in log)
    return path


def request_ids(kind: type[RequestDispatched | RequestQueued]) -> list[str]:
    _, log = busy(count=60, per_s=4.0)
    return [str(each.event.request_id) for each in log if isinstance(each.event, kind)]


def asked(file: Path, *words: str) -> str:
    result = CliRunner().invoke(command, [*words, str(file)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_it_tells_the_life_the_candidates_the_reason_and_the_contrast(file: Path) -> None:
    told = asked(file, request_ids(RequestDispatched)[-1])
    for part in ("received", "sent to", "completed", "CANDIDATE", "NO CANDIDATE", "had "):
        assert part in told, told


def test_it_tells_why_a_request_waited_and_what_ended_that(file: Path) -> None:
    told = asked(file, request_ids(RequestQueued)[-1])
    assert "It waited" in told, told
    assert "It went on when" in told, told


def test_as_json_it_is_data(file: Path) -> None:
    told = json.loads(asked(file, "--json", request_ids(RequestDispatched)[0]))
    (decided,) = told["decisions"]
    assert decided["exact"]
    assert decided["node_id"] in {"studio", "tower", "mini"}
    assert all(each["text"] for each in decided["contrasts"])
    assert [step["seq"] for step in told["steps"]] == sorted(s["seq"] for s in told["steps"])


def test_an_unknown_request_is_said_so(file: Path) -> None:
    with pytest.raises(HerdError, match="no request nonsense"):
        asked(file, "nonsense")


def test_a_file_that_is_no_log_is_said_so(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("dear herd")
    with pytest.raises(HerdError, match=r"letter\.txt is no log"):
        asked(path, "r1")
