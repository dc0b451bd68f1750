"""The container file says what a plain environment can do: it is not run here."""

import json
import re
import subprocess
import sys
import tomllib
from typing import Any

import pytest
import yaml

from herd.processes.supervisor import FINISH_S
from tests.architecture.tree import ROOT
from tests.docs.demo import Demo
from tests.docs.pages import DOCS

FOLDER = DOCS / "container"


def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"\\\n\s*", "", (FOLDER / "Containerfile").read_text("utf-8"))
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def told(word: str) -> list[str]:
    return [rest for name, rest in instructions() if name == word]


def test_all_that_a_wheel_is_made_of_is_copied_and_nothing_else_is_sent() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    words = [word for rest in told("COPY") if "--from" not in rest for word in rest.split()[:-1]]
    assert set(words) == {"pyproject.toml", "README.md", "LICENSE", *packages}
    assert all((ROOT / word).exists() for word in words)
    sent = (FOLDER / "Containerfile.dockerignore").read_text("utf-8").splitlines()
    assert sent[0] == "*"
    assert {line[1:] for line in sent if line.startswith("!")} == set(words)


def test_it_runs_herd_itself_as_nobody_in_particular() -> None:
    assert json.loads(told("ENTRYPOINT")[0]) == ["herd"], "no shell keeps its signals"
    assert json.loads(told("CMD")[0]) == ["run"]
    assert told("USER") == ["herd"]
    assert told("ENV") == ["FLEET_DATA_DIR=/data PATH=/opt/herd/bin:$PATH"]
    assert told("COPY")[-1] == "--from=build /opt/herd /opt/herd", "where its venv was made"
    assert told("VOLUME") == ["/data"]


def test_its_version_of_python_is_one_of_ours() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    named = {f"python:{word.rpartition(' ')[2]}-slim" for word in project["project"]["classifiers"]}
    assert {rest.split()[0] for rest in told("FROM")} <= named


@pytest.mark.parametrize("there", [True, False])
def test_it_is_healthy_while_herd_is(demo: Demo, *, there: bool) -> None:
    _, program, code = json.loads(told("HEALTHCHECK")[0].partition(" CMD ")[2])
    assert program == "-c"
    assert "'FLEET_PORT', 11435" in code
    port = {"FLEET_PORT": str(demo.port if there else 9)}
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, env=port)
    assert (ended.returncode == 0) is there


def test_compose_gives_it_the_host_s_network_and_time_to_end() -> None:
    file: Any = yaml.safe_load((FOLDER / "compose.yaml").read_text("utf-8"))
    herd = file["services"]["herd"]
    assert herd["network_mode"] == "host"
    assert (FOLDER / herd["build"]["context"]).resolve() == ROOT
    assert (ROOT / herd["build"]["dockerfile"]).exists()
    assert herd["volumes"] == ["herd:/data"]
    assert "herd" in file["volumes"]
    assert int(herd["stop_grace_period"].rstrip("s")) > FINISH_S
