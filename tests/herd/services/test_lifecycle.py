"""From `install` to `uninstall --purge`, with a system that only notes what it is told."""

import io
import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from herd.cli import main
from herd.errors import HerdError
from herd.paths import DataDir
from herd.platform import FileLock
from herd.services import command
from herd.services.lifecycle import by_the_system, show_log
from herd.services.plan import Manager
from herd.services.systemd import Systemd

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="owners and modes of files")


class Told:
    """A systemd that notes its commands, and the home that it serves."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.commands: list[str] = []
        self.refuses = ""
        running = home / "running"
        running.mkdir()
        self.manager = Systemd(system=False, home=home, running=running)
        self.unit = self.manager.file("herd-balancer")
        self.data = home / "data"

    def run(self, words: tuple[str, ...]) -> tuple[int, str]:
        self.commands.append(" ".join(words))
        refused = bool(self.refuses) and self.refuses in words
        return (1, "Access denied") if refused else (0, "")

    def of_service(self, name: str) -> Manager | None:
        return self.manager if self.manager.file(name).exists() else None


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Told:
    found = Told(tmp_path)
    for name in list(os.environ):
        if name.startswith("FLEET_") or name == "OLLAMA_HOST":
            monkeypatch.delenv(name)
    monkeypatch.setattr(command, "here", lambda: found.manager)
    monkeypatch.setattr(command, "of_service", found.of_service)
    monkeypatch.setattr(command, "by_the_system", found.run)
    monkeypatch.setattr(command, "is_superuser", lambda: False)
    monkeypatch.setattr("herd.services.asked.is_superuser", lambda: False)
    monkeypatch.setattr("herd.services.owners.is_superuser", lambda: False)
    return found


def ends(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(words)
    return int(ended.value.code or 0)


def herd(*words: str) -> None:
    assert ends(*words) == 0


def test_installed_it_runs_with_what_was_given(
    told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    herd("run", "install", "--port", "11500", "--data-dir", str(told.data), "--no-mdns")
    assert f"run --port 11500 --no-mdns --data-dir {told.data}" in told.unit.read_text()
    assert [line.split()[2] for line in told.commands] == ["daemon-reload", "enable", "restart"]
    said = capsys.readouterr().out
    assert str(told.unit) in said
    assert "herd run logs" in said
    assert stat.S_IMODE(told.data.stat().st_mode) == 0o700
    assert not list(told.data.iterdir()), "without variables there is no file of them"


def test_said_again_it_changes_nothing_and_another_time_what_is_there(told: Told) -> None:
    given = ("run", "install", "--data-dir", str(told.data))
    herd(*given)
    herd(*given)
    assert told.commands[-1].endswith("start herd-balancer.service")
    herd(*given, "--port", "11500")
    assert told.commands[-1].endswith("restart herd-balancer.service")
    assert "--port 11500" in told.unit.read_text()


def test_secrets_and_variables_are_their_owner_s_alone(
    told: Told, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FLEET_JOIN", "token")
    monkeypatch.setenv("FLEET_DATA_DIR", str(told.home / "not this"))
    herd("node", "install", "--join-token", "s3cret", "--data-dir", str(told.data), "--json")
    unit = told.manager.file("herd-node").read_text()
    variables = told.data / "herd-node.env"
    assert "s3cret" not in unit + capsys.readouterr().out
    assert variables.read_text() == 'FLEET_JOIN="token"\nFLEET_NODE_JOIN_TOKEN="s3cret"\n'
    assert stat.S_IMODE(variables.stat().st_mode) == 0o600


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize("system", [False, True])
@pytest.mark.parametrize(
    "words",
    [
        ("run", "--node", "http://studio:11434,slots=4", "--port", "80", "--workers", "2"),
        ("node", "--wake", "--hours", "mon-fri 19:00-07:00, sat-sun 0:00-24:00", "--relay"),
    ],
    ids=["run", "node"],
)
def test_systemd_finds_nothing_wrong_with_what_is_installed(
    told: Told, words: tuple[str, ...], capsys: pytest.CaptureFixture[str], *, system: bool
) -> None:
    told.manager = Systemd(system=system, home=told.home, running=told.home / "running")
    kind, *given = words
    herd(kind, "install", *given, "--data-dir", str(told.data), "--print")
    unit = told.home / ("herd-balancer.service" if kind == "run" else "herd-node.service")
    unit.write_text(capsys.readouterr().out)
    found = subprocess.run(
        ["systemd-analyze", "--system" if system else "--user", "--man=no", "verify", str(unit)],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": str(told.home)},
    )
    ours = [line for line in found.stderr.splitlines() if unit.stem in line]
    assert (ours, found.returncode) == ([], 0), found.stderr


def test_what_was_written_into_the_settings_file_stays(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    told.data.mkdir()
    variables = told.data / "herd-balancer.env"
    variables.write_text("# restored, or mine\nFLEET_POLICY=soonest\nFLEET_JOIN=open\n")
    given = ("run", "install", "--data-dir", str(told.data))
    herd(*given)
    assert variables.read_text() == "# restored, or mine\nFLEET_POLICY=soonest\nFLEET_JOIN=open\n"
    monkeypatch.setenv("FLEET_JOIN", "token")
    herd(*given)
    assert (
        variables.read_text() == '# restored, or mine\nFLEET_POLICY=soonest\nFLEET_JOIN="token"\n'
    )
    variables.write_text("policy soonest\n")
    assert ends(*given) == 1
    assert variables.read_text() == "policy soonest\n", "who wrote that is asked, and nothing done"


def test_print_shows_all_of_it_and_does_nothing(
    told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    herd("run", "install", "--print", "--data-dir", str(told.data))
    said = capsys.readouterr()
    assert said.out.startswith("[Unit]")
    assert "systemctl --user enable herd-balancer.service" in said.err
    assert (told.unit.exists(), told.data.exists(), told.commands) == (False, False, [])
    herd("node", "install", "--print", "--json", "--wake", "--data-dir", str(told.data))
    plan = json.loads(capsys.readouterr().out)
    assert plan["content"].startswith("[Unit]")
    assert plan["words"][:4] == ["herd", "node", "--wake", "auto"]
    assert (told.unit.exists(), told.data.exists(), told.commands) == (False, False, [])


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("run", "install", "--policy", "none such"), "none such"),
        (("run", "install", "--tls-cert", "/no/such.pem"), "/no/such.pem"),
        (("node", "install", "--hours", "25:00-26:00"), "25:00"),
        (("node", "install", "--wake", "02:03"), "02:03"),
        (("node", "install", "--ca-file", "/no/such.pem"), "/no/such.pem"),
    ],
)
def test_what_could_not_run_is_not_installed(
    told: Told, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], reason: str
) -> None:
    assert ends(*words, "--data-dir", str(told.data))
    assert reason in capsys.readouterr().err
    assert told.commands == []


def test_an_option_before_the_word_is_not_lost_silently(
    told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ends("run", "--port", "1", "install")
    assert "write --port after `install`" in capsys.readouterr().err
    assert told.commands == []


def test_without_systemd_it_says_so_and_what_to_do(
    told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    (told.home / "running").rmdir()
    assert ends("run", "install", "--data-dir", str(told.data))
    said = capsys.readouterr().err
    assert "systemd does not run this machine" in said
    assert "--print" in said


def test_a_refusal_is_told_in_the_system_s_words_and_changes_nothing(
    told: Told, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ("run", "install", "--data-dir", str(told.data))
    herd(*given)
    before = told.unit.read_bytes()
    monkeypatch.setenv("FLEET_ADMIN_TOKEN", "s3cret")
    told.refuses = "enable"
    assert ends(*given, "--port", "11500")
    assert "enable herd-balancer.service` failed: Access denied" in capsys.readouterr().err
    assert told.unit.read_bytes() == before
    assert not list(told.data.glob("*.env*"))
    told.refuses = ""
    herd(*given, "--port", "11500")
    assert "restart" in told.commands[-1], "what was not carried out counts as a change again"


def test_what_cannot_be_stopped_is_not_taken_away(
    told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    herd("run", "install", "--data-dir", str(told.data))
    told.refuses = "disable"
    assert ends("run", "uninstall", "--purge", "--yes")
    assert "Access denied" in capsys.readouterr().err
    assert told.unit.exists()
    (told.home / "running").rmdir()
    herd("run", "uninstall")
    assert not told.unit.exists(), "where no systemd runs, none has to stop it"


def test_restarted_it_is_what_is_installed_now(
    told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ends("run", "restart")
    assert "herd run install" in capsys.readouterr().err
    given = ("run", "install", "--data-dir", str(told.data))
    herd(*given)
    herd("run", "restart")
    assert told.commands[-1] == "systemctl --user restart herd-balancer.service"
    capsys.readouterr()
    herd(*given)
    assert "herd run restart" in capsys.readouterr().out, "said where nothing else changed"


def test_a_service_of_the_machine_is_root_s(
    told: Told, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    of_the_machine = Systemd(system=True, home=told.home)

    def found(_name: str) -> Manager:
        return of_the_machine

    monkeypatch.setattr(command, "of_service", found)
    for word in ("restart", "uninstall"):
        assert ends("run", word)
        assert f"as root: herd run {word}" in capsys.readouterr().err
    assert told.commands == []
    assert ends("run", "install", "--user", "ada")
    assert "only root" in capsys.readouterr().err


def _install(told: Told) -> DataDir:
    herd("run", "install", "--data-dir", str(told.data))
    directory = DataDir(told.data)
    directory.create()
    (directory.journal / "a segment").write_bytes(b"x" * 2_000_000)
    (told.data / "of somebody else").write_text("kept")
    return directory


def test_uninstalled_its_data_stays_and_is_told(
    told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    _install(told)
    herd("run", "uninstall")
    assert not told.unit.exists()
    assert "disable --now" in told.commands[-2]
    assert f"{told.data} keeps 2.0 MB; --purge deletes it" in capsys.readouterr().out
    herd("run", "uninstall", "--json", "--data-dir", str(told.data))
    again = json.loads(capsys.readouterr().out)
    assert (again["was_installed"], again["purged"]) == (False, False)
    assert again["size_bytes"] >= 2_000_000


def test_purge_asks_and_takes_only_what_is_herd_s(
    told: Told, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = _install(told)
    answers = iter([False, True])

    def agreed(_directory: DataDir, _size: int) -> bool:
        return next(answers)

    monkeypatch.setattr(command, "_agreed", agreed)
    herd("run", "uninstall", "--purge")
    assert directory.journal.exists(), "he said no"
    herd("run", "uninstall", "--purge", "--data-dir", str(told.data))
    assert "deleted" in capsys.readouterr().out
    assert [each.name for each in told.data.iterdir()] == ["of somebody else"]


def test_in_a_script_nothing_is_deleted_without_a_yes(
    told: Told, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = _install(told)
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert ends("run", "uninstall", "--purge") == 1
    assert "say --yes" in capsys.readouterr().err
    assert directory.journal.exists()


def test_nothing_is_deleted_under_a_herd_that_runs(
    told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = _install(told)
    lock = FileLock(directory.lock)
    assert lock.take()
    try:
        assert ends("run", "uninstall", "--purge", "--yes")
    finally:
        lock.release()
    assert "still runs" in capsys.readouterr().err
    assert directory.journal.exists()


def test_logs_are_those_of_the_service(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    herd("run", "install", "--data-dir", str(told.data))
    shown: list[tuple[str, ...]] = []
    monkeypatch.setattr(command, "become", shown.append)
    herd("run", "logs", "-n", "7", "-f")
    assert shown == [
        ("journalctl", "--user-unit", "herd-balancer.service", "--lines", "7", "--follow")
    ]


def test_logs_of_no_service(told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    assert ends("node", "logs")
    assert "herd node install" in capsys.readouterr().err
    assert told.commands == []


def test_a_log_that_is_a_file(tmp_path: Path) -> None:
    file = tmp_path / "herd.out"
    with pytest.raises(HerdError, match="nothing was written"):
        next(show_log(file, 2, follow=False))
    file.write_text("1\n2\n3\n")
    assert list(show_log(file, 2, follow=False)) == ["2\n", "3\n"]
    following = show_log(file, 1, follow=True)
    assert next(following) == "3\n"
    with file.open("a") as opened:
        opened.write("4\n")
    assert next(following) == "4\n"


def test_a_command_of_the_system_that_is_not_there() -> None:
    code, said = by_the_system(("no-such-command-of-herd",))
    assert code
    assert "no-such-command-of-herd" in said


def test_started_with_the_variables_of_its_file(tmp_path: Path) -> None:
    variables = tmp_path / "x.env"
    variables.write_text('FLEET_PORT="11999"\nFLEET_LOG_LEVEL="loud"\n')
    words = ("herd.services.start", str(variables), str(tmp_path / "logs" / "out"), "run")
    code, _ = by_the_system((sys.executable, "-m", *words, "--data-dir", str(tmp_path / "d")))
    assert code, "it is not started with a wrong value"
    assert "loud" in (tmp_path / "logs" / "out").read_text()
