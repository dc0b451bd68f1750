"""What each system is told of a service: read back as that system reads it."""

import plistlib
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from configparser import RawConfigParser
from pathlib import Path

import msgspec
import pytest

from herd.services.launchd import Launchd
from herd.services.plan import STOP_S, Manager, Service, log_file
from herd.services.systemd import Systemd
from herd.services.tasks import Tasks
from herd.settings_file import read, written

NAMESPACE = {"task": "http://schemas.microsoft.com/windows/2004/02/mit/task"}
WORDS = ("run", "--port", "80", "--node", "http://studio:11434,slots=4")
ODD = "/srv/100% of $HOME/a \"b\" <c> & 'd'"


def service(directory: Path, *, words: tuple[str, ...] = WORDS, user: str = "ada") -> Service:
    return Service(
        name="herd-balancer",
        title="herd, balancer of Ollama servers",
        words=words,
        directory=directory,
        environment={"FLEET_ADMIN_TOKEN": "s3cret"},
        user=user,
    )


def managers(home: Path) -> list[Manager]:
    return [
        *(Systemd(system=system, home=home) for system in (False, True)),
        *(Launchd(system=system, home=home, user_id=501) for system in (False, True)),
        *(Tasks(system=system, folder=home) for system in (False, True)),
    ]


@pytest.mark.parametrize("number", range(6))
def test_no_file_has_a_secret_and_each_knows_its_directory(tmp_path: Path, number: int) -> None:
    manager = managers(tmp_path)[number]
    directory = Path(ODD) if number < 4 else tmp_path / "a & b"
    content = manager.content(service(directory))
    assert b"s3cret" not in content
    assert "s3cret".encode("utf-16-le") not in content
    assert manager.directory(content) == directory
    assert manager.content(service(directory)) == content, "said again, it is the same"


class Unit(RawConfigParser):
    """A file of systemd's: the case of its words counts."""

    def optionxform(self, optionstr: str) -> str:
        return optionstr


def unit(content: bytes) -> RawConfigParser:
    parsed = Unit(strict=True, delimiters=("=",))
    parsed.read_string(content.decode())
    return parsed


def test_a_service_is_given_longer_than_its_requests(tmp_path: Path) -> None:
    slow = msgspec.structs.replace(service(tmp_path), drain_s=299.5)
    for system in (False, True):
        told = unit(Systemd(system=system, home=tmp_path).content(slow))["Service"]
        assert told["TimeoutStopSec"] == "330"
        listed = Launchd(system=system, home=tmp_path, user_id=501).content(slow)
        assert plistlib.loads(listed)["ExitTimeOut"] == 330
    assert msgspec.structs.replace(slow, drain_s=4.0).stop_s == STOP_S


def test_a_unit_of_the_machine(tmp_path: Path) -> None:
    parsed = unit(Systemd(system=True, home=tmp_path).content(service(Path("/srv/herd"))))
    told = parsed["Service"]
    assert told["User"] == "ada"
    assert told["ExecStart"].split()[:4] == [sys.executable, "-P", "-m", "herd"]
    assert told["ExecStart"].endswith("run --port 80 --node http://studio:11434,slots=4")
    assert told["NotifyAccess"] == "all", "a herd that takes the place says so"
    assert told["ExecReload"].endswith("-P -m herd reload --data-dir /srv/herd")
    assert told["EnvironmentFile"] == "-/srv/herd/herd-balancer.env"
    assert told["ReadWritePaths"] == "/srv/herd"
    assert (told["KillMode"], told["TimeoutStopSec"]) == ("mixed", str(STOP_S))
    assert parsed["Install"]["WantedBy"] == "multi-user.target"
    closing = {"ProtectClock", "PrivateDevices", "DevicePolicy", "DeviceAllow", "ProtectHome"}
    assert not closing & set(told), "the agent asks graphics cards, and data may be at home"


def test_a_unit_of_a_user_has_neither_user_nor_what_only_the_machine_may(tmp_path: Path) -> None:
    parsed = unit(Systemd(system=False, home=tmp_path).content(service(Path("/srv/herd"))))
    assert not {"User", "ProtectSystem", "CapabilityBoundingSet"} & set(parsed["Service"])
    assert parsed["Install"]["WantedBy"] == "default.target"


def test_words_mean_to_systemd_what_they_meant_in_the_shell(tmp_path: Path) -> None:
    words = ("run", "--node", "http://a b:1", "--log-level", '100%"$x\\')
    content = Systemd(system=False, home=tmp_path).content(service(Path("/srv/herd"), words=words))
    line = unit(content)["Service"]["ExecStart"]
    assert line.endswith(r'run --node "http://a b:1" --log-level "100%%\"$$x\\"')


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize("system", [False, True])
def test_systemd_finds_nothing_wrong(tmp_path: Path, system: bool) -> None:  # noqa: FBT001 (a parameter)
    directory = tmp_path / 'of "ada" 100%'
    directory.mkdir()
    file = tmp_path / "herd-balancer.service"
    asked = service(directory, user="root", words=("run", "--log-level", 'a "b" $c %d'))
    file.write_bytes(Systemd(system=system, home=tmp_path).content(asked))
    scope = "--system" if system else "--user"
    found = subprocess.run(
        ["systemd-analyze", scope, "--man=no", "verify", str(file)],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": str(tmp_path)},
    )
    ours = [line for line in found.stderr.splitlines() if "herd-balancer" in line]
    assert ours == [], found.stderr


def test_a_list_of_launchd(tmp_path: Path) -> None:
    manager = Launchd(system=False, home=tmp_path, user_id=501)
    told = plistlib.loads(manager.content(service(tmp_path)))
    words = told["ProgramArguments"]
    assert words[:4] == [sys.executable, "-P", "-m", "herd.services.start"]
    assert words[4:6] == [str(tmp_path / "herd-balancer.env"), "-"]
    assert words[6:] == list(service(tmp_path).words)
    assert (told["RunAtLoad"], told["KeepAlive"]) == (True, True)
    assert told["ExitTimeOut"] == STOP_S
    assert told["StandardErrorPath"] == str(log_file("herd-balancer", tmp_path))
    assert "UserName" not in told
    assert manager.file("herd-balancer").is_relative_to(tmp_path / "Library/LaunchAgents")
    ours = Launchd(system=True, home=tmp_path, user_id=0)
    assert plistlib.loads(ours.content(service(tmp_path)))["UserName"] == "ada"


def test_a_task_of_windows(tmp_path: Path) -> None:
    asked = service(tmp_path, words=("run", "--node", "http://a b:1"))
    for system, trigger in ((False, "LogonTrigger"), (True, "BootTrigger")):
        root = ET.fromstring(Tasks(system=system, folder=tmp_path).content(asked))  # noqa: S314 (ours)
        found = root.find("task:Actions/task:Exec", NAMESPACE)
        assert found is not None
        assert found.findtext("task:Command", "", NAMESPACE) == sys.executable
        arguments = found.findtext("task:Arguments", "", NAMESPACE)
        assert arguments.endswith('run --node "http://a b:1"')
        assert root.find(f"task:Triggers/task:{trigger}", NAMESPACE) is not None
        theirs = root.findtext(f"task:Triggers/task:{trigger}/task:UserId", "", NAMESPACE)
        assert theirs == ("" if system else "ada"), "another's log-on is no business of a user"
        again = root.findtext("task:Settings/task:RestartOnFailure/task:Count", "", NAMESPACE)
        assert int(again) > 0


def test_variables_are_read_as_they_were_written() -> None:
    told = {"A": 'say "hi" $HOME `x` \\ back', "FLEET_NODES": "a b\nc", "B": ""}
    assert read(written(told)) == told
    assert written(told).startswith(r'A="say \"hi\" \$HOME \`x\` \\ back"')
