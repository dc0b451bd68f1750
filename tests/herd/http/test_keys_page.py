"""Keys over HTTP: an admin's business; a change is checked, told, and answered when it holds."""

import asyncio
from typing import Any

import msgspec
import pytest

from events import KeyAdded, KeyRevoked
from herd.http.endpoints import keys as page
from herd.http.keyring import digest
from herd.link.messages import KeyView, View
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import Control, fronting
from tests.herd.http.sockets import Client, client

DIGEST = digest(b"herd-a-key-of-a-test")
LAPTOP = KeyView("laptop", DIGEST, ("a*",), 60, 1_000, "batch", 5.0, 3, 70, 20_000, 40)


async def asked(one: Client, method: bytes, body: object, *lines: bytes) -> tuple[int, Any]:
    sent = body if isinstance(body, bytes) else msgspec.json.encode(body)
    more = b"".join(line + b"\r\n" for line in lines)
    one.send(
        b"%b /fleet/keys HTTP/1.1\r\nHost: localhost:11435\r\n%bContent-Length: %d\r\n\r\n%b"
        % (method, more, len(sent), sent)
    )
    head, answer = await one.answer()
    return int(head.split()[1]), msgspec.json.decode(answer)


def show(control: Control, *keys: KeyView) -> None:
    assert control.front is not None
    control.view = View(keys=keys)
    control.front.view_changed(control.view)


def test_a_key_is_shown_without_its_digest_and_with_the_tokens_of_this_day() -> None:
    shown = page.told(LAPTOP, 20_000 * 86_400.0 + 5)
    assert shown["tokens_today"] == 40
    assert page.told(LAPTOP, 20_001 * 86_400.0)["tokens_today"] == 0
    assert DIGEST not in str(shown)


def test_a_key_is_made_and_revoked_once_control_has_it(run: Run) -> None:
    async def main() -> None:
        control = Control()
        async with fronting(control) as listener, client(listener.port) as one:
            new = {"name": "laptop", "digest": DIGEST, "models": ["a*"], "priority": "batch"}
            bounds = {"requests_per_minute": 60, "tokens_per_day": 1_000}
            one_sent = run_soon(one, b"POST", new | bounds)
            fact = await control.heard(KeyAdded)
            assert fact == KeyAdded(
                key_name="laptop",
                digest=DIGEST,
                models=("a*",),
                per_minute=60,
                tokens_a_day=1_000,
                priority="batch",
                by="127.0.0.1",
            )
            show(control, LAPTOP)
            assert await one_sent == (200, {"name": "laptop", "keys": 1})
            assert (await asked(one, b"POST", new))[0] == 409
            status, said = await asked(one, b"GET", b"")
            assert (status, said["keys"][0]["name"], said["keys"][0]["tokens"]) == (
                200,
                "laptop",
                70,
            )
            ending = run_soon(one, b"DELETE", {"name": "laptop"})
            assert (await control.heard(KeyRevoked)).key_name == "laptop"
            show(control)
            assert await ending == (200, {"name": "laptop", "keys": 0})
            status, said = await asked(one, b"DELETE", {"name": "laptop"})
            assert (status, "there are: none" in said["error"]) == (404, True)

    run(main())


def run_soon(one: Client, method: bytes, body: object) -> Any:
    return asyncio.ensure_future(asked(one, method, body))


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"name": "x"},
        {"name": "x", "digest": "short"},
        {"name": "", "digest": DIGEST},
        {"name": "a b", "digest": DIGEST},
        {"name": "a\r\nX-Evil: 1", "digest": DIGEST},
        {"name": "x" * 65, "digest": DIGEST},
        {"name": "x", "digest": DIGEST, "models": ["a,b"]},
        {"name": "x", "digest": DIGEST, "models": ["a"] * 65},
        {"name": "x", "digest": DIGEST, "requests_per_minute": -1},
        {"name": "x", "digest": DIGEST, "requests_per_minute": 1.5},
        {"name": "x", "digest": DIGEST, "tokens_per_day": 2**60},
        {"name": "x", "digest": DIGEST, "priority": "first"},
        {"name": "x", "digest": DIGEST, "key": "the key itself is nobody's business"},
    ],
)
def test_what_cannot_be_is_refused(run: Run, wrong: dict[str, object]) -> None:
    async def main() -> None:
        control = Control()
        async with fronting(control) as listener, client(listener.port) as one:
            assert (await asked(one, b"POST", wrong))[0] == 400
            assert control.facts == []

    run(main())


def test_keys_are_an_admin_s(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "SEEN_WITHIN_S", 0.05)
    monkeypatch.setattr(page, "MOST_KEYS", 1)

    async def main() -> None:
        control = Control()
        new = {"name": "laptop", "digest": DIGEST}
        async with fronting(control) as listener, client(listener.port) as one:
            for method in (b"GET", b"POST", b"DELETE"):
                assert (await asked(one, method, new, b"X-Forwarded-For: 10.0.0.1"))[0] == 401
            assert (await asked(one, b"DELETE", b"[1"))[0] == 400
            assert (await asked(one, b"POST", new))[0] == 503, "never confirmed"
            control.full = True
            assert (await asked(one, b"POST", new))[0] == 503
            control.connected = False
            assert (await asked(one, b"POST", new))[0] == 503
            control.connected = True
            control.view = View(recording=False)
            assert "cannot be written" in (await asked(one, b"POST", new))[1]["error"]
            show(control, LAPTOP)
            status, said = await asked(one, b"POST", {**new, "name": "other"})
            assert (status, "no more" in said["error"]) == (409, True)

    run(main())
