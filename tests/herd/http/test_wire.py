"""What goes on the wire, and what must never."""

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from herd.http import wire


@given(st.text())
def test_any_text_is_safe_as_a_header(text: str) -> None:
    value = wire.header_value(text)
    assert all(0x20 <= byte < 0x7F for byte in value)
    wire.head(200, [(b"X", value)], b"")


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_a_head_is_one_head_or_refused(name: bytes, value: bytes) -> None:
    try:
        head = wire.head(200, [(name, value)], b"Content-Length: 0\r\n")
    except ValueError:
        assert {10, 13, 0} & {*name, *value}
    else:
        assert head.count(b"\r\n") == head.count(b"\n") == head.count(b"\r") == 4


@given(st.lists(st.binary(max_size=300)))
def test_chunks_are_what_a_parser_reads(pieces: list[bytes]) -> None:
    class Heard:
        body = b""
        ended = False

        def on_body(self, body: bytes) -> None:
            self.body += body

        def on_message_complete(self) -> None:
            self.ended = True

    heard = Heard()
    parser = httptools.HttpResponseParser(heard)
    parser.feed_data(wire.head(200, [], b"Transfer-Encoding: chunked\r\n"))
    for piece in pieces:
        parser.feed_data(wire.chunk(piece))
    assert not heard.ended
    parser.feed_data(wire.LAST_CHUNK)
    assert (heard.body, heard.ended) == (b"".join(pieces), True)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (b"Content-TYPE", wire.CONTENT_TYPE),
        (b"tE", wire.HOP),
        (b"X-Fleet-Node", wire.OWN),
        (b"x-herd-tags", wire.OWN),
        (b"Origin", wire.OWN),
        (b"X-Other", wire.PLAIN),
    ],
)
def test_a_name_means_the_same_in_any_spelling(name: bytes, kind: int) -> None:
    for spelling in (name, name.upper(), name.lower(), name):
        assert wire.KINDS[spelling] == kind


def test_spellings_are_remembered_within_bounds() -> None:
    kinds = wire.Kinds()
    for number in range(5_000):
        assert kinds[b"X-%d" % number] == wire.PLAIN
    assert len(kinds) == 2_048


@pytest.mark.parametrize(
    ("connection", "named"),
    [
        (b"", ()),
        (b"Keep-Alive", ()),
        (b"close", ()),
        (b"Upgrade, HTTP2-Settings", (b"http2-settings", b"upgrade")),
        (b" x-a ,close,X-B", (b"x-a", b"x-b")),
    ],
)
def test_connection_names_what_goes_no_further(connection: bytes, named: tuple[bytes, ...]) -> None:
    assert sorted(wire.hops(connection)) == list(named)
