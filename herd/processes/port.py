"""The port: found free, then kept for the life of herd.

Two listeners with SO_REUSEPORT bind one port silently, so the first bind is **without** it and
finds any other listener; then a bound socket that does not listen keeps the port while fronts
come and go. Where fronts cannot share a port, the kept socket listens and they inherit it.
"""

import errno
import socket
from typing import NamedTuple

from herd import platform
from herd.errors import HerdError

BACKLOG = 1024


class Claim(NamedTuple):
    """A port that is ours while `held` is open."""

    port: int
    held: socket.socket | None
    listener: socket.socket | None
    """What the fronts inherit; None where each binds the port itself."""

    def release(self) -> None:
        """Give the port back."""
        for kept in (self.held, self.listener):
            if kept is not None:
                kept.close()


def claim(host: str, port: int) -> Claim:
    """Take the port, or raise naming who has it; port 0 takes a free one."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise HerdError(f"--host {host} is no address: {error.strerror}") from error
    family, address = found[0][0], found[0][4]
    probe = socket.socket(family, socket.SOCK_STREAM)
    try:
        platform.bind_alone(probe, address)
        if platform.PORT_SHARING == "inherited":
            probe.listen(BACKLOG)
            return Claim(_port(probe), held=probe, listener=probe)
        bound = _port(probe)
        probe.close()
        if platform.PORT_SHARING == "none":
            return Claim(bound, held=None, listener=None)
        held = socket.socket(family, socket.SOCK_STREAM)
        platform.bind_shared(held, _at_port(address, bound))
        return Claim(bound, held=held, listener=None)
    except OSError as error:
        probe.close()
        raise _refused(host, port, error) from error


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
