"""How commands ask the running balancer for a change, and tell what it says to that."""

import asyncio

import msgspec

from herd import admin_token
from herd.commands.status import OK, PATIENCE_S, read, refusal
from herd.errors import HerdError
from herd.http.client import FetchError, fetch


def send(address: str, method: str, path: str, asked: object) -> dict[str, object]:
    """Return the balancer's answer, or raise with what it says."""
    body = msgspec.json.encode(asked)
    headers = [(b"Content-Type", b"application/json"), *admin_token.headers()]
    try:
        answer = asyncio.run(
            fetch(method, address + path, headers=headers, body=body, timeout_s=PATIENCE_S)
        )
    except FetchError as error:
        raise HerdError(
            f"no balancer answers at {address}: {error.text}", "start it with `herd`, or give --url"
        ) from error
    if answer.status != OK:
        raise refusal(address, path, answer)
    return read(address, answer.body, dict[str, object])
