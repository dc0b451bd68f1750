"""The dashboard's page and its files: read once at start, and nothing else is ever served.

Rules
1. What is served is what is shipped: a table of paths made at start, no path from the network is
   ever opened.
2. A file has its digest as ETag and is asked for again each time, which a 304 answers: after an
   update no browser shows a mixture of two versions.
3. The page may load from herd only, run no inline script, and stand in no frame.
"""

import hashlib
from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from herd.http.exchange import Exchange
from herd.http.routes import Handler, Methods
from herd.http.wire import Header

PAGE: Final = "/dashboard"
STATIC: Final = "/dashboard/static/"
_PAGE_FILE: Final = "index.html"

_KINDS: Final = {
    "html": b"text/html; charset=utf-8",
    "css": b"text/css; charset=utf-8",
    "js": b"text/javascript; charset=utf-8",
    "svg": b"image/svg+xml",
    "txt": b"text/plain; charset=utf-8",
}

POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
GUARDS: Final[tuple[Header, ...]] = (
    (b"Content-Security-Policy", POLICY),
    (b"X-Content-Type-Options", b"nosniff"),
    (b"Referrer-Policy", b"no-referrer"),
    (b"Cache-Control", b"no-cache"),
)


def routes() -> dict[str, Methods]:
    """Return what answers the page's path and those of its files."""
    found = dict(_found(files("herd.dashboard").joinpath("static")))
    page = _answers(_PAGE_FILE, found.pop(_PAGE_FILE))
    table: dict[str, Methods] = {PAGE: page, f"{PAGE}/": page}
    table.update((STATIC + name, _answers(name, body)) for name, body in found.items())
    return table


def wants_page(exchange: Exchange) -> bool:
    """Whether a browser asks, not a client of Ollama that looks whether it is there."""
    return b"text/html" in exchange.request.header(b"accept")


def to_page(exchange: Exchange) -> None:
    """Send a browser to the dashboard."""
    exchange.respond(307, ((b"Location", PAGE.encode()), (b"Cache-Control", b"no-store")), b"")


def etag(body: bytes) -> bytes:
    """Return the ETag of a file."""
    return b'"%b"' % hashlib.blake2b(body, digest_size=12).hexdigest().encode()


def _found(directory: Traversable, below: str = "") -> Iterator[tuple[str, bytes]]:
    for each in directory.iterdir():
        if each.is_dir():
            yield from _found(each, f"{below}{each.name}/")
        elif each.name.rpartition(".")[2] in _KINDS:
            yield below + each.name, each.read_bytes()


def _answers(name: str, body: bytes) -> Mapping[bytes, Handler]:
    tag = etag(body)
    headers = (*GUARDS, (b"ETag", tag))
    kind: Header = (b"Content-Type", _KINDS[name.rpartition(".")[2]])

    def answer(exchange: Exchange) -> None:
        known = exchange.request.header(b"if-none-match")
        if tag in (each.strip().removeprefix(b"W/") for each in known.split(b",")):
            exchange.respond(304, headers, b"")
        else:
            exchange.respond(200, (*headers, kind), body)

    return {b"GET": answer, b"HEAD": answer}
