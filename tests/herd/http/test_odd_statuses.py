"""A node whose status means nothing has failed: no client waits for an answer to it."""

import asyncio

import pytest

from events import AttemptFailed, ModelFacts
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import QUIET, Ask, Control, Script, fronting, node, node_view, post, view
from tests.herd.http.sockets import client
from tests.herd.http.test_relay import ANSWER
from tests.herd.http.test_show import at

STATUSES = ("000", "099", "600", "999")
LLAMA = ModelFacts(name="llama3.2:3b", size_bytes=2_000_000_000)
ASKED = b'{"model":"llama3.2:3b"}'


def answering(status: str) -> Script:
    async def script(ask: Ask) -> None:
        ask.send(b"HTTP/1.1 %b X\r\nContent-Length: 2\r\n\r\n{}" % status.encode())
        await asyncio.sleep(0.01)
        ask.close()

    return script


@pytest.mark.parametrize("path", ["/api/show", "/api/pull", "/api/push", "/api/create"])
@pytest.mark.parametrize("status", STATUSES)
def test_orders_end_with_502(status: str, path: str, run: Run) -> None:
    async def main() -> None:
        async with node(answering(status)) as here:
            control = Control()
            control.view = view(at(node_view("ada", LLAMA), here.url))
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, path, ASKED)
                async with asyncio.timeout(5):
                    head, body = await one.answer()
        assert head.startswith(b"HTTP/1.1 502 ")
        assert b"not an HTTP answer: a status of %d" % int(status) in body

    run(main())


@pytest.mark.parametrize("status", STATUSES)
def test_a_request_goes_to_another_node(status: str, run: Run) -> None:
    async def fine(ask: Ask) -> None:
        ask.answer(ANSWER)

    async def main() -> None:
        async with node(answering(status)) as bad, node(fine) as good:
            control = Control(bad.url, good.url)
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/api/chat", QUIET)
                assert (await one.answer())[1] == ANSWER
            failed = await control.heard(AttemptFailed)
            assert failed.error == f"not an HTTP answer: a status of {int(status)}"

    run(main())


@pytest.mark.parametrize("path", ["/api/show", "/api/pull"])
def test_nobody_waits_where_herd_itself_fails(
    path: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fine(ask: Ask) -> None:
        ask.answer(b"{}")

    async def main() -> None:
        async with node(fine) as here:
            control = Control()
            control.view = view(at(node_view("ada", LLAMA), here.url))
            async with fronting(control) as listener, client(listener.port) as one:
                monkeypatch.setattr("herd.http.wire._STATUS_LINES", {500: b"HTTP/1.1 500 X\r\n"})
                post(one, path, ASKED)
                async with asyncio.timeout(5):
                    head, _ = await one.answer()
        assert head.startswith(b"HTTP/1.1 500 ")

    run(main())
