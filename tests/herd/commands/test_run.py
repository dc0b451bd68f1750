"""What a running herd says of itself, and when."""

from collections.abc import Callable
from pathlib import Path

import click
import msgspec
import pytest
from click.testing import CliRunner

from herd import node_address
from herd.commands import run
from herd.commands.run import banner, watch
from herd.config import Settings
from herd.errors import HerdError
from herd.node_address import NodeAddress, parse_nodes

ADDRESS = Settings(host="127.0.0.1", port=4321)


def has_none(_settings: Settings) -> int:
    return 0


def has_some(_settings: Settings) -> int:
    return 3


def does_not_say(_settings: Settings) -> None:
    return None


def test_the_banner_says_where_it_is_and_how_to_use_it(tmp_path: Path) -> None:
    local = NodeAddress("http://localhost:11434", origin="local")
    nodes = (local, NodeAddress("http://studio:11434", 4), NodeAddress("http://mini:11434"))
    settings = Settings(host="127.0.0.1", port=4321, data_dir=str(tmp_path), nodes=nodes)
    lines = banner(settings).splitlines()
    assert click.unstyle(lines[0]).startswith("herd 0.")
    assert lines[0].endswith("http://127.0.0.1:4321")
    assert [line.split(maxsplit=1) for line in lines[1:]] == [
        ["data", str(tmp_path)],
        ["nodes", f"{local.url} (this machine), http://studio:11434 (4 slots), http://mini:11434"],
        ["Ollama", "OLLAMA_HOST=127.0.0.1:4321 ollama run MODEL"],
        ["OpenAI", 'base_url="http://127.0.0.1:4321/v1"'],
        ["look", "http://127.0.0.1:4321/dashboard, herd status, herd log -f"],
    ]


def test_a_balancer_for_the_network_gives_its_address_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run, "_lan_address", lambda: "192.168.1.5")
    lines = banner(Settings(port=4321)).splitlines()
    assert lines[0].endswith("http://localhost:4321")
    assert lines[1].split() == ["network", "http://192.168.1.5:4321"]


def test_the_banner_says_that_the_log_has_another_name(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "herd.jsonl").touch()
    last = banner(Settings(data_dir=str(tmp_path))).splitlines()[-1]
    assert str(tmp_path / "logs" / "herd-balancer.jsonl") in last


@pytest.mark.parametrize(
    ("told", "line"),
    [
        (has_some, "http://a:1, 2 known from before: online as soon as their agents are heard"),
        (has_none, "http://a:1"),
        (does_not_say, "http://a:1"),
    ],
)
def test_the_banner_counts_those_that_the_log_knows(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    told: Callable[[Settings], int | None],
    line: str,
) -> None:
    monkeypatch.setattr(run, "_nodes", told)
    settings = msgspec.structs.replace(ADDRESS, nodes=(NodeAddress("http://a:1"),))
    watch(settings).all_ready()
    assert f"  nodes    {line}\n" in capsys.readouterr().out


def test_no_node_after_a_while_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "_nodes", has_none)
    watched = watch(ADDRESS)
    watched.all_ready()
    for errand in watched.errands:
        errand.perform()
    assert capsys.readouterr().err == (
        "herd: no node yet: run `herd node` on a machine with Ollama, or `--node URL`\n"
    )


def test_with_a_node_nothing_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "_nodes", has_some)
    watched = watch(ADDRESS)
    watched.all_ready()
    for errand in watched.errands:
        errand.perform()
    assert not capsys.readouterr().err


def test_a_slow_start_is_explained_and_the_nodes_are_not_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "_nodes", has_none)
    for errand in watch(ADDRESS).errands:
        errand.perform()
    assert capsys.readouterr().err.startswith("herd: still starting")


def test_a_terminal_that_has_gone_does_not_end_the_herd(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object, **__: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(click, "echo", gone)
    watch(ADDRESS).all_ready()
    run.say("still here")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "192.0.2.7"])
def test_a_balancer_is_no_node_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, host: str
) -> None:
    monkeypatch.setattr(node_address, "own_addresses", lambda: ("192.0.2.7",))
    flags = ["--data-dir", str(tmp_path), "--port", "4321", "--node"]
    done = CliRunner().invoke(run.command, [*flags, f"http://{host}:4321"])
    assert isinstance(done.exception, HerdError)
    assert done.exception.what == f"--node http://{host}:4321: this is the balancer itself"
    assert "11434" in done.exception.next_step
    others = ("http://localhost:4322", "http://studio:4321", "http+unix:///run/a.sock")
    node_address.refuse_itself(parse_nodes(others), 4321)
