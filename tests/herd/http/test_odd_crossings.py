"""What clients and nodes say oddly is translated all the same, or refused as what it is."""

import asyncio

import msgspec
import pytest

from events import RequestCompleted
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import SSE, Ask, Control, fronting, header, node, post
from tests.herd.http.sockets import client
from tests.herd.http.test_crossing import BODY, PATH, old, seen, view


def deepest() -> int:
    """Return how deep a text may nest that is read here: each Python has its own limit."""
    least, most = 1, 1 << 20
    while most - least > 1:
        middle = (least + most) // 2
        try:
            msgspec.json.decode(b"[" * middle + b"]" * middle)
            least = middle
        except RecursionError:
            most = middle
    return least


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/responses", "/api/chat"])
def test_whatever_nests_deep_is_served_or_refused(path: str, run: Run) -> None:
    """Between what can just be read and what can be written in another place are a few levels."""
    bodies = {
        "/v1/messages": b'{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"Hi"}],'
        b'"tools":[{"name":"f","input_schema":%b}]}',
        "/v1/responses": b'{"model":"m","input":"Hi","tools":[{"type":"function","name":"f",'
        b'"parameters":%b}]}',
        "/api/chat": b'{"model":"m","messages":[{"role":"user","content":"Hi"}],"stream":false,'
        b'"format":%b}',
    }

    async def main() -> None:
        async with node(old) as here:
            edge = deepest()
            depths = range(edge - 60, edge + 4)
            control = Control(*[here.url] * len(depths))
            control.view = view(seen("a", here.url, "openai"))
            async with fronting(control) as listener, client(listener.port) as one:
                statuses: set[bytes] = set()
                for depth in depths:
                    schema = b'{"a":' * depth + b"1" + b"}" * depth
                    post(one, path, bodies[path] % schema)
                    head, answer = await one.answer()
                    statuses.add(head[9:12])
                    assert head[9:12] == b"200" or b"deep" in answer or b"depth" in answer
        assert statuses <= {b"200", b"400", b"502"}
        assert b"400" in statuses

    run(main())


@pytest.mark.parametrize(
    ("shown", "told"),
    [
        (b"x-api-key: secret", b"Bearer secret"),
        (b"X-API-Key: secret\r\nAuthorization: Bearer other", b"Bearer other"),
        (b"Accept: */*", b""),
    ],
)
def test_a_node_is_shown_the_clients_key_where_openais_servers_look_for_it(
    shown: bytes, told: bytes, run: Run
) -> None:
    async def main() -> None:
        async with node(old) as here:
            control = Control(here.url)
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, PATH, BODY % b"false", shown)
                await one.answer()
            head = next(ask.head for ask in here.asks if b"/v1/chat/completions" in ask.head)
            assert head.count(b"\r\nAuthorization: ") == bool(told)
            assert not told or header(head, b"Authorization") == told

    run(main())


@pytest.mark.parametrize("stream", [b"false", b"true"])
def test_what_is_no_utf_8_is_taken_as_go_takes_it(stream: bytes, run: Run) -> None:
    body = b'{"model":"m","input":"Hi \xff","metadata":{"a":"\xfe"},"stream":%b}' % stream

    async def main() -> None:
        async with node(old) as here:
            control = Control(here.url)
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/v1/responses", body)
                head = await one.head()
                assert head.startswith(b"HTTP/1.1 200 ")
            asked = msgspec.json.decode(here.asks[-1].body)
            assert asked["messages"] == [{"role": "user", "content": "Hi \ufffd"}]

    run(main())


@pytest.mark.parametrize("cut", [1, 9, 20, 40])
@pytest.mark.parametrize("said", [b'{"error":"Unexpected end of input"}', b'{"type":"message"}'])
def test_what_only_begins_as_a_missing_route_passes(said: bytes, cut: int, run: Run) -> None:
    said += b" " * 100_000

    async def main() -> None:
        async def script(ask: Ask) -> None:
            ask.begin(b"application/json")
            for piece in (said[:cut], said[cut:]):
                ask.chunk(piece)
                await ask.writer.drain()
                await asyncio.sleep(0.01)
            ask.end()

        async with node(script) as here:
            async with fronting(Control(here.url)) as listener, client(listener.port) as one:
                post(one, PATH, BODY % b"false")
                head, answer = await one.answer()
            assert (head[9:12], answer) == (b"200", said)
            assert len(here.asks) == 1

    run(main())


@pytest.mark.parametrize("said", [b"".join(SSE)[:-1], b"\xef\xbb\xbf" + b"".join(SSE)])
@pytest.mark.parametrize("cut", [1, 40, 1_000])
def test_the_first_and_the_last_event_of_a_stream_are_read(said: bytes, cut: int, run: Run) -> None:
    async def script(ask: Ask) -> None:
        if b"/v1/chat" not in ask.head:
            await old(ask)
            return
        ask.begin(b"text/event-stream")
        for at in range(0, len(said), cut):
            ask.chunk(said[at : at + cut])
        ask.end()

    async def main() -> None:
        async with node(script) as here:
            control = Control(here.url)
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, PATH, BODY % b"true")
                _, told = await one.answer()
            assert told.count(b'"type":"text_delta"') == 2
            assert b"event: message_stop" in told
            await control.heard(RequestCompleted)

    run(main())
