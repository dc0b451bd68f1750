"""How an agent signs what it says of its node, and how a balancer knows it again. Ed25519.

Signed are the body, a counter that only grows, and the balancer's challenge, which lasts as long as
its control does: so a word counts once, at one balancer, and no clock has to be right. The join
token is never sent: an agent proves that it knows it, for its own key and this challenge.
"""

import hashlib
import hmac
import re
from typing import Final

import msgspec

from herd.http.exchange import Request

KEY: Final = b"X-Herd-Node-Key"
CHALLENGE: Final = b"X-Herd-Node-Challenge"
COUNTER: Final = b"X-Herd-Node-Counter"
NEXT: Final = b"X-Herd-Node-Next-Key"
PROOF: Final = b"X-Herd-Join-Proof"
SIGNATURE: Final = b"X-Herd-Node-Signature"

HEARTBEAT: Final = b"herd-heartbeat-1"
RELAY: Final = b"herd-relay-1"
"""What a signature is for: one of these is never taken for one of the other."""

_HEX_KEY: Final = re.compile(rb"[0-9a-f]{64}")
_HEX_SIGNATURE: Final = re.compile(rb"[0-9a-f]{128}")
_MARK: Final = re.compile(rb"[0-9a-f]{0,64}")
_COUNTER: Final = re.compile(rb"[0-9]{1,16}")


class Signed(msgspec.Struct, frozen=True):
    """What the headers of a heartbeat say of who signed it."""

    node_key: str
    signature: str
    challenge: str = ""
    counter: int = 0
    next_key: str = ""
    """The key that is to speak for the node from now on."""
    proof: str = ""
    """That it knows the join token."""

    def message(self, body: bytes, context: bytes = HEARTBEAT) -> bytes:
        """Return what is signed."""
        words = (self.challenge, str(self.counter), self.next_key, self.proof)
        return b"\n".join((context, *[word.encode("ascii") for word in words], body))

    def holds(self, body: bytes, context: bytes = HEARTBEAT) -> bool:
        """Whether the signature is that of the key, on this body."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(self.node_key))
            public.verify(bytes.fromhex(self.signature), self.message(body, context))
        except (InvalidSignature, ValueError):
            return False
        return True

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return it as headers."""
        words = (
            (KEY, self.node_key),
            (CHALLENGE, self.challenge),
            (COUNTER, str(self.counter)),
            (NEXT, self.next_key),
            (PROOF, self.proof),
            (SIGNATURE, self.signature),
        )
        return [(name, word.encode("ascii")) for name, word in words if word]


def signed_by(request: Request) -> Signed | None:
    """Return who signed a request; None if nobody did. Raises `ValueError` for half a signature."""
    given = {
        name: request.header(name.lower())
        for name in (KEY, CHALLENGE, COUNTER, NEXT, PROOF, SIGNATURE)
    }
    if not any(given.values()):
        return None
    shapes = (
        _HEX_KEY.fullmatch(given[KEY]),
        _HEX_SIGNATURE.fullmatch(given[SIGNATURE]),
        _COUNTER.fullmatch(given[COUNTER]),
        _MARK.fullmatch(given[CHALLENGE]),
        _MARK.fullmatch(given[NEXT]),
        _MARK.fullmatch(given[PROOF]),
    )
    if None in shapes or len(given[NEXT]) not in {0, 64}:
        raise ValueError("the headers of a signature are incomplete or misshapen")
    return Signed(
        node_key=given[KEY].decode("ascii"),
        signature=given[SIGNATURE].decode("ascii"),
        challenge=given[CHALLENGE].decode("ascii"),
        counter=int(given[COUNTER]),
        next_key=given[NEXT].decode("ascii"),
        proof=given[PROOF].decode("ascii"),
    )


def join_proof(token: str, challenge: str, node_id: str, node_key: str) -> str:
    """Return what shows that whoever has this key knows the token."""
    words = f"herd-join-1\n{challenge}\n{node_id}\n{node_key}"
    return hmac.new(token.encode(), words.encode(), hashlib.sha256).hexdigest()


def fingerprint(node_key: str) -> str:
    """Return a key as people compare it: `3f2a-91bc-…`."""
    short = hashlib.sha256(node_key.encode("ascii", "replace")).hexdigest()[:16]
    return "-".join(short[at : at + 4] for at in range(0, 16, 4))
