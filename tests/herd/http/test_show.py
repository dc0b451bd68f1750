"""`/api/show`: what one node says of a model, whichever has it."""

import asyncio

import msgspec
import pytest

from events import ModelFacts, NodeFacts, ResidentModel
from herd.link.messages import NodeView
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import Ask, Control, fronting, header, node, node_view, post, view
from tests.herd.http.sockets import client

LLAMA = ModelFacts(name="Llama3.2:3b", size_bytes=2_000_000_000)
ASKED = b'{"model":"llama3.2:3b","verbose":true}'
TOLD = b'{"capabilities":["completion"],"model_info":{"general.architecture":"llama"}}'


async def told(ask: Ask) -> None:
    ask.answer(TOLD, content_type=b"application/json; charset=utf-8")


def at(seen: NodeView, url: str) -> NodeView:
    return msgspec.structs.replace(seen, url=url)


def test_it_is_passed_on_as_it_is(run: Run) -> None:
    async def main() -> None:
        async with node(told) as here:
            control = Control()
            control.view = view(at(node_view("ada", LLAMA), here.url))
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/api/show", ASKED)
                head, body = await one.answer()
            asked = here.asks[0]
        assert head.startswith(b"HTTP/1.1 200 ")
        assert body == TOLD
        assert header(head, b"Content-Type") == b"application/json; charset=utf-8"
        assert header(head, b"X-Fleet-Node") == b"ada"
        assert asked.head.startswith(b"POST /api/show HTTP/1.1")
        assert asked.body == ASKED
        assert control.facts == [], "nothing was computed, so nothing is recorded"

    run(main())


def test_one_that_has_it_in_memory_is_asked_first_and_a_dead_one_is_passed_over(run: Run) -> None:
    async def main() -> None:
        hot = node_view("zoe", LLAMA, resident=(ResidentModel(name="llama3.2:3b"),))
        async with node(told) as cold, node(told) as warm:
            control = Control()
            control.view = view(
                at(node_view("ada", LLAMA, status="degraded"), cold.url),
                at(node_view("bob", LLAMA), "http://127.0.0.1:1"),
                at(hot, warm.url),
            )
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/api/show", ASKED)
                head, _ = await one.answer()
                assert header(head, b"X-Fleet-Node") == b"zoe"
                control.view = view(*control.view.nodes[:2])
                post(one, "/api/show", ASKED)
                head, _ = await one.answer()
                assert header(head, b"X-Fleet-Node") == b"ada", "bob does not listen"
            assert (len(cold.asks), len(warm.asks)) == (1, 1)

    run(main())


def test_an_error_of_the_node_is_passed_on(run: Run) -> None:
    async def refuses(ask: Ask) -> None:
        ask.answer(b'{"error":"model is broken"}', 500)

    async def main() -> None:
        async with node(refuses) as here:
            control = Control()
            control.view = view(at(node_view("ada", LLAMA), here.url))
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/api/show", ASKED)
                head, body = await one.answer()
        assert head.startswith(b"HTTP/1.1 500 ")
        assert body == b'{"error":"model is broken"}'

    run(main())


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        (b"", 400, "missing request body"),
        (b"{", 400, "JSON is malformed"),
        (b'{"model":7}', 400, "JSON is malformed"),
        (b'{"model":" "}', 400, "model is required"),
        (b'{"name":"nope"}', 404, "model 'nope' not found"),
        (ASKED, 502, "ada: connection refused"),
        (b'{"model":"away"}', 503, "on no node that is online now"),
    ],
)
def test_what_cannot_be_shown(body: bytes, status: int, text: str, run: Run) -> None:
    async def main() -> None:
        control = Control()
        away = node_view("eve", ModelFacts(name="away:latest"), status="offline")
        control.view = view(at(node_view("ada", LLAMA), "http://127.0.0.1:1"), away)
        async with fronting(control) as listener, client(listener.port) as one:
            post(one, "/api/show", body)
            head, found = await one.answer()
        assert head.startswith(b"HTTP/1.1 %d " % status)
        assert text in msgspec.json.decode(found)["error"]
        assert (b"Retry-After" in head) == (status == 503)

    run(main())


def test_servers_without_the_route_are_not_asked(run: Run) -> None:
    async def main() -> None:
        control = Control()
        facts = NodeFacts(dialect="openai")
        control.view = view(node_view("vllm", LLAMA, facts=facts))
        async with fronting(control) as listener, client(listener.port) as one:
            post(one, "/api/show", ASKED)
            assert (await one.answer())[0].startswith(b"HTTP/1.1 503 ")

    run(main())


def test_a_client_that_leaves_ends_it(run: Run) -> None:
    async def main() -> None:
        came, left = asyncio.Event(), asyncio.Event()

        async def waits(ask: Ask) -> None:
            came.set()
            await ask.gone()
            left.set()

        async with node(waits) as here:
            control = Control()
            control.view = view(at(node_view("ada", LLAMA), here.url))
            async with fronting(control) as listener:
                async with client(listener.port) as one:
                    post(one, "/api/show", ASKED)
                    await came.wait()
                await asyncio.wait_for(left.wait(), 5)

    run(main())
