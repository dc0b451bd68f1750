"""The port: found free, then kept for the life of herd.

Two listeners with SO_REUSEPORT bind one port silently, so the first bind is **without** it and
finds any other listener; then a bound socket that does not listen keeps the port while fronts
come and go. Where fronts cannot share a port, or there is but one, they inherit the kept socket: it
listens on when they die, and whoever comes meanwhile waits for the next.

All interfaces are two sockets, one for each version of IP: one for both would tell of IPv4 peers by
addresses in IPv6's clothes.
"""

import errno
import os
import socket
from typing import NamedTuple, TypeAlias

from herd import platform
from herd.errors import HerdError

BACKLOG = 1024
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 (a balancer for the network; guarded by who may ask)


Listeners: TypeAlias = tuple[socket.socket, ...]
"""What fronts inherit, to listen on; nothing where each binds the port itself."""


class Claim(NamedTuple):
    """A port that is ours while `held` are open."""

    port: int
    held: Listeners
    listeners: Listeners

    def release(self) -> None:
        """Give the port back."""
        for kept in self.held:
            kept.close()

    def accept_no_more(self) -> None:
        """Let nobody wait for fronts that are about to end."""
        if self.listeners:
            self.release()


def hosts(host: str) -> tuple[str, ...]:
    """Return the addresses to listen on: of all interfaces, if none is named."""
    if host:
        return (host,)
    return EVERYWHERE if _has_ipv6() else EVERYWHERE[:1]


def inherits(workers: int) -> bool:
    """Return whether so many fronts inherit what they listen on."""
    sharing = platform.PORT_SHARING
    return sharing == "inherited" or (sharing == "reuseport" and workers <= 1)


def claim(host: str, port: int, workers: int, *, shared: bool = False) -> Claim:
    """Take the port for so many fronts, or raise naming who has it; port 0 takes a free one.

    `shared`: another herd of this user has it still.
    """
    held: list[socket.socket] = []
    try:
        for each in hosts(host):
            port, kept = _claim(each, port, alone=not shared)
            held += [kept] if kept is not None else []
    except BaseException:
        for kept in held:
            kept.close()
        raise
    return Claim(port, tuple(held), tuple(held) if inherits(workers) else ())


def _claim(host: str, port: int, *, alone: bool) -> tuple[int, socket.socket | None]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise HerdError(f"--host {host} is no address: {error.strerror}") from error
    family, address = found[0][0], found[0][4]
    probe = _socket(family)
    try:
        if alone:
            platform.bind_alone(probe, address)
        else:
            platform.bind_shared(probe, address)
            return _port(probe), probe
        if platform.PORT_SHARING == "inherited":
            probe.listen(BACKLOG)
            return _port(probe), probe
        bound = _port(probe)
        probe.close()
        if platform.PORT_SHARING == "none":
            return bound, None
        held = _socket(family)
        platform.bind_shared(held, _at_port(address, bound))
    except OSError as error:
        probe.close()
        raise _refused(host, port, error) from error
    return bound, held


def listens(bound: socket.socket) -> bool:
    """Return whether connections can come to a socket."""
    return bool(bound.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def same(one: socket.socket, other: socket.socket) -> bool:
    """Return whether two are the same socket, opened more than once."""
    return os.path.sameopenfile(one.fileno(), other.fileno())


def _socket(family: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    if family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return made


def _has_ipv6() -> bool:
    try:
        with _socket(socket.AF_INET6) as probe:
            probe.bind(("::", 0))
    except OSError:
        return False
    return True


def _at_port(address: platform.Address, port: int) -> platform.Address:
    return (address[0], port, *address[2:])


def _port(bound: socket.socket) -> int:
    return int(bound.getsockname()[1])


def _refused(host: str, port: int, error: OSError) -> HerdError:
    if error.errno == errno.EADDRINUSE:
        return HerdError(
            f"port {port} is taken by {owner(port)}", "choose another one: herd run --port N"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return HerdError(f"--host {host} is no address of this machine")
    if error.errno == errno.EACCES:
        return HerdError(f"port {port} needs more rights", "choose one above 1023: --port N")
    return HerdError(f"cannot listen on {host} port {port}: {error.strerror}")


def owner(port: int) -> str:
    """Say who listens on a port, as far as this user may know."""
    import psutil  # only on the way to an error

    try:
        for connection in psutil.net_connections(kind="tcp"):
            local, pid = connection.laddr, connection.pid
            listens = connection.status == psutil.CONN_LISTEN and local and local.port == port
            if listens and pid is not None:
                return f"{psutil.Process(pid).name()} (pid {pid})"
    except psutil.Error:
        pass
    return "another program"
