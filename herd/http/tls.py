"""TLS on both sides: what herd shows its clients, and whom it believes.

Rules
1. A server's certificate is checked by the system's store and, beside it, by `ca_file`. Unchecked
   are only the nodes that say so themselves (`--node https://tower:11434,insecure`).
2. The balancer of this machine is known by its certificate's file, whatever names are in it
   (`pin`): the commands read where it runs from the same directory.
3. A certificate that is renewed is taken over while herd runs (`Renewal`); one that cannot be read
   leaves the old one in force. Connections keep what they have.
4. Whom a process believes is set once, at its start, as its log is (`believe`).
"""

import logging
import os
import ssl
from functools import cache
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from herd.config import Settings, variable
from herd.errors import HerdError

_HTTPS: Final = 443
_log = logging.getLogger("herd.http.tls")

Place = tuple[str, int]

# The server's side


class Renewal:
    """A certificate with its key, as long as herd shows it."""

    def __init__(self, certificate: str, key: str = "") -> None:
        """Read them, or raise what is wrong; without a key, the certificate's file has it."""
        self._files = (certificate, key or certificate)
        self._seen = self._stamps()
        self._failed = self._seen
        self.context = _server_context(*self._files)

    def look(self) -> bool:
        """Take over what is new in the files; return whether anything was."""
        stamps = self._stamps()
        if stamps == self._seen:
            return False
        try:
            _server_context(*self._files)
            self.context.load_cert_chain(*self._files)
        except (HerdError, OSError) as error:
            if stamps != self._failed:  # half of it may be there: it is tried again
                self._failed = stamps
                _log.warning("the old certificate stays in force: %s", error)
            return False
        self._seen = stamps
        _log.info("a new certificate from %s is in force", self._files[0])
        return True

    def _stamps(self) -> tuple[tuple[int, int], ...]:
        found: list[tuple[int, int]] = []
        for name in self._files:
            try:
                stat = Path(name).stat()
            except OSError:
                found.append((0, 0))
            else:
                found.append((stat.st_mtime_ns, stat.st_ino))
        return tuple(found)


def renewal(settings: Settings) -> Renewal | None:
    """Return what the settings have clients shown; None where they speak plainly."""
    if settings.tls_cert:
        return Renewal(settings.tls_cert, settings.tls_key)
    if settings.tls_key:
        raise HerdError("a key without its certificate", "give both: --tls-cert and --tls-key")
    return None


def _server_context(certificate: str, key: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as error:
        for name in (certificate, key):
            if not os.access(name, os.R_OK):
                raise HerdError(f"{name} cannot be read", "see docs/tls.md") from error
        pair = certificate if key == certificate else f"{certificate} and {key}"
        raise HerdError(
            f"{pair} are no certificate with its key ({_short(error)})",
            "both in PEM, the certificate first, then those that vouch for it; the key unencrypted",
        ) from error
    return context


def _no_password() -> str:
    raise ValueError("the key is encrypted")


def _short(error: Exception) -> str:
    named = getattr(error, "reason", None)
    return str(named).lower().replace("_", " ") if named else str(error)


# The client's side


class Belief:
    """Whom a process believes."""

    def __init__(self) -> None:
        """Begin with what the environment says."""
        self.ca_file = os.environ.get(variable("ca_file"), "")
        self.unchecked: frozenset[Place] = frozenset()
        self.pinned: dict[Place, str] = {}


belief = Belief()


def believe(settings: Settings) -> None:
    """Believe whom the settings name, or raise if their file is none."""
    belief.ca_file = settings.ca_file
    belief.unchecked = frozenset(place(node.url) for node in settings.nodes if node.insecure)
    _checking(belief.ca_file)


def trust(ca_file: str) -> None:
    """Believe those whom a file of certificates names, beside the system's."""
    belief.ca_file = ca_file
    _checking(ca_file)


def pin(url: str, certificate: str) -> None:
    """Believe the server at an address if it has exactly this certificate."""
    belief.pinned[place(url)] = certificate


def context(host: str, port: int) -> ssl.SSLContext:
    """Return how a server's certificate is checked."""
    asked = (host, port)
    if (certificate := belief.pinned.get(asked)) is not None:
        return _knowing(certificate)
    return _careless() if asked in belief.unchecked else _checking(belief.ca_file)


def place(url: str) -> Place:
    """Return host and port of an address."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or _HTTPS


@cache
def _checking(ca_file: str) -> ssl.SSLContext:
    made = ssl.create_default_context()
    if ca_file:
        _load(made, ca_file, variable("ca_file"))
    return made


@cache
def _careless() -> ssl.SSLContext:
    made = ssl.create_default_context()
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    return made


def _knowing(certificate: str) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    _load(made, certificate, "the balancer's certificate")
    return made


def _load(made: ssl.SSLContext, name: str, named: str) -> None:
    try:
        made.load_verify_locations(cafile=name)
    except OSError as error:
        raise HerdError(f"{named}: {name} has no certificates ({_short(error)})") from error
