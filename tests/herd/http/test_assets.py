"""The dashboard's files: what is served, with which guards, and nothing beside it."""

import re
from pathlib import Path

import pytest

import herd.dashboard
from herd.config import CHANGEABLE
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import Control, fronting, header
from tests.herd.http.sockets import Client, client

STATIC = Path(herd.dashboard.__file__).with_name("static")
NAMES = sorted(str(each.relative_to(STATIC)) for each in STATIC.rglob("*.*") if each.is_file())
SCRIPTS = [each for each in STATIC.rglob("*.js") if each.parent.name != "uplot"]


def _ask(one: Client, path: str, *lines: bytes) -> None:
    more = b"".join(line + b"\r\n" for line in lines)
    one.send(b"GET %b HTTP/1.1\r\nHost: localhost\r\n%b\r\n" % (path.encode(), more))


async def _get(one: Client, path: str, *lines: bytes) -> tuple[bytes, bytes]:
    _ask(one, path, *lines)
    return await one.answer()


def test_the_page_is_guarded(run: Run) -> None:
    async def main() -> None:
        async with fronting(Control()) as listener, client(listener.port) as one:
            head, body = await one.get("/dashboard")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert header(head, b"content-type") == b"text/html; charset=utf-8"
        assert header(head, b"x-content-type-options") == b"nosniff"
        policy = header(head, b"content-security-policy").split(b"; ")
        assert {b"default-src 'none'", b"script-src 'self'", b"frame-ancestors 'none'"} <= {*policy}
        assert b"unsafe" not in header(head, b"content-security-policy")
        assert body == (STATIC / "index.html").read_bytes()

    run(main())


@pytest.mark.parametrize("name", [each for each in NAMES if each != "index.html"])
def test_every_file_is_served(name: str, run: Run) -> None:
    async def main() -> None:
        async with fronting(Control()) as listener, client(listener.port) as one:
            head, body = await one.get(f"/dashboard/static/{name}")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert body == (STATIC / name).read_bytes()

    run(main())


def test_a_known_file_is_not_sent_again(run: Run) -> None:
    async def main() -> None:
        async with fronting(Control()) as listener, client(listener.port) as one:
            head, _ = await one.get("/dashboard/static/app.js")
            tag = header(head, b"etag")
            _ask(one, "/dashboard/static/app.js", b"If-None-Match: W/" + tag)
            again = await one.head()
            other, body = await _get(one, "/dashboard/static/app.js", b'If-None-Match: "other"')
        assert again.startswith(b"HTTP/1.1 304 ")
        assert header(again, b"etag") == tag
        assert other.startswith(b"HTTP/1.1 200 ")
        assert body

    run(main())


@pytest.mark.parametrize(
    "path",
    [
        "/dashboard/static/",
        "/dashboard/static/index.html",
        "/dashboard/static/../__init__.py",
        "/dashboard/static/..%2f__init__.py",
        "/dashboard/static//etc/passwd",
        "/dashboard/nope",
    ],
)
def test_nothing_else_is_served(path: str, run: Run) -> None:
    async def main() -> None:
        async with fronting(Control()) as listener, client(listener.port) as one:
            head, _ = await one.get(path)
        assert head.startswith(b"HTTP/1.1 404 ")

    run(main())


def test_a_browser_at_the_root_is_sent_to_the_page_and_a_client_of_ollama_is_not(run: Run) -> None:
    async def main() -> None:
        async with fronting(Control()) as listener, client(listener.port) as one:
            head, _ = await _get(one, "/", b"Accept: text/html,application/xhtml+xml;q=0.9")
            other, body = await _get(one, "/", b"Accept: */*")
        assert head.startswith(b"HTTP/1.1 307 ")
        assert header(head, b"location") == b"/dashboard"
        assert other.startswith(b"HTTP/1.1 200 ")
        assert body == b"Ollama is running"

    run(main())


@pytest.mark.parametrize("name", [name for name in NAMES if "uplot/" not in name])
def test_the_page_asks_nobody_else(name: str) -> None:
    outside = re.findall(r"https?://[\w.-]+", (STATIC / name).read_text("utf-8"))

    assert {*outside} <= {"http://www.w3.org", "http://HOST"}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda each: each.name)
def test_no_script_parses_text_as_markup(path: Path) -> None:
    parsing = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|Function\("
    )

    assert re.search(parsing, path.read_text("utf-8")) is None
    assert len(path.read_text("utf-8").splitlines()) <= 400


def test_each_setting_that_can_change_has_its_place() -> None:
    placed = re.findall(r'"([a-z_]+)"', (STATIC / "views/groups.js").read_text("utf-8"))

    assert sorted(placed) == sorted(CHANGEABLE)
