"""The words that let a browser on another machine look at the fleet, signed with the admin token.

A word is `UNTIL.NONCE.MAC`: seconds since 1970 until it holds, 16 random bytes in hex, and the
HMAC-SHA256 (RFC 2104), in hex, of its purpose and both. Nothing is kept of words that were given
out, and a new admin token ends them all.
"""

import hmac
import re
import secrets
from typing import Final

LINK: Final = b"herd-link-1"
SESSION: Final = b"herd-session-1"
"""What a word is for: one of these is never taken for one of the other."""
LINK_S: Final = 300
SESSION_S: Final = 30 * 86_400

_FORM: Final = re.compile(r"([0-9]{1,12})\.([0-9a-f]{32})\.([0-9a-f]{64})")


def word(token: str, purpose: bytes, until_s: int) -> str:
    """Return a new word; `token` is the admin token."""
    nonce = secrets.token_hex(16)
    return f"{until_s}.{nonce}.{_mac(token, purpose, str(until_s), nonce)}"


def nonce_of(token: str, purpose: bytes, said: str, now_s: float) -> str:
    """Return the nonce of a word that holds now; empty where it does not, or nothing signs."""
    found = _FORM.fullmatch(said)
    if found is None or not token:
        return ""
    until, nonce, mac = found.groups()
    right = hmac.compare_digest(_mac(token, purpose, until, nonce), mac)
    return nonce if right and now_s < int(until) else ""


def _mac(token: str, purpose: bytes, until: str, nonce: str) -> str:
    said = b"\n".join((purpose, until.encode(), nonce.encode()))
    return hmac.digest(token.encode(), said, "sha256").hex()
