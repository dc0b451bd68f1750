"""The commands of the guides are run as they are written, or listed as not run here."""

import re
import shlex
import sys
import tarfile
from pathlib import Path

import pytest

from herd.cli import main
from herd.paths import DataDir
from tests.docs import markdown
from tests.docs.demo import Demo
from tests.docs.pages import DOCS
from tests.herd.services.machine import Machine

RUNNING, CONTAINER = DOCS / "running.md", DOCS / "container.md"
NOT_RUN = re.compile(
    r"(uv tool|pipx|docker) .+"  # what installs herd, and what runs containers
    r"|herd reload --anew"  # `tests/e2e/test_reloading.py` does that to a herd of its own
    r"|herd node --router-url http://HOST:11435"  # `test_commands` knows that it is one
)
SERVICE = re.compile(r"herd (run|node) (install|uninstall|restart|logs)\b.*")
BESIDE = re.compile(r"herd (doctor|dashboard|backup|restore|reload(?! --anew))\b.*")
TYPED = [*markdown.commands(RUNNING), *markdown.commands(CONTAINER)]


def test_every_command_is_run_or_named_as_not_run() -> None:
    kinds = {text: [NOT_RUN, SERVICE, BESIDE] for text in TYPED}
    count = {text: sum(1 for each in kind if each.fullmatch(text)) for text, kind in kinds.items()}
    assert {text for text, times in count.items() if times != 1} == set()
    assert len([text for text in TYPED if SERVICE.fullmatch(text)]) >= 8
    assert len([text for text in TYPED if BESIDE.fullmatch(text)]) >= 4
    assert "Not run" in markdown.headings(RUNNING)
    assert "*Not run*" in markdown.prose(CONTAINER)


@pytest.mark.skipif(sys.platform == "win32", reason="the programs are scripts of sh")
@pytest.mark.parametrize("system", ["systemd", "launchd", "tasks"])
def test_services_come_and_go_in_the_order_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str
) -> None:
    machine = Machine(tmp_path, system)
    machine.be_here(monkeypatch)
    DataDir(tmp_path / ".fleet-manager").create()
    log = machine.manager.log("herd-balancer", tmp_path / ".fleet-manager", 1, follow=False)
    if isinstance(log, Path):
        log.write_text("it said this\n")
    for text in (text for text in markdown.commands(RUNNING) if SERVICE.fullmatch(text)):
        with pytest.raises(SystemExit) as ended:
            main(shlex.split(text)[1:])
        assert not ended.value.code, text
    for name in ("herd-balancer", "herd-node"):
        assert not machine.manager.file(name).exists()
    assert (tmp_path / ".fleet-manager").exists()


def test_the_others_do_what_they_promise(demo: Demo, tmp_path: Path) -> None:
    there = tmp_path / "DIR"
    for text in (text for text in TYPED if BESIDE.fullmatch(text)):
        words = shlex.split(text.replace("DIR", str(there)))
        assert demo.run(*words), text
    (dated,) = demo.directory.glob("herd-2*.tar.gz")
    for file in (demo.directory / "herd.tar.gz", dated):
        assert tarfile.is_tarfile(file)
    assert DataDir(there).journal.exists()
    with pytest.raises(AssertionError, match="has a log already"):
        demo.run("herd", "restore", "herd.tar.gz", "--data-dir", str(there))
