"""What two supervisors, or a command and a supervisor, say to one another, at a Unix socket.

A word is a length and JSON; open sockets may follow it. Both ends belong to the same user.
"""

import socket
import struct
from collections.abc import Sequence
from typing import Final

import msgspec

from herd.config import Changes, Value
from herd.unix_sockets import hand, take

PATIENCE_S: Final = 2.0
"""For the rest of a word that has begun, and for a peer that does not take one."""
LARGEST_BYTES: Final = 1 << 20
_LENGTH: Final = struct.Struct(">I")

# From the one that comes
REPLACE: Final = "replace"
"""I want your place."""
LET_GO: Final = "let go"
"""All of mine stand by: let go of the log."""
DONE: Final = "done"
"""All of mine work: leave."""
RELOAD: Final = "reload"
"""Read the settings again."""

ANEW: Final = "anew"
"""Start another herd, which takes your place."""

# From the one that is there
HERE: Final = "here"
"""This is my place; the sockets that keep the port follow."""
REFUSED: Final = "refused"
SOCKETS: Final = "sockets"
"""The sockets that my fronts listen on follow."""
YOURS: Final = "yours"
"""The log is yours."""
LOGD_ENDED: Final = "logd ended"
TOLD: Final = "told"
"""What has become of the settings, or who has the place now."""


class Word(msgspec.Struct, frozen=True, omit_defaults=True):
    """One word, with what belongs to it; a field of a newer herd is left out by an older one."""

    word: str
    version: str = ""
    pid: int = 0
    protocol: int = 0
    """Of the link between fronts and control."""
    host: str = ""
    port: int = 0
    sockets: int = 0
    """How many follow."""
    why: str = ""
    """Of what is refused: the reason, in a sentence; of what was done: what is to be known, too."""
    changed: Changes = {}
    """Settings that changed, with the old and the new value."""
    waiting: dict[str, Value] = {}
    """Settings that need another start, with the value that they would have."""


class Talk:
    """One end of a conversation. Whatever it raises is an `OSError`, and ends it."""

    def __init__(self, sock: socket.socket, patience_s: float = PATIENCE_S) -> None:
        """Take a connected socket over."""
        self.sock = sock
        sock.settimeout(patience_s)

    def say(self, word: Word, sockets: Sequence[socket.socket] = ()) -> None:
        """Say a word."""
        said = msgspec.json.encode(msgspec.structs.replace(word, sockets=len(sockets)))
        self.sock.sendall(_LENGTH.pack(len(said)) + said)
        hand(self.sock, sockets)

    def hear(self) -> tuple[Word, list[socket.socket]]:
        """Return the next word, with its sockets."""
        (size,) = _LENGTH.unpack(self._read(_LENGTH.size))
        if size > LARGEST_BYTES:
            raise OSError(f"a word of {size} bytes")
        try:
            word = msgspec.json.decode(self._read(size), type=Word)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise OSError(f"no word: {error}") from error
        return word, take(self.sock, word.sockets)

    def close(self) -> None:
        """End it."""
        self.sock.close()

    def _read(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            data = self.sock.recv(size - len(found))
            if not data:
                raise ConnectionError("the other end has gone")
            found += data
        return found
