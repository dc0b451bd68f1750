import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from herd import _siblings, cli, commands
from herd.cli import COMMANDS
from herd.config import Settings
from herd.errors import HerdError
from herd.node_address import NodeAddress
from herd.processes.reloading import Source

REPOSITORY = Path(__file__).parents[2]
HEAVY = ("asyncio", "duckdb", "events", "msgspec", "psutil", "rich", "uvloop", "zeroconf")


def herd(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert isinstance(caught.value.code, int)
    return caught.value.code


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """Return what `herd run` would have started."""
    from herd.commands import run

    for name in [name for name in os.environ if name.startswith("FLEET_")]:
        monkeypatch.delenv(name)
    found: list[Settings] = []

    def start(source: Source, *_: object, **__: object) -> None:
        found.append(source.settings)

    monkeypatch.setattr(run, "with_local_ollama", same)
    monkeypatch.setattr(run, "run_balancer", start)
    return found


def same(settings: Settings) -> Settings:
    return settings


def test_every_command_is_in_the_table_and_no_other() -> None:
    modules = {module.name for module in pkgutil.iter_modules(commands.__path__)}
    assert modules == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_can_be_asked_for_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert herd(name, "--help") == 0
    told = capsys.readouterr().out
    assert f"Usage: herd {name}" in told
    assert "\\b" not in told, "a mark of click's that a raw docstring shows as it is"


def test_help_and_version_import_nothing_heavy() -> None:
    program = (
        "import sys\nfrom herd import cli\n"
        "try: cli.main([sys.argv[1]])\nexcept SystemExit: pass\n"
        f"print([m for m in {HEAVY} if m in sys.modules])"
    )
    for option, expected in (("--version", "herd 0."), ("--help", "\n  run ")):
        shown = subprocess.run(
            [sys.executable, "-c", program, option], capture_output=True, text=True, check=True
        )
        assert expected in shown.stdout
        assert shown.stdout.endswith("\n[]\n")


@pytest.mark.parametrize("arguments", [[], ["run"]])
def test_bare_herd_is_herd_run(started: list[Settings], arguments: list[str]) -> None:
    assert herd(*arguments) == 0
    assert started == [Settings()]


def test_the_options_of_run_reach_the_settings(started: list[Settings]) -> None:
    assert herd("--port", "1", "--node", "a", "--node", "b:2,slots=3", "--no-mdns") == 0
    assert started[0].port == 1
    assert started[0].nodes == (
        NodeAddress("http://a:11434"),
        NodeAddress("http://b:2", 3),
    )
    assert not started[0].mdns
    assert set(started[0].fixed) == {"port", "nodes", "mdns"}


def test_what_is_expected_to_fail_says_so_in_two_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from herd.commands import run

    def fail(*_: object, **__: object) -> None:
        raise HerdError("port 1 is taken", "choose another one")

    monkeypatch.setattr(run, "with_local_ollama", same)
    monkeypatch.setattr(run, "run_balancer", fail)
    assert herd("run") == 1
    assert capsys.readouterr().err == "herd: port 1 is taken\n      choose another one\n"


@pytest.mark.parametrize("path", ["", "log/journal"])
def test_what_the_system_forbids_to_read_is_named_without_a_traceback(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def forbid(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(tmp_path / path))

    monkeypatch.setattr(cli.group, "main", forbid)

    def closed(_path: Path, _mode: int) -> bool:
        return False

    monkeypatch.setattr(os, "access", closed)  # root may read everywhere
    assert herd("log") == 1
    told, step = capsys.readouterr().err.splitlines()
    assert told == f"herd: {tmp_path / path} cannot be read: Permission denied"
    assert "as the user who runs herd" in step


def test_what_the_system_forbids_to_write_is_named_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def forbid(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(tmp_path / "new"))

    monkeypatch.setattr(cli.group, "main", forbid)
    assert herd("export") == 1
    assert f"{tmp_path / 'new'} cannot be written: Permission denied" in capsys.readouterr().err


@pytest.mark.parametrize("words", [("dashboard",), ("reload",), ("nodes", "token"), ("status",)])
def test_a_directory_of_another_user_is_not_one_where_no_herd_runs(
    words: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse(self: Path) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert herd(*words, "--data-dir", str(tmp_path)) == 1
    assert f"herd: {tmp_path} cannot be read: Permission denied" in capsys.readouterr().err


def test_a_wrong_value_names_its_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert herd("--workers", "-1") == 1
    assert capsys.readouterr().err == "herd: --workers cannot be -1: Expected `int` >= 0\n"


def test_an_unknown_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert herd("stampede") == 2
    assert "No such command 'stampede'" in capsys.readouterr().err


def test_a_ctrl_c_leaves_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise click.Abort

    monkeypatch.setattr(cli.group, "main", interrupt)
    assert herd("status") == 130
    assert capsys.readouterr().err == "stopped\n"


def test_herd_node_is_a_command_of_herd(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[list[str]] = []

    def remember(arguments: list[str], **_: object) -> None:
        asked.append(arguments)

    monkeypatch.setattr(cli.group, "main", remember)
    monkeypatch.setattr(sys, "argv", ["herd-node", "--node-id", "studio"])
    with pytest.raises(SystemExit):
        cli.node_main()
    assert asked == [["node", "--node-id", "studio"]]
    assert not capsys.readouterr().err


def test_the_siblings_are_ours() -> None:
    _siblings.check_siblings()


@pytest.mark.parametrize("name", ["actors", "events"])
@pytest.mark.parametrize("content", ["", "import a_thing_that_is_missing"])
def test_a_foreign_sibling_is_named_before_anything_else(
    tmp_path: Path, name: str, content: str
) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text(content)
    metadata = tmp_path / "Foreign-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: Foreign\nVersion: 1.0\n")
    (metadata / "top_level.txt").write_text(f"{name}\n")
    (metadata / "RECORD").write_text(f"{name}/__init__.py,,\n")
    shown = subprocess.run(
        [sys.executable, "-m", "herd", "run", "--port", "x"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{REPOSITORY}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 1
    assert shown.stderr.startswith(f"herd: `import {name}` found ")
    assert "which is not herd's. It belongs to: Foreign\n" in shown.stderr
    assert "install herd in its own environment" in shown.stderr
