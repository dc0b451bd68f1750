"""The port is ours alone, from before anybody listens until after the last one has stopped."""

import contextlib
import os
import socket
from collections.abc import Iterator

import pytest

from herd import platform
from herd.errors import HerdError
from herd.processes import port as ports
from herd.processes.port import EVERYWHERE, Claim, claim

HOST = "127.0.0.1"


@pytest.fixture
def claimed() -> Iterator[Claim]:
    ours = claim(HOST, 0, 2)
    yield ours
    ours.release()


def listening(port: int) -> socket.socket:
    """Listen as a front does."""
    front = socket.socket()
    front.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as asyncio's servers have it
    front.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    front.bind((HOST, port))
    front.listen()
    front.settimeout(2)
    return front


def refused(host: str, port: int) -> str:
    with pytest.raises(HerdError) as caught:
        claim(host, port, 2)
    return caught.value.what


def test_a_free_port_is_found_and_kept_though_nobody_listens(claimed: Claim) -> None:
    assert claimed.port > 0
    with contextlib.closing(socket.socket()) as other, pytest.raises(OSError, match="in use"):
        other.bind((HOST, claimed.port))


def test_a_second_herd_finds_it_taken_before_any_front_listens(claimed: Claim) -> None:
    assert f"port {claimed.port} is taken by" in refused(HOST, claimed.port)


@pytest.mark.skipif(platform.PORT_SHARING != "reuseport", reason="each front binds only on Linux")
def test_fronts_share_the_port_and_the_kept_socket_takes_no_connection(claimed: Claim) -> None:
    with contextlib.ExitStack() as stack:
        fronts = [stack.enter_context(listening(claimed.port)) for _ in range(2)]
        fronts[1].close()
        for _ in range(8):
            stack.enter_context(socket.create_connection((HOST, claimed.port), timeout=2))
        accepted = [stack.enter_context(fronts[0].accept()[0]) for _ in range(8)]
    assert len(accepted) == 8


@pytest.mark.skipif(platform.PORT_SHARING != "reuseport", reason="elsewhere it always listens")
def test_the_only_front_listens_on_the_kept_socket_and_leaves_it_listening() -> None:
    ours = claim(HOST, 0, 1)
    try:
        assert ours.listeners == ours.held
        [kept] = ours.held
        assert not ports.listens(kept)
        assert f"port {ours.port} is taken by" in refused(HOST, ours.port)
        with socket.socket(fileno=os.dup(kept.fileno())) as front:
            assert ports.same(front, kept)
            front.listen()
        with socket.create_connection((HOST, ours.port), timeout=2) as client:
            client.sendall(b"?")
            accepted, _ = kept.accept()
            assert accepted.recv(1) == b"?"
            accepted.close()
        ours.accept_no_more()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((HOST, ours.port), timeout=2)
    finally:
        ours.release()


def test_an_inherited_listener_takes_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "PORT_SHARING", "inherited")
    ours = claim(HOST, 0, 2)
    assert len(ours.listeners) == 1
    with socket.create_connection((HOST, ours.port), timeout=2):
        accepted, _ = ours.listeners[0].accept()
        accepted.close()
    ours.release()


def test_a_released_port_is_free_at_once_although_connections_linger() -> None:
    ours = claim(HOST, 0, 2)
    with listening(ours.port) as front, socket.create_connection((HOST, ours.port), timeout=2):
        accepted, _ = front.accept()
        accepted.close()  # we close first: TIME_WAIT is on our side
    ours.release()
    again = claim(HOST, ours.port, 2)
    assert again.port == ours.port
    again.release()


def test_any_listener_is_found_and_named_even_one_that_shares() -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind((HOST, 0))
        other.listen()
        said = refused("0.0.0.0", other.getsockname()[1])  # noqa: S104 (what herd does)
    assert said.endswith(f"(pid {os.getpid()})")


def test_an_owner_that_is_not_ours_to_see_is_another_program() -> None:
    with contextlib.closing(socket.socket()) as free:
        free.bind((HOST, 0))
        assert ports.owner(free.getsockname()[1]) == "another program"


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("203.0.113.7", "--host 203.0.113.7 is no address of this machine"),
        ("no such name", "--host no such name is no address"),
    ],
)
def test_an_impossible_host_is_refused_by_name(host: str, reason: str) -> None:
    assert refused(host, 0).startswith(reason)


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_all_interfaces_are_those_of_both_versions_each_with_its_own_addresses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(platform, "PORT_SHARING", "inherited")
    ours = claim("", 0, 2)
    try:
        peers: list[str] = []
        for listener, host in zip(ours.listeners, ("127.0.0.1", "::1"), strict=True):
            with socket.create_connection((host, ours.port), timeout=2):
                accepted, peer = listener.accept()
                accepted.close()
                peers.append(peer[0])
        assert peers == ["127.0.0.1", "::1"]
    finally:
        ours.release()


def test_a_machine_without_ipv6_listens_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_has_ipv6", lambda: False)
    assert ports.hosts("") == EVERYWHERE[:1]
    assert ports.hosts("::1") == ("::1",)
