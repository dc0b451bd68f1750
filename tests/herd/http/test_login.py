"""Once there are keys, the fleet is shown to this machine, the admin token, and who signed in."""

import os
from pathlib import Path

import pytest

from herd import session
from herd.config import Settings
from herd.http.exchange import Exchange, Request
from herd.http.guard import Guard
from herd.http.keyring import Keyring, digest
from herd.http.lobby import Lobby
from herd.http.login import COOKIE, LINK, PATH, Login
from herd.link.messages import KeyView, View
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import Control, fronting
from tests.herd.http.sockets import client
from tests.herd.http.test_gate import Wire
from tests.herd.http.timers import Timers

TOKEN = "a-token-for-a-test"  # noqa: S105 (it opens nothing)
KEY = b"herd-a-key-of-a-test"
NOW_S = 1_800_000_000
HERE = (b"Host", b"localhost:11435")
SHOWN = ["/fleet/status", "/fleet/queue", "/dashboard/api/events", "/metrics"]


class House:
    """A front's login, on a clock that stands where it is put."""

    def __init__(
        self, spent: Path | None = None, *, keys: bool = True, secure: bool = False
    ) -> None:
        self.now_s = NOW_S
        self.away = False
        self.lobby = Lobby(lambda: 1.0, Timers())
        guard = Guard(TOKEN)
        self.keyring = Keyring(Settings(), guard, lambda: self.away, self.lobby)
        if keys:
            self.keyring.look((KeyView("laptop", digest(KEY)),))
        self.login = Login(
            guard, self.keyring, self.lobby, spent, secure=secure, now=lambda: self.now_s
        )

    def ask(self, path: str, *headers: tuple[bytes, bytes], peer: str = "10.0.0.9") -> bytes:
        """Return what a page's path answers: what was sent, or `shown`."""
        request, wire = Request(), Wire()
        request.target, request.headers = path.encode(), list(headers)
        exchange = Exchange(wire, request, peer)
        came: list[Exchange] = []
        path = path.partition("?")[0]
        methods = self.login.routes().get(path) or self.login.guards(path, {b"GET": came.append})
        methods[b"POST" if path == PATH else b"GET"](exchange)
        return b"shown" if came else wire.sent


def cookie(answer: bytes) -> tuple[bytes, bytes]:
    """Return the header by which a browser sends it back."""
    _, _, rest = answer.partition(f"Set-Cookie: {COOKIE}=".encode())
    return b"Cookie", b"theme=dark; %b=%b" % (COOKIE.encode(), rest.partition(b";")[0])


@pytest.mark.parametrize("path", SHOWN)
def test_without_keys_everybody_may_look(path: str) -> None:
    assert House(keys=False).ask(path) == b"shown"


@pytest.mark.parametrize("path", SHOWN)
def test_with_keys_only_this_machine_and_the_token_may(path: str) -> None:
    house = House()
    assert house.ask(path, HERE, peer="127.0.0.1") == b"shown"
    assert house.ask(path, (b"Authorization", b"Bearer " + TOKEN.encode())) == b"shown"
    forwarded = (HERE, (b"X-Forwarded-For", b"10.0.0.9"))
    for refused in (
        house.ask(path),
        house.ask(path, (b"Authorization", b"Bearer " + KEY)),
        house.ask(path, *forwarded, peer="127.0.0.1"),
        house.ask(path, (b"Cookie", b"herd_session=1.2.3")),
    ):
        assert refused.startswith(b"HTTP/1.1 401 ")
        assert b"herd dashboard" in refused


def test_every_page_of_the_fleet_is_shown_only_to_whom_it_knows(run: Run) -> None:
    async def main() -> None:
        control = Control()
        control.view = View(keys=(KeyView("laptop", digest(KEY)),))
        async with fronting(control) as listener:
            assert control.front is not None
            asked = [
                (method.decode(), f"{path}1" if path.endswith("/") else path)
                for path, methods in control.front.routes
                for method in methods
                if path.startswith(("/dashboard/api/", "/fleet/", "/metrics")) and path != PATH
            ]
            assert len(asked) > len(SHOWN)
            for method, path in asked:
                async with client(listener.port) as one:
                    said = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n"
                    one.send(f"{said}X-Forwarded-For: 192.0.2.7\r\n\r\n".encode())
                    assert (await one.head()).startswith(b"HTTP/1.1 401 "), (method, path)

    run(main())


@pytest.mark.parametrize("path", ["/api/chat", "/dashboard", "/healthz", "/heartbeat"])
def test_what_is_no_page_of_the_fleet_is_not_its_to_guard(path: str) -> None:
    assert House().ask(path) == b"shown"


def test_nobody_is_shown_anything_until_it_is_known_whether_there_are_keys() -> None:
    house = House(keys=False)
    house.away = True
    assert house.ask("/fleet/status", HERE, peer="127.0.0.1") == b"shown"
    assert house.ask("/fleet/status") == b"", "it waits in the lobby"
    house.away = False
    assert house.ask("/fleet/status") == b"shown"


def test_a_link_counts_once_at_whichever_front(tmp_path: Path) -> None:
    one, other = House(tmp_path / "links"), House(tmp_path / "links")
    link = f"{LINK}?code={session.word(TOKEN, session.LINK, NOW_S + session.LINK_S)}"
    answer = one.ask(link)
    assert answer.startswith(b"HTTP/1.1 303 ")
    assert b"Location: /dashboard\r\n" in answer
    assert b"Cache-Control: no-store\r\n" in answer
    assert b"Referrer-Policy: no-referrer\r\n" in answer
    for again in (one.ask(link), other.ask(link)):
        assert again.startswith(b"HTTP/1.1 403 ")
        assert b"herd dashboard" in again
        assert b"Set-Cookie" not in again

    kept = cookie(answer)
    assert other.ask("/fleet/status", kept) == b"shown"
    other.now_s += session.SESSION_S
    assert other.ask("/fleet/status", kept).startswith(b"HTTP/1.1 401 ")


def test_a_cookie_goes_to_no_path_that_a_node_sees(tmp_path: Path) -> None:
    house = House(tmp_path / "links", secure=True)
    answer = house.ask(f"{LINK}?code={session.word(TOKEN, session.LINK, NOW_S + 9)}")
    lines = [line for line in answer.split(b"\r\n") if line.startswith(b"Set-Cookie")]
    assert [line.split(b"; ")[1] for line in lines] == [b"Path=/dashboard", b"Path=/fleet"]
    assert all(line.endswith(b"; HttpOnly; SameSite=Strict; Secure") for line in lines)


@pytest.mark.parametrize("code", ["", "x", "9" * 500, f"{NOW_S + 9}.{'0' * 32}.{'0' * 64}"])
def test_what_is_no_link_opens_nothing(tmp_path: Path, code: str) -> None:
    assert House(tmp_path / "links").ask(f"{LINK}?code={code}").startswith(b"HTTP/1.1 403 ")
    assert not (tmp_path / "links").exists()


def test_a_link_that_cannot_be_written_down_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "links").write_text("in the way")
    link = f"{LINK}?code={session.word(TOKEN, session.LINK, NOW_S + 9)}"
    assert House(tmp_path / "links").ask(link).startswith(b"HTTP/1.1 403 ")
    assert House(None).ask(link).startswith(b"HTTP/1.1 403 ")


def test_used_links_are_forgotten_when_they_would_not_hold_anyway(tmp_path: Path) -> None:
    house = House(tmp_path / "links")
    house.ask(f"{LINK}?code={session.word(TOKEN, session.LINK, NOW_S + 9)}")
    [used] = (tmp_path / "links").iterdir()
    os.utime(used, (NOW_S - 3600, NOW_S - 3600))
    house.ask(f"{LINK}?code={session.word(TOKEN, session.LINK, NOW_S + 9)}")
    assert used not in list((tmp_path / "links").iterdir())


def test_the_page_s_form_takes_the_token_only() -> None:
    house = House()
    given = house.ask(PATH, (b"X-Herd-Admin-Token", TOKEN.encode()))
    assert given.startswith(b"HTTP/1.1 200 ")
    assert house.ask("/dashboard/api/health", cookie(given)) == b"shown"
    for wrong in (b"guess", KEY, b""):
        refused = house.ask(PATH, (b"X-Herd-Admin-Token", wrong))
        assert refused.startswith(b"HTTP/1.1 401 ")
        assert b"Set-Cookie" not in refused
