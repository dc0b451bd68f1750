"""`herd whatif`, on a data directory and on an incident file."""

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from herd.commands.whatif import command
from herd.errors import HerdError
from herd.journal.segments import Journal
from herd.paths import DataDir
from herd.replay.incident import save, window
from herd.replay.source import Source
from tests.herd.whatif.logs import recorded

COUNT = 150


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _directory(tmp_path_factory.mktemp("data"), COUNT)


def _directory(root: Path, count: int) -> Path:
    head, *records = recorded(count)[1]
    paths = DataDir(root)
    paths.journal.mkdir(parents=True)
    journal = Journal.open(paths.journal, paths.snapshots)
    journal.rotate(head)
    journal.append(records)
    journal.close()
    return root


def asked(*words: str | Path) -> str:
    result = CliRunner().invoke(command, [*map(str, words)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def refused(*words: str | Path) -> HerdError:
    with pytest.raises(HerdError) as error:
        asked(*words)
    return error.value


def test_the_screen_has_three_columns_and_says_what_they_are(directory: Path) -> None:
    told = asked(directory, "--policy", "random", "--set", "max_retries=1")
    for part in ("RECORDED", "RE-RUN", "WHAT IF", "CHANGE", "completion", "cold loads", "SLOTS"):
        assert part in told, told
    assert "What if: max_retries = 1; policy = random" in told
    assert f"{COUNT} requests are few for p95 and p99." in told


def test_where_requests_went_is_told_as_recorded_too(directory: Path) -> None:
    head, *rows = asked(directory).split("many went where")[1].splitlines()[1:]
    assert head.split()[-2:] == ["RECORDED", "RE-RUN"]
    went = [int(row.split()[-2]) for row in rows if row.startswith(("mini", "studio", "tower"))]
    assert sum(went) == COUNT


def test_without_a_question_it_is_the_re_run_alone(directory: Path) -> None:
    told = asked(directory)
    assert "RE-RUN" in told
    assert "WHAT IF" not in told


@pytest.mark.long
def test_an_incident_file_has_the_same_answer_as_its_data_directory(
    directory: Path, tmp_path: Path
) -> None:
    file = tmp_path / "all.herd"
    with Source(directory) as source:
        save(source, window(source, "now", 1e7), file)
    words = ("--json", "--policy", "round-robin", "--without", "mini")
    first, second = asked(directory, *words), asked(file, *words)
    assert json.loads(first) == json.loads(second)
    assert first == asked("--data-dir", directory, *words)


def test_a_part_of_the_log_can_be_asked_about(directory: Path) -> None:
    whole, end = (
        json.loads(asked(directory, "--json")),
        json.loads(asked(directory, "--json", "--from", "40s")),
    )
    begun = json.loads(asked(directory, "--json", "--until", "30s"))
    assert 20 < end["recorded"]["requests"] < whole["recorded"]["requests"] == COUNT
    assert 20 < begun["recorded"]["requests"] < COUNT
    assert begun["start_us"] == whole["start_us"] < end["start_us"]
    assert refused(directory, "--until", "9d").what == "nothing was recorded in that time"


def test_what_is_not_known_is_refused(directory: Path) -> None:
    assert "mini, studio, tower" in refused(directory, "--without", "nobody").next_step
    assert "round-robin" in refused(directory, "--policy", "fair").next_step
    everybody = [word for name in ("mini", "studio", "tower") for word in ("--without", name)]
    assert "nobody to answer" in refused(directory, *everybody).what


def test_too_short_a_log_is_refused(tmp_path: Path) -> None:
    error = refused(_directory(tmp_path, 12))
    assert error.what.startswith("too little is known: 12 answers")


def test_a_picture_without_matplotlib_names_the_extra(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    error = refused(directory, "--plot", "out.png")
    assert error.next_step == "pip install 'herd-balancer[plot]'"


def test_a_picture_shows_all_three(directory: Path, tmp_path: Path) -> None:
    file = tmp_path / "out.svg"
    asked(directory, "--plot", file, "--policy", "random")
    drawn = file.read_text()
    for part in ("recorded", "re-run", "what if", "first byte after, s", "minutes"):
        assert f"<!-- {part} -->" in drawn
    assert "svg" in refused(directory, "--plot", "out.doc").next_step
