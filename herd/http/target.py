"""An address that is asked, taken apart, and the ways to connect to it.

`http://HOST:PORT`, `https://…`, `http+unix://%2Fpath%2Fof.sock` (a Unix socket, its path
percent-encoded), and `relay://NODE`, whose agent keeps connections open here.
"""

import asyncio
import errno
import re
import socket
import ssl
from pathlib import Path
from typing import Final, Literal
from urllib.parse import unquote, urlsplit

from herd.errors import HerdError
from herd.http import detour, tls
from herd.unix_sockets import open_unix, speak_unix

FetchPhase = Literal["address", "connect", "send", "first_byte", "body"]
"""How far a request had come when it failed."""

UNIX: Final = "http+unix"
_RELAY: Final = f"{detour.SCHEME}://"


class FetchError(HerdError):
    """No answer: in which phase it ended, and why."""

    def __init__(self, phase: FetchPhase, text: str) -> None:
        """Keep the phase apart: `connect` means that nothing listens, the rest that it is ill."""
        super().__init__(text)
        self.phase: FetchPhase = phase
        self.text = text


class Target:
    """A URL, taken apart once."""

    __slots__ = ("authority", "host", "path", "port", "relay", "secure", "unix")

    def __init__(self, url: str) -> None:
        """Refuse what cannot be asked, with the phase `address`."""
        self.relay = url.partition("://")[2].partition("/")[0] if url.startswith(_RELAY) else ""
        """The node that its agent relays for."""
        url = url.replace(_RELAY + self.relay, "http://localhost") if self.relay else url
        if not url.isascii() or any(character <= " " or character == "\x7f" for character in url):
            raise FetchError("address", f"not a URL: {url!r}")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise FetchError("address", f"not a URL: {url!r} ({error})") from error
        self.unix = unquote(parts.netloc) if parts.scheme == UNIX else ""
        """The path of a Unix socket."""
        if self.unix:
            parts = parts._replace(scheme="http", netloc="localhost")
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise FetchError("address", f"not an http:// or https:// address: {url!r}")
        self.secure = parts.scheme == "https"
        self.host = parts.hostname
        self.port = port or (443 if self.secure else 80)
        self.path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self.authority = re.sub(r"%[^\]]*", "", parts.netloc.rpartition("@")[2])  # no IPv6 zone

    async def connect(self, protocol: asyncio.Protocol) -> None:
        """Make a protocol speak on a new connection. Raises `OSError`."""
        if self.relay:
            await detour.attach(self.relay, protocol)
        elif self.unix:
            await speak_unix(self.unix, protocol)
        else:
            await asyncio.get_running_loop().create_connection(
                lambda: protocol, self.host, self.port, ssl=self._tls()
            )

    async def opened(self, limit_bytes: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return a new connection as streams. Raises `OSError`."""
        if self.relay:
            return await detour.opened(self.relay, limit_bytes)
        if self.unix:
            return await open_unix(Path(self.unix), limit_bytes)
        return await asyncio.open_connection(
            self.host, self.port, ssl=self._tls(), limit=limit_bytes
        )

    def _tls(self) -> ssl.SSLContext | None:
        return tls.context(self.host, self.port) if self.secure else None


def reason(error: Exception) -> str:
    """Say in a few words why a connection failed, without Python's own wrapping."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS failed: {error.verify_message} (FLEET_CA_FILE names who vouches for it)"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or error}"
    if isinstance(error, (socket.gaierror, UnicodeError)):
        return "name not known"
    known = {
        errno.ECONNREFUSED: "connection refused",
        errno.ECONNRESET: "connection reset",
        errno.EHOSTUNREACH: "no route to host",
        errno.ENETUNREACH: "network unreachable",
        errno.ETIMEDOUT: "connection timed out",
        errno.EPIPE: "connection closed",
        errno.ENOENT: "no such socket",
        errno.EACCES: "permission denied",
    }
    if isinstance(error, OSError) and error.errno in known:
        return known[error.errno]
    if "Connect call failed" in str(error):  # asyncio's sum of several addresses has no errno
        return "connection refused or unreachable at every address"
    return str(error) or type(error).__name__
