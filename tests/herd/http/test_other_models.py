"""What a front tells of a body, and what it makes of a grant for another model or context."""

import logging

import msgspec
import pytest

from events import CarriedRequest, Lease, NodeId, RequestCompleted, RequestReceived, ResidentModel
from herd.http.needs import needs_of
from herd.http.noted import MOST_TAGS, cleaned
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import Ask, Control, fronting, header, node, node_view, post, view
from tests.herd.http.sockets import client
from tests.herd.http.test_crossing import old, seen
from tests.herd.http.test_crossing import view as in_translation

ANSWER = b'{"model":"b:1","done":true,"done_reason":"stop"}\n'


async def answered(ask: Ask) -> None:
    ask.answer(ANSWER)


def test_what_is_said_to_herd_alone_is_told_and_not_passed_on(run: Run) -> None:
    body = (
        b'{"model":"a:1","fallback_models":["B:1","not a name!"], "stream":false,'
        b'"metadata":{"tags":["x", "night "],"user_id":"u"},"user":"ada"}'
    )

    async def main() -> None:
        async with node(answered) as here:
            control = Control(here.url)
            async with fronting(control) as listener, client(listener.port) as one:
                lines = (b"X-Herd-Tags: web, x,", b"X-Fleet-No-Fallback: Yes")
                post(one, "/api/chat", body, *lines)
                await one.answer()
            told = await control.heard(RequestReceived)
            assert told.tags == ("x", "night", "web")
            assert (told.app, told.fallbacks, told.no_fallback) == ("x", ("B:1",), True)
            passed = here.asks[0]
        assert passed.body == (
            b'{"model":"a:1","stream":false,"metadata":{"user_id":"u"},"user":"ada"}'
        )
        assert told.body_bytes == len(passed.body)
        assert b"Tags" not in passed.head
        assert b"Fallback" not in passed.head

    run(main())


@pytest.mark.parametrize("resident", [True, False])
def test_what_a_body_uses_is_told_while_its_model_is_in_no_memory(
    resident: bool,  # noqa: FBT001 (drawn)
    run: Run,
) -> None:
    async def main() -> None:
        async with node(answered) as here:
            control = Control(here.url)
            there = (ResidentModel(name="a:1"),) if resident else ()
            control.view = view(node_view("n", resident=there))
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/api/chat", b'{"model":"a:1","stream":false,"tools":[{}]}')
                await one.answer()
            told = await control.heard(RequestReceived)
        assert told.needs == (None if resident else ("tools",))

    run(main())


@pytest.mark.parametrize(
    ("body", "needs"),
    [
        (b'{"tools":[]}', ()),
        (b'{"tools": [ {"type":"function"}]}', ("tools",)),
        (b'{"messages":[{"images":["aGk="]}]}', ("vision",)),
        (b'{"images": []}', ()),
        (b'{"content":[{"type":"image_url","image_url":{}}],"tools":[1]}', ("tools", "vision")),
        (b'{"content":[{"type":"image","source":{}}]}', ("vision",)),
        (b'{"input":[{"type": "input_image"}]}', ("vision",)),
        (b'{"content":"say \\"image\\" and \\"tools\\":[1]"}', ()),
    ],
)
def test_what_a_body_uses(body: bytes, needs: tuple[str, ...]) -> None:
    assert needs_of(body) == needs


def test_tags_are_bounded() -> None:
    assert cleaned([" a", "a ", "", "b" * 200]) == ("a", "b" * 80)
    assert len(cleaned(str(n) for n in range(100))) == MOST_TAGS


@pytest.mark.parametrize(
    ("reason", "fallback"),
    [("alias", b"false"), ("fallback_models", b"true"), ("vram", b"true"), ("anthropic", b"true")],
)
def test_another_models_name_goes_to_the_node_and_into_headers_and_facts(
    reason: str, fallback: bytes, run: Run
) -> None:
    async def main() -> None:
        async with node(answered) as here:
            control = Control(here.url)
            control.predicted = {"model": "b:1", "reason": reason}
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/api/chat", b'{ "model" :"A","stream":false}')
                head, body = await one.answer()
            done = await control.heard(RequestCompleted)
            assert here.asks[0].body == b'{ "model" :"b:1","stream":false}'
        assert header(head, b"X-Fleet-Requested-Model") == b"A"
        assert header(head, b"X-Fleet-Served-Model") == b"b:1"
        assert header(head, b"X-Fleet-Fallback") == fallback
        assert (b"X-Fleet-Fallback-Reason: " + reason.encode() in head) is (fallback == b"true")
        assert (done.model, body) == ("b:1", ANSWER)

    run(main())


@pytest.mark.parametrize(
    ("predicted", "named"),
    [
        ({}, "A"),
        *[({"model": "b:1", "reason": reason}, "b:1") for reason in ("alias", "vram", "anthropic")],
    ],
)
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/responses", "/api/chat"])
def test_an_answer_that_was_translated_names_the_model_that_serves(
    path: str, predicted: dict[str, str], named: str, run: Run
) -> None:
    """As the answer of a node that has the route does: it names the model that it was asked for."""
    body = b'{"model":"A","input":"Hi","max_tokens":5,"messages":[{"role":"user","content":"Hi"}],'

    async def main() -> None:
        async with node(old) as here:
            control = Control(here.url)
            control.view = in_translation(seen("a", here.url, "openai"))
            control.predicted = predicted
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, path, body + b'"stream":false}')
                _, answer = await one.answer()
        assert msgspec.json.decode(answer)["model"] == named

    run(main())


def test_the_second_node_gets_the_model_of_its_own_grant(run: Run) -> None:
    """The first was sent another model, the second the asked one again."""

    async def failing(ask: Ask) -> None:
        ask.answer(b"{}", status=500)

    async def main() -> None:
        async with node(failing) as first, node(answered) as second:
            control = Control(first.url, second.url)
            control.predicted = {"model": "b:1", "reason": "vram", "context": ("pinned", 8, 8)}
            async with fronting(control) as listener, client(listener.port) as one:
                body = b'{"model":"a:1","stream":false,"options":{"num_ctx":4}}'
                post(one, "/api/chat", body)
                asked = await first.ask()
                assert asked.body == b'{"model":"b:1","stream":false,"options":{"num_ctx":8}}'
                control.predicted = {"model": "a:1"}
                head, _ = await one.answer()
            assert second.asks[0].body == body
        assert header(head, b"X-Fleet-Served-Model") == b"a:1"
        assert header(head, b"X-Fleet-Fallback") == b"false"
        assert b"X-Fleet-Context" not in head

    run(main())


def test_a_front_carries_the_model_that_serves(run: Run) -> None:
    async def main() -> None:
        async def silent(ask: Ask) -> None:
            await ask.gone()

        async with node(silent) as here:
            control = Control(here.url)
            control.predicted = {"model": "b:1", "reason": "alias"}
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/api/chat", b'{"model":"a:1"}')
                await here.ask()
                told = await control.heard(RequestReceived)
                assert control.front is not None
                _, carried = control.front.inference.carrying()
                assert carried == (
                    CarriedRequest(told.request_id, "b:1", NodeId("n1"), Lease("1.1")),
                )

    run(main())


def test_a_context_that_nobody_asked_for_is_named_and_not_worth_a_line_in_the_log(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def main() -> None:
        async with node(answered) as here:
            control = Control(here.url)
            control.predicted = {"context": ("pinned", 8192, 8192)}
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/api/chat", b'{"model":"a:1","stream":false}')
                head, _ = await one.answer()
            assert msgspec.json.decode(here.asks[0].body)["options"] == {"num_ctx": 8192}
        assert header(head, b"X-Fleet-Context") == b"pinned; asked=0; loaded=8192"

    run(main())
    assert [each for each in caplog.records if each.name == "herd.http.granted"] == []


@pytest.mark.parametrize(
    ("context", "forwarded", "line", "level"),
    [
        (("pinned", 4096, 4096), 4096, b"pinned; asked=2048; loaded=4096", logging.INFO),
        (("reloads", 0, 1024), 2048, b"reloads; asked=2048; loaded=1024", logging.WARNING),
    ],
)
def test_what_became_of_a_context_is_told(  # noqa: PLR0917 (one a thing that varies)
    context: tuple[str, int, int],
    forwarded: int,
    line: bytes,
    level: int,
    run: Run,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)

    async def main() -> None:
        async with node(answered) as here:
            control = Control(here.url)
            control.predicted = {"context": context}
            async with fronting(control) as listener, client(listener.port) as one:
                body = b'{"model":"a:1","stream":false,"options":{"num_ctx":2048,"seed":1}}'
                post(one, "/api/chat", body)
                head, _ = await one.answer()
            options = msgspec.json.decode(here.asks[0].body)["options"]
        assert options == {"num_ctx": forwarded, "seed": 1}
        assert header(head, b"X-Fleet-Context") == line

    run(main())
    [record] = [each for each in caplog.records if each.name == "herd.http.granted"]
    assert record.getMessage().startswith("Context protection: ")
    assert record.levelno == level
