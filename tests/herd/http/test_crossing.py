"""A node without `/v1/messages` is asked on the route that it has; another, byte for byte."""

import asyncio
from typing import Literal

import msgspec
import pytest

from events import ModelFacts, NodeFacts, NodeId, RequestCompleted, RequestFailed, RequestReceived
from herd.link.messages import NodeView, View
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import SSE, Ask, Control, fronting, node, post
from tests.herd.http.sockets import client

PATH = "/v1/messages"
BODY = b'{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"Hi"}],"stream":%b}'
WHOLE = b'{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":5}}'  # noqa: E501 (one line on the wire)


async def old(ask: Ask) -> None:
    """Know chat completions only."""
    if b"/v1/chat/completions" not in ask.head:
        ask.answer(b"404 page not found", 404, b"text/plain")
    elif b'"stream":true' in ask.body:
        ask.begin(b"text/event-stream")
        for event in SSE:
            ask.chunk(event)
        ask.end()
    else:
        ask.answer(WHOLE)


def test_the_route_is_missed_once_and_then_known(run: Run) -> None:
    async def main() -> None:
        async with node(old) as here:
            control = Control(here.url, here.url)
            async with fronting(control) as listener, client(listener.port) as one:
                for _ in range(2):
                    post(one, PATH + "?beta=true", BODY % b"false")
                    _, answer = await one.answer()
                    told = msgspec.json.decode(answer)
                    assert told["content"] == [{"type": "text", "text": "Hi"}]
                    assert told["stop_reason"] == "end_turn"
            targets = [ask.head.split(b" ")[1] for ask in here.asks]
            assert targets == [b"/v1/messages?beta=true", *[b"/v1/chat/completions"] * 2]
            done = await control.heard(RequestCompleted, 2)
            assert (done.prompt_tokens, done.completion_tokens) == (3, 5)

    run(main())


def test_a_stream_is_translated_as_it_comes(run: Run) -> None:
    async def main() -> None:
        async with node(old) as here:
            control = Control(here.url)
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, PATH, BODY % b"true")
                told = await one.until(b"event: message_stop")
            assert b"text/event-stream" in told
            assert told.index(b"message_start") < told.index(b"text_delta")
            await control.heard(RequestCompleted)

    run(main())


@pytest.mark.parametrize(("stream", "length"), [(b"false", True), (b"true", False)])
def test_only_what_is_whole_has_a_length(stream: bytes, length: bool, run: Run) -> None:  # noqa: FBT001 (a case)
    async def at_once(ask: Ask) -> None:
        if b"/v1/chat" in ask.head and b'"stream":true' in ask.body:
            head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
            pieces = b"".join(b"%x\r\n%b\r\n" % (len(line), line) for line in SSE)
            ask.send(head + b"Transfer-Encoding: chunked\r\n\r\n" + pieces + b"0\r\n\r\n")
        else:
            await old(ask)

    async def main() -> None:
        async with (
            node(at_once) as here,
            fronting(Control(here.url)) as listener,
            client(listener.port) as one,
        ):
            post(one, PATH, BODY % stream)
            head = await one.head()
            assert (b"Content-Length: " in head) == length
            assert (b"Transfer-Encoding: chunked" in head) != length

    run(main())


def test_a_cut_is_an_error_and_never_an_end(run: Run) -> None:
    async def cut(ask: Ask) -> None:
        if b"/v1/chat" not in ask.head:
            await old(ask)
            return
        ask.begin(b"text/event-stream")
        ask.chunk(SSE[0])
        await ask.writer.drain()
        ask.close()

    async def main() -> None:
        async with node(cut) as here:
            control = Control(here.url)
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, PATH, BODY % b"true")
                told = await one.until(b"event: error")
                assert b"message_stop" not in told
                await control.heard(RequestFailed)

    run(main())


def test_what_cannot_be_translated_is_a_400(run: Run) -> None:
    async def main() -> None:
        async with node(old) as here:
            async with fronting(Control(here.url)) as listener, client(listener.port) as one:
                post(one, PATH, b'{"model":"m","messages":[]}')
                head, answer = await one.answer()
            assert head.startswith(b"HTTP/1.1 400")
            assert msgspec.json.decode(answer)["error"]["type"] == "invalid_request_error"
            assert len(here.asks) == 1

    run(main())


@pytest.mark.parametrize("cut", [99, 34, 10, 1])
def test_a_route_that_is_missed_with_a_good_status_is_missed(cut: int, run: Run) -> None:
    said = b'{"error":"Unexpected endpoint or method. (POST /v1/messages)"}'  # LM Studio's

    async def polite(ask: Ask) -> None:
        if b"/v1/chat" in ask.head:
            await old(ask)
            return
        ask.begin(b"application/json")
        for piece in (said[:cut], said[cut:]):
            if piece:
                ask.chunk(piece)
                await ask.writer.drain()
                await asyncio.sleep(0.01)
        ask.end()

    async def main() -> None:
        async with node(polite) as here:
            control = Control(here.url, here.url)
            async with fronting(control) as listener, client(listener.port) as one:
                for _ in range(2):
                    post(one, PATH, BODY % b"false")
                    head, answer = await one.answer()
                    assert head.startswith(b"HTTP/1.1 200")
                    assert msgspec.json.decode(answer)["content"][0]["text"] == "Hi"
            assert len(here.asks) == 3
            await control.heard(RequestCompleted, 2)

    run(main())


def test_a_missing_model_is_no_missing_route(run: Run) -> None:
    said = b'{"type":"error","error":{"type":"not_found_error","message":"model \'m\' not found"}}'

    async def script(ask: Ask) -> None:
        ask.answer(said, 404)

    async def main() -> None:
        async with node(script) as here:
            async with fronting(Control(here.url)) as listener, client(listener.port) as one:
                post(one, PATH, BODY % b"false")
                _, answer = await one.answer()
            assert answer == said
            assert len(here.asks) == 1

    run(main())


def test_responses_are_crossed_too(run: Run) -> None:
    path, body = "/v1/responses", b'{"model":"m","input":"Hi","stream":%b}'

    async def main() -> None:
        async with node(old) as here:
            control = Control(*[here.url] * 3)
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, path, body % b"false")
                told = msgspec.json.decode((await one.answer())[1])
                assert (told["object"], told["status"]) == ("response", "completed")
                post(one, path, body.replace(b'"Hi"', b'"Hi","background":true') % b"false")
                head, refused = await one.answer()
                error = msgspec.json.decode(refused)["error"]
                assert head.startswith(b"HTTP/1.1 400")
                assert error["type"] == "invalid_request_error"
                assert "background" in error["message"]
                post(one, path, body % b"true")
                await one.until(b"event: response.completed")
            targets = [ask.head.split(b" ")[1] for ask in here.asks]
            assert targets == [b"/v1/responses", *[b"/v1/chat/completions"] * 2]
            done = await control.heard(RequestCompleted)
            assert (done.prompt_tokens, done.completion_tokens) == (3, 5)

    run(main())


def test_what_is_left_out_is_named_in_the_head(run: Run) -> None:
    offer = b'"tools":[{"type":"web_search"}],"model"'

    async def main() -> None:
        async with (
            node(old) as here,
            fronting(Control(here.url, here.url)) as listener,
            client(listener.port) as one,
        ):
            for asked, named in ((offer, True), (b'"model"', False)):
                body = b'{"model":"m","input":"Hi"}'.replace(b'"model"', asked)
                post(one, "/v1/responses", body)
                head, _ = await one.answer()
                assert (b"\r\nX-Herd-Left-Out: tools.web_search\r\n" in head) == named

    run(main())


CHAT_M = b'{"model":"m","messages":[{"role":"user","content":"Hi"}],"stream":%b}'
RAW = b'{"model":"m","prompt":"x","raw":true,"stream":false}'


def seen(name: str, url: str, dialect: Literal["ollama", "openai"]) -> NodeView:
    facts, models = NodeFacts(dialect=dialect), (ModelFacts(name="m:latest"),)
    return NodeView(NodeId(name), url, "online", "configured", False, facts, (), models, {})  # noqa: FBT003 (it is not draining)


def view(*nodes: NodeView, translates: bool = True) -> View:
    return View(nodes=nodes, settings={"translate_ollama": translates})


def test_ollamas_routes_are_translated_without_asking_first(run: Run) -> None:
    async def main() -> None:
        async with node(old) as here:
            control = Control(here.url, here.url)
            control.view = view(seen("a", here.url, "openai"))
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/api/chat", CHAT_M % b"false")
                head, answer = await one.answer()
                told = msgspec.json.decode(answer)
                assert b"Content-Type: application/json; charset=utf-8\r\n" in head
                assert (told["model"], told["message"]["content"]) == ("m", "Hi")
                assert (told["done"], told["eval_count"]) == (True, 5)
                post(one, "/api/chat", CHAT_M % b"true")
                streamed = await one.until(b'"done":true')
                assert streamed.count(b"Content-Type: application/x-ndjson") == 1
                assert b"event-stream" not in streamed
            assert {ask.head.split(b" ")[1] for ask in here.asks} == {b"/v1/chat/completions"}
            done = await control.heard(RequestCompleted, 2)
            assert done.finish == "stop"

    run(main())


@pytest.mark.parametrize(
    ("dialect", "told"), [("openai", b'"Org/M"'), ("ollama", b'"org/m:LATEST"')]
)
def test_only_an_ollama_is_asked_in_the_clients_spelling(
    dialect: Literal["openai", "ollama"], told: bytes, run: Run
) -> None:
    async def main() -> None:
        async with node(old) as here:
            control = Control(here.url)
            there = seen("a", here.url, dialect)
            control.view = view(msgspec.structs.replace(there, models=(ModelFacts(name="Org/M"),)))
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/v1/chat/completions", b'{"model": "org/m:LATEST","messages":[]}')
                await one.answer()
            assert here.asks[0].body == b'{"model": %b,"messages":[]}' % told

    run(main())


def test_an_ollama_is_asked_on_its_own_route(run: Run) -> None:
    async def main() -> None:
        async with node(old) as here:
            control = Control(here.url)
            control.view = view(seen("a", here.url, "ollama"))
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/api/chat", CHAT_M % b"false")
                head, _ = await one.answer()
                assert head.startswith(b"HTTP/1.1 404")
            assert [ask.head.split(b" ")[1] for ask in here.asks] == [b"/api/chat"]

    run(main())


def test_what_only_an_ollama_can_do_is_refused_or_said_to_control(run: Run) -> None:
    async def main() -> None:
        async with node(old) as here:
            control = Control(here.url)
            control.view = view(seen("a", here.url, "openai"))
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/api/generate", RAW)
                head, answer = await one.answer()
                assert head.startswith(b"HTTP/1.1 400")
                assert "cannot translate: raw" in msgspec.json.decode(answer)["error"]
                assert not control.facts
        for both, translates in ((True, True), (False, False)):
            control = Control()
            nodes = [seen("a", "http://127.0.0.1:1", "openai")]
            nodes += [seen("b", "http://127.0.0.1:2", "ollama")] if both else []
            control.view = view(*nodes, translates=translates)
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/api/generate", RAW)
                await one.answer()
            assert (await control.heard(RequestReceived)).native is translates

    run(main())


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (
            "/api/chat",
            rb'{"Model":"m","Messages":[{"role":"user","content":"\ud83d"}],"STREAM":%b}',
        ),
        (
            "/v1/messages",
            rb'{"model":"m","Max_Tokens":5,"messages":[{"role":"user","content":"\ud83d"}],"stream":%b}',
        ),
        ("/v1/responses", rb'{"MODEL":"m","input":"\ud83d","stream":%b}'),
    ],
)
def test_keys_in_any_case_and_halves_of_characters_are_taken_as_go_takes_them(
    path: str, body: bytes, run: Run
) -> None:
    async def main() -> None:
        async with node(old) as here:
            control = Control(here.url, here.url)
            control.view = view(seen("a", here.url, "openai"))
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, path, body % b"false")
                head, _ = await one.answer()
                assert head.startswith(b"HTTP/1.1 200")
                post(one, path, body % b"true")
                head, _ = await one.answer()
                assert head.startswith(b"HTTP/1.1 200")
            for ask in here.asks[-2:]:
                asked = msgspec.json.decode(ask.body)
                assert asked["messages"] == [{"role": "user", "content": "\ufffd"}]

    run(main())


@pytest.mark.parametrize("kind", [b"application/x-www-form-urlencoded", b"text/plain", b""])
def test_a_translated_body_is_json_whatever_the_client_said(run: Run, kind: bytes) -> None:
    """Ollama takes what curl sends; vLLM refuses all that is not called JSON."""

    async def main() -> None:
        async with node(old) as here:
            control = Control(here.url)
            control.view = view(seen("a", here.url, "openai"))
            async with fronting(control) as listener, client(listener.port) as one:
                said = (b"content-type: " + kind,) if kind else ()
                post(one, "/api/chat", CHAT_M % b"false", *said, b"X-Mine: 1")
                await one.answer()
            head = here.asks[0].head.lower()
            assert head.count(b"content-type:") == 1
            assert b"\r\ncontent-type: application/json\r\n" in head
            assert b"\r\nx-mine: 1\r\n" in head

    run(main())


@pytest.mark.parametrize(
    ("said", "kind", "told"),
    [
        (b"Not Found", b"text/plain", "this node has no /v1/embeddings"),  # MLX
        (b'{"detail":"Not Found"}', b"application/json", "this node has no /v1/embeddings"),  # vLLM
        (b'{"error":"model not found"}', b"application/json", "model not found"),
        (b'{"error":"no snapshot of it"}', b"application/json", "no snapshot of it"),
        (b'{"detail":"gone"}', b"application/json", "gone"),
        (b'{"detail":["a",1]}', b"application/json", '["a",1]'),
        (b"{}", b"application/json", "the node answered 404"),
    ],
)
def test_a_404_tells_what_is_missing(run: Run, said: bytes, kind: bytes, told: str) -> None:
    async def missing(ask: Ask) -> None:
        ask.answer(said, 404, kind)

    async def main() -> None:
        async with node(missing) as here:
            control = Control(here.url)
            control.view = view(seen("a", here.url, "openai"))
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/api/embed", b'{"model":"m","input":"x"}')
                head, answer = await one.answer()
            assert head.startswith(b"HTTP/1.1 404")
            assert msgspec.json.decode(answer) == {"error": told}

    run(main())
