"""`/api/show`: what one node says of a model, whichever has it."""

import asyncio
from typing import Any

import msgspec
import pytest

from events import ModelFacts, NodeFacts, ResidentModel
from herd.link.messages import NodeView, View
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import Ask, Control, fronting, header, node, node_view, post, view
from tests.herd.http.sockets import client

LLAMA = ModelFacts(name="Llama3.2:3b", size_bytes=2_000_000_000)
ASKED = b'{"model":"llama3.2:3b","verbose":true}'
TOLD = b'{"capabilities":["completion"],"model_info":{"general.architecture":"llama"}}'


async def told_of(ask: Ask) -> None:
    ask.answer(TOLD, content_type=b"application/json; charset=utf-8")


def at(seen: NodeView, url: str) -> NodeView:
    return msgspec.structs.replace(seen, url=url)


def test_it_is_passed_on_as_it_is(run: Run) -> None:
    async def main() -> None:
        async with node(told_of) as here:
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
        async with node(told_of) as cold, node(told_of) as warm:
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
        (b'{"model":7}', 400, "cannot unmarshal number into Go struct field ShowRequest.model"),
        (b"[]", 400, "cannot unmarshal array into Go value of type api.ShowRequest"),
        (b'{"Name":"nope","name":null}', 400, "model is required"),
        (b'{"NAME":"nope"}', 404, "model 'nope' not found"),
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


GEMMA = ModelFacts(name="gemma-3", size_bytes=9, quantization_level="Q4_0", context_length=8192)


def on_v1(*resident: ResidentModel, **settings: bool | str) -> View:
    facts = NodeFacts(dialect="openai")
    seen = view(node_view("vllm", GEMMA, facts=facts, resident=resident))
    return msgspec.structs.replace(seen, settings=settings)


async def shown(seen: View, body: bytes) -> tuple[bytes, Any]:
    control = Control()
    control.view = seen
    async with fronting(control) as listener, client(listener.port) as one:
        post(one, "/api/show", body)
        head, found = await one.answer()
    return head, msgspec.json.decode(found)


def test_what_servers_without_the_route_told_is_told_without_asking_them(run: Run) -> None:
    async def main() -> None:
        loaded = ResidentModel(name="gemma-3", context_length=4096)
        body = b'{"model":"Gemma-3","verbose":true}'
        head, told = await shown(on_v1(loaded, translate_ollama=True), body)
        assert header(head, b"X-Fleet-Node") == b"vllm"
        assert told["capabilities"] == ["completion"]
        assert told["model_info"] == {
            "general.architecture": "unknown",
            "unknown.context_length": 4096,
        }
        assert told["details"]["quantization_level"] == "Q4_0"
        assert (told["modelfile"], told["template"]) == ("", "")
        _, told = await shown(on_v1(translate_ollama=True), body)
        assert told["model_info"]["unknown.context_length"] == 8192
        head, told = await shown(on_v1(), body)
        assert head.startswith(b"HTTP/1.1 400 ")
        assert "/v1/chat/completions" in told["error"]

    run(main())


def test_an_alias_shows_what_it_stands_for(run: Run) -> None:
    async def main() -> None:
        settings: dict[str, bool | str] = {
            "translate_ollama": True,
            "model_aliases": "gpt-*=llama3.2:3b,mine=gemma-3",
        }
        head, told = await shown(on_v1(**settings), b'{"name":"mine"}')
        assert (head[:13], told["capabilities"]) == (b"HTTP/1.1 200 ", ["completion"])
        async with node(told_of) as here:
            seen = view(at(node_view("ada", LLAMA), here.url))
            seen = msgspec.structs.replace(seen, settings=settings)
            await shown(seen, b'{"name":"gpt-4","verbose":true}')
            assert here.asks[0].body == b'{"model":"Llama3.2:3b","verbose":true}'

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
