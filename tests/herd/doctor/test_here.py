"""What `herd doctor` says of this machine and its Ollama."""

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from herd.config import Settings, load
from herd.doctor import beside, here, network
from herd.doctor.finding import Finding
from herd.mdns import Balancer, MdnsError
from herd.paths import DataDir
from tests.herd.logd.rig import data_dir
from tests.herd.small_server import SmallServer

URL = "http://localhost:11434"


def state(found: list[Finding], about: str) -> str:
    return next(each.state for each in found if each.about == about)


def settings(path: Path, **more: object) -> Settings:
    return load({"data_dir": str(path), **more}, {})


def test_a_private_directory_with_room_is_good(tmp_path: Path) -> None:
    directory = data_dir(tmp_path)
    tmp_path.chmod(0o700)
    found = list(here.data_directory(directory))
    assert [(each.about, each.state) for each in found] == [
        ("disk", "good"),
        ("data directory", "good"),
    ]
    assert not list(tmp_path.glob(".doctor"))


def test_a_directory_that_others_read_is_told_of(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    found = list(here.data_directory(DataDir(tmp_path)))
    assert state(found, "data directory") == "note"
    assert found[-1].fix == f"chmod 700 {tmp_path}"


@pytest.mark.parametrize(
    ("least", "told"), [("LITTLE_DISK_BYTES", "note"), ("NO_DISK_BYTES", "bad")]
)
def test_a_full_disk_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, least: str, told: str
) -> None:
    monkeypatch.setattr(here, least, 1 << 60)
    assert state(list(here.data_directory(DataDir(tmp_path))), "disk") == told


def test_a_directory_that_is_not_there_yet_is_fine(tmp_path: Path) -> None:
    (found,) = here.data_directory(DataDir(tmp_path / "later"))
    assert found.state == "note"


def test_whoever_has_the_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = int(taken.getsockname()[1])
        (found,) = here.listener(settings(tmp_path, port=port))
    assert (found.about, found.state) == ("port", "bad")
    assert f"{port} is taken by" in found.text
    (found,) = here.listener(settings(tmp_path, port=port))
    assert found.about == "balancer"


@pytest.mark.parametrize(
    ("listens", "told"),
    [(["127.0.0.1", "::1"], "note"), (["::"], "good"), (["127.0.0.1", "192.0.2.7"], "good")],
)
def test_an_ollama_that_listens_for_itself_alone_is_told_of(listens: list[str], told: str) -> None:
    (found,) = beside.reach(URL, {"11434": listens})
    assert (found.about, found.state) == ("OLLAMA_HOST", told)
    assert ("relays" in found.fix) is (told == "note")
    assert not list(beside.reach("http://localhost:9", {"11434": listens}))


def test_a_balancer_where_ollama_is_looked_for_is_told_of() -> None:
    async def main() -> list[Finding]:
        async with SmallServer().running() as server:
            server.ollama()
            server.answers["/api/version"] = (200, {"version": "1", "herd_version": "0.1.0"})
            return await beside.ollama(server.url)

    (found,) = asyncio.run(main())
    assert (found.about, found.state) == ("Ollama", "note")
    assert "a balancer answers" in found.text
    assert "--ollama-host" in found.fix


def test_what_ollama_was_told_is_shown() -> None:
    found = list(beside.settings({"OLLAMA_NUM_PARALLEL": "4", "OLLAMA_KEEP_ALIVE": ""}))
    assert len(found) == len(beside.SETTINGS)
    assert found[0].text.startswith("4 (requests at once")
    assert all(each.text.startswith("not set (") for each in found[1:])
    (hidden,) = beside.settings(None)
    assert "belongs to somebody else" in hidden.text


def found_by(*balancers: Balancer) -> Callable[[float], object]:
    async def browse(_timeout_s: float) -> tuple[Balancer, ...]:
        return balancers

    return browse


ONE = Balancer("studio", ("http://192.0.2.7:11435",))


@pytest.mark.parametrize(
    ("balancers", "advertised", "told"),
    [((ONE,), True, "good"), ((), True, "bad"), ((), False, "note"), ((ONE, ONE), True, "note")],
)
def test_who_is_found_by_mdns(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    balancers: tuple[Balancer, ...],
    told: str,
    *,
    advertised: bool,
) -> None:
    monkeypatch.setattr(network, "browse", found_by(*balancers))
    found = asyncio.run(network.discovery(settings(tmp_path), advertised=advertised))
    assert (found.about, found.state) == ("mDNS", told)
    if told != "good":
        assert "--router-url" in found.fix


def test_multicast_that_does_not_work_names_the_way_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_timeout_s: float) -> tuple[Balancer, ...]:
        raise MdnsError("mDNS does not work here", "")

    monkeypatch.setattr(network, "browse", broken)
    found = asyncio.run(network.discovery(settings(tmp_path), advertised=False))
    assert found.state == "bad"
    assert "--router-url http://HOST:11435`" in found.fix
    elsewhere = settings(tmp_path, mdns=False, port=11500)
    off = asyncio.run(network.discovery(elsewhere, advertised=True))
    assert off.state == "note"
    assert "--router-url http://HOST:11500`" in off.fix


def test_a_balancer_for_this_machine_alone_says_so(tmp_path: Path) -> None:
    assert network.addresses(settings(tmp_path, host="127.0.0.1")).state == "note"
    assert "--host" not in network.addresses(settings(tmp_path)).text
