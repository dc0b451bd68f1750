"""The agent's key pair: made at its first start, kept in its data directory, its owner's alone.

A new key is first written beside the old one, and takes its place when the balancer has taken it:
whenever the agent is killed between the two, one of them is the one that the balancer knows.
"""

import os
import secrets
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from herd.clock import wall_s
from herd.errors import HerdError
from herd.signing import RELAY, Signed, join_proof

_MODE = 0o600
_SEED_BYTES = 32


class Keypair:
    """Signs heartbeats."""

    def __init__(self, path: Path, *, join_token: str = "") -> None:
        """Read the key at this path, or make one. Raises `HerdError` where neither can be."""
        self._path = path
        self._next_path = path.with_name(path.name + ".next")
        self._join_token = join_token
        try:
            if not path.exists():
                _write(path)
            self._key = _read(path)
            self._next = _read(self._next_path) if self._next_path.exists() else None
        except (OSError, ValueError) as error:
            raise HerdError(
                f"the key of this node, {path}, cannot be used: {error}",
                "choose another directory with --data-dir",
            ) from error
        self._counter = 0
        self._challenge = ""

    @property
    def public(self) -> str:
        """The public half, in hex."""
        return _public(self._key)

    @property
    def next_public(self) -> str:
        """The public half of the key that is to take its place; empty where there is none."""
        return "" if self._next is None else _public(self._next)

    def rotate(self) -> None:
        """Make a key that is to take the place of this one."""
        if self._next is None:
            _write(self._next_path)
            self._next = _read(self._next_path)

    def headers(self, node_id: str, body: bytes) -> list[tuple[bytes, bytes]]:
        """Sign a heartbeat."""
        self._counter = max(self._counter + 1, int(wall_s() * 1e6))
        mark, token = self._challenge, self._join_token
        told = Signed(
            node_key=self.public,
            signature="",
            challenge=mark,
            counter=self._counter,
            next_key=self.next_public,
            proof=join_proof(token, mark, node_id, self.public) if token and mark else "",
        )
        signature = self._key.sign(told.message(body)).hex()
        return [*told.headers(), *Signed("", signature).headers()[-1:]]

    def relay_headers(self, challenge: str, body: bytes) -> list[tuple[bytes, bytes]]:
        """Sign the opening of a connection to relay on."""
        told = Signed(node_key=self.public, signature="", challenge=challenge)
        signature = self._key.sign(told.message(body, RELAY)).hex()
        return [*told.headers(), *Signed("", signature).headers()[-1:]]

    def challenged(self, challenge: str, after: int) -> None:
        """Know what the balancer wants to have signed, and the last counter that it has seen."""
        self._challenge = challenge
        self._counter = max(self._counter, after)

    def taken(self) -> bool:
        """Know that the balancer took a heartbeat, and with it the next key, if there is one."""
        if self._next is None:
            return False
        self._next_path.replace(self._path)
        self._key, self._next = self._next, None
        return True

    def not_known(self) -> bool:
        """Know that another key is known; return whether there is one to try instead."""
        return self.taken()


def _public(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes_raw().hex()


def _read(path: Path) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(path.read_text("ascii").strip()))


def _write(path: Path) -> None:
    """Make a key; of two who do so at once, both get that of the first."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    file = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
    with os.fdopen(file, "w", encoding="ascii") as opened:
        opened.write(secrets.token_bytes(_SEED_BYTES).hex() + "\n")
        opened.flush()
        os.fsync(opened.fileno())  # a power cut must not leave an empty file under its name
    try:
        os.link(made, path)
    except FileExistsError:
        pass
    finally:
        made.unlink()
