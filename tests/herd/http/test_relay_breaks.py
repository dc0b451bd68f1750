"""What happens when a node breaks off an answer, and when a client leaves or does not read."""

import asyncio
import socket

import msgspec
import pytest

from events import (
    RequestCancelled,
    RequestCompleted,
    RequestFailed,
    RequestReceived,
)
from herd.http import server as server_module
from herd.http.server import Limits
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import (
    CHAT,
    NDJSON,
    QUIET,
    SSE,
    Ask,
    Control,
    Script,
    fronting,
    node,
    post,
)
from tests.herd.http.sockets import client

# After the first byte


def _cut(content_type: bytes, *chunks: bytes, clean: bool) -> Script:
    async def script(ask: Ask) -> None:
        ask.begin(content_type)
        for data in chunks:
            ask.chunk(data)
            await asyncio.sleep(0.01)
        if clean:
            ask.end()
        ask.close()

    return script


NAMED = (
    b'event: message_start\ndata: {"type":"message_start"}\n\n',
    b'event: content_block_delta\ndata: {"type":"content_block_delta"}\n\n',
)
ND, EVENTS = b"application/x-ndjson", b"text/event-stream; charset=utf-8"
LOST = "node failed: connection closed, after the answer had begun"
ENDLESS = "node failed: answer without an end, after the answer had begun"
BROKEN = {
    "NDJSON": (_cut(ND, *NDJSON[:2], clean=False), b"%b" % NDJSON[1], LOST),
    "NDJSON inside a line": (_cut(ND, NDJSON[0], b'{"mo', clean=False), b'{"mo\n', LOST),
    "NDJSON without done": (_cut(ND, *NDJSON[:2], clean=True), b"%b" % NDJSON[1], ENDLESS),
    "SSE": (_cut(EVENTS, *SSE[:2], clean=False), b"%b" % SSE[1], LOST),
    "SSE inside an event": (_cut(EVENTS, SSE[0], b"data: {", clean=False), b"data: {\n\n", LOST),
    "SSE without [DONE]": (_cut(EVENTS, *SSE[:3], clean=True), b"%b" % SSE[2], ENDLESS),
    "named SSE": (_cut(EVENTS, *NAMED, clean=False), NAMED[1] + b"event: error\n", LOST),
    "named SSE without its end": (
        _cut(EVENTS, *NAMED, clean=True),
        NAMED[1] + b"event: error\n",
        ENDLESS,
    ),
    "named SSE before its first event": (
        _cut(EVENTS, b": ping\n\n", clean=False),
        b": ping\n\nevent: error\n",
        LOST,
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_an_answer_that_breaks_off_ends_with_an_error_and_never_cleanly(
    case: str, run: Run
) -> None:
    script, before, text = BROKEN[case]

    async def main() -> None:
        async with node(script) as bad:
            control = Control(bad.url)
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, _route(case), CHAT)
                heard = await one.rest()
            failed = await control.heard(RequestFailed)
        body = _dechunked(heard.partition(b"\r\n\r\n")[2])
        said, _, last = body.rpartition(before)
        assert said.startswith((b'{"model"', b"data: {", b"event: ")) or not said
        if case.startswith("named"):
            told = msgspec.json.decode(last.removeprefix(b"data: "))
            assert told.keys() == {"type", "error", "request_id"}
            assert told["error"] == {"type": "api_error", "message": text}
        elif case.startswith("SSE"):
            error = msgspec.json.decode(last.removeprefix(b"data: "))["error"]
            assert error == {"message": text, "type": "api_error", "param": None, "code": None}
            assert last.endswith(b"\n\n")
        else:
            assert msgspec.json.decode(last) == {"error": text}
            assert last.endswith(b"\n")
        assert not heard.endswith(b"0\r\n\r\n")
        assert (failed.phase, failed.fault, failed.node_id) == ("stream", "node", "n1")
        assert failed.lease == "1.1"
        assert control.kinds[-1] == "RequestFailed"

    run(main())


def _route(case: str) -> str:
    if case.startswith("named"):
        return "/v1/messages"
    return "/v1/chat/completions" if case.startswith("SSE") else "/api/chat"


def _dechunked(data: bytes) -> bytes:
    body = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        body, data = body + data[: int(size, 16)], data[int(size, 16) + 2 :]
    return body


@pytest.mark.parametrize("framing", [b"Content-Length: 100", b"Transfer-Encoding: chunked"])
def test_a_json_answer_that_breaks_off_is_aborted(framing: bytes, run: Run) -> None:
    async def script(ask: Ask) -> None:
        ask.send(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n" % framing)
        ask.send(b'a\r\n{"model":"\r\n' if b"chunked" in framing else b'{"model":"')
        await asyncio.sleep(0.01)
        ask.close()

    async def main() -> None:
        async with node(script) as bad:
            control = Control(bad.url)
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/api/chat", QUIET)
                await one.until(b'{"model":"')
                try:
                    rest = await one.rest()
                except ConnectionResetError:
                    rest = b""
                assert rest in (b"", b"\r\n")
            await control.heard(RequestFailed)

    run(main())


def test_a_large_json_answer_without_a_length_that_breaks_off_is_aborted(run: Run) -> None:
    async def script(ask: Ask) -> None:
        ask.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        ask.send(b'{"embeddings":[[' + b"0.123456," * 20_000)
        await asyncio.sleep(0.01)
        ask.close()

    async def main() -> None:
        async with node(script) as bad:
            control = Control(bad.url)
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/api/embed", b'{"model":"m:latest","input":"canary"}')
                try:
                    heard = await one.rest()
                except ConnectionResetError:
                    heard = b""
                assert not heard.endswith(b"0\r\n\r\n")
            failed = await control.heard(RequestFailed)
        assert failed.error == "answer without an end"

    run(main())


def test_a_nodes_own_error_line_is_passed_and_told_as_a_failure(run: Run) -> None:
    async def main() -> None:
        async with node(_cut(ND, NDJSON[0], b'{"error":"canary"}\n', clean=True)) as bad:
            control = Control(bad.url)
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/api/chat", CHAT)
                assert (await one.answer())[1] == NDJSON[0] + b'{"error":"canary"}\n'
                failed = await control.heard(RequestFailed)
                assert "canary" not in failed.error
                assert failed.completion_tokens == 2

    run(main())


# The client leaves


@pytest.mark.parametrize("phase", ["queue", "connect", "first_byte", "stream", "whole"])
def test_a_client_that_leaves_frees_its_node_at_once(phase: str, run: Run) -> None:
    async def main() -> None:
        freed = asyncio.Event()

        async def script(ask: Ask) -> None:
            if phase == "stream":
                ask.begin()
                ask.chunk(NDJSON[0])
            elif phase == "whole":
                ask.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
            await ask.gone()
            freed.set()

        with _full() as full:
            async with node(script) as here:
                url = f"http://127.0.0.1:{full}" if phase == "connect" else here.url
                control = Control(url)
                control.holds = phase == "queue"
                async with fronting(control) as listener, client(listener.port) as one:
                    post(one, "/api/chat", CHAT)
                    await control.heard(RequestReceived)
                    if phase in ("stream", "whole"):
                        await one.until(b"{")
                    elif phase == "first_byte":
                        await here.ask()
                    else:
                        await asyncio.sleep(0.02)
                    one.close()
                    cancelled = await control.heard(RequestCancelled)
                    if phase not in ("queue", "connect"):
                        await freed.wait()
                    assert control.front is not None
                    assert control.front.carrying() == ((), ())
        assert cancelled.phase == ("stream" if phase == "whole" else phase)
        assert cancelled.lease == ("" if phase == "queue" else "1.1")
        assert control.kinds == ["RequestReceived", "RequestCancelled"]

    run(main())


class _full:  # noqa: N801 (reads as a function)
    """A port whose queue is full, so that nobody ever connects."""

    def __enter__(self) -> int:
        self._server = socket.socket()
        self._server.bind(("127.0.0.1", 0))
        self._server.listen(0)
        self._clients = [socket.socket() for _ in range(4)]
        for one in self._clients:
            one.setblocking(False)  # noqa: FBT003 (its only argument)
            one.connect_ex(self._server.getsockname())
        return int(self._server.getsockname()[1])

    def __exit__(self, *_: object) -> None:
        for one in self._clients:
            one.close()
        self._server.close()


# The client does not read


def test_a_client_that_does_not_read_holds_the_node_back(run: Run) -> None:
    line = b'{"model":"m","message":{"content":"' + b"z" * 65_000 + b'"},"done":false}\n'

    async def main() -> None:
        sent = 0
        stuck = asyncio.Event()

        async def script(ask: Ask) -> None:
            nonlocal sent
            ask.begin()
            for _ in range(500):
                ask.chunk(line)
                sent += len(line)
                try:
                    async with asyncio.timeout(0.3):
                        await ask.writer.drain()
                except TimeoutError:
                    stuck.set()
                    await ask.writer.drain()
            ask.chunk(NDJSON[2])
            ask.end()

        async with node(script) as here:
            control = Control(here.url)
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/api/chat", CHAT)
                await stuck.wait()
                assert sent < 25_000_000
                _, body = await one.answer()
                assert body == line * 500 + NDJSON[2]
                assert (await control.heard(RequestCompleted)).completion_tokens == 2

    run(main())


def test_a_client_that_never_reads_loses_its_slot(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "SWEEP_S", 0.02)

    async def script(ask: Ask) -> None:
        ask.begin()
        ask.chunk(b'{"z":"')
        while not ask.writer.is_closing():
            ask.chunk(b"z" * 65_536)
            await ask.writer.drain()

    async def main() -> None:
        async with node(script) as here:
            control = Control(here.url)
            limits = Limits(write_timeout_s=0.1)
            async with fronting(control, limits) as listener, client(listener.port) as one:
                post(one, "/api/chat", CHAT)
                assert (await control.heard(RequestCancelled)).phase == "stream"

    run(main())
