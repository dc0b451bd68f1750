"""A node that refuses for reasons of its own gets no more than a try: another one is asked."""

import msgspec
import pytest

from events import AttemptFailed, ModelFacts, RequestCompleted
from herd.http.refusals import LATELY_S, MOST_BYTES, Refusers
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import (
    QUIET,
    Ask,
    Control,
    Script,
    fronting,
    header,
    node,
    node_view,
    post,
    view,
)
from tests.herd.http.sockets import client

ANSWER = b'{"model":"m","done":true,"prompt_eval_count":3,"eval_count":5,"done_reason":"stop"}'
GONE = b'{"error":"model \'m:latest\' not found"}'
BUSY = b'{"error":"slow down"}'


async def answered(ask: Ask) -> None:
    ask.answer(ANSWER)


def refusing(status: int, body: bytes) -> Script:
    async def script(ask: Ask) -> None:
        ask.answer(body, status)

    return script


def among(control: Control, *urls: str) -> Control:
    """Let both nodes have the model."""
    has = ModelFacts(name="m:latest", digest="", size_bytes=1)
    nodes = [
        msgspec.structs.replace(node_view(f"n{n}", has), url=url) for n, url in enumerate(urls)
    ]
    control.view = view(*nodes)
    return control


OTHERS = [
    (404, GONE),
    (404, b'{"error":{"message":"The model `m` does not exist."}}'),
    (429, BUSY),
    (408, BUSY),
    (407, BUSY),
    (401, BUSY),
    (403, BUSY),
    (307, b""),
]


@pytest.mark.parametrize(("status", "body"), OTHERS)
@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions"])
def test_another_node_is_asked(status: int, body: bytes, path: str, run: Run) -> None:
    async def main() -> None:
        async with node(refusing(status, body)) as bad, node(answered) as good:
            control = among(Control(bad.url, good.url), bad.url, good.url)
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, path, QUIET)
                head, said = await one.answer()
            assert head.startswith(b"HTTP/1.1 200 ")
            assert said == ANSWER
            assert header(head, b"X-Fleet-Retries") == b"1"
            failed = await control.heard(AttemptFailed)
            assert (failed.phase, failed.status) == ("first_byte", status)
            assert failed.error == f"answered {status}"

    run(main())


@pytest.mark.parametrize(("status", "body"), OTHERS)
def test_where_no_other_is_left_the_last_refusal_passes_unchanged(
    status: int, body: bytes, run: Run
) -> None:
    async def main() -> None:
        async with node(refusing(429, b"first")) as bad, node(refusing(status, body)) as worse:
            control = among(Control(bad.url, worse.url), bad.url, worse.url)
            async with fronting(control) as listener, client(listener.port) as one:
                for urls in ([bad.url, worse.url], [worse.url]):  # the connection goes on
                    control.urls = list(urls)
                    post(one, "/api/chat", QUIET)
                    head, said = await one.answer()
                    assert head.startswith(b"HTTP/1.1 %d " % status)
                    assert said == body
                    assert header(head, b"Content-Type") == b"application/json"
        assert control.kinds[:3] == ["RequestReceived", "AttemptFailed", "RequestCompleted"]
        assert control.kinds[3:] == ["RequestReceived", "RequestCompleted"], "nobody else is left"

    run(main())


def test_a_refusal_is_kept_for_when_control_finds_no_other_node(run: Run) -> None:
    async def main() -> None:
        async with node(refusing(429, BUSY)) as bad:
            control = among(Control(bad.url), bad.url, "http://127.0.0.1:1")
            async with fronting(control) as listener, client(listener.port) as one:
                for _ in range(2):  # the connection goes on
                    control.urls = [bad.url]
                    post(one, "/api/chat", QUIET)
                    head, said = await one.answer()
                    assert head.startswith(b"HTTP/1.1 429 ")
                    assert said == BUSY
                    assert header(head, b"Content-Type") == b"application/json"
        assert control.kinds == ["RequestReceived", "AttemptFailed"] * 2

    run(main())


def test_who_serves_again_is_asked_again() -> None:
    refusers = Refusers()
    refusers.answered("m", "a", 0.0, refused=True)
    assert refusers.lately("m", "a", 1.0)
    assert not refusers.lately("m", "b", 1.0)
    assert not refusers.lately("m", "a", LATELY_S)
    refusers.answered("m", "a", 2.0, refused=False)
    assert not refusers.lately("m", "a", 2.0)


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (401, BUSY, (b"Authorization: Bearer x",)),
        (403, BUSY, (b"X-Api-Key: x",)),
        (400, GONE, ()),
        (404, b'{"error":"no such file"}', ()),
        (404, b"model not found" + b"x" * MOST_BYTES, ()),
    ],
)
def test_what_speaks_of_the_request_passes_at_once(
    status: int, body: bytes, headers: tuple[bytes, ...], run: Run
) -> None:
    async def main() -> None:
        async with node(refusing(status, body)) as bad, node(answered) as good:
            control = among(Control(bad.url, good.url), bad.url, good.url)
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/v1/chat/completions", QUIET, *headers)
                head, said = await one.answer()
            assert head.startswith(b"HTTP/1.1 %d " % status)
            assert said == body
            assert (await control.heard(RequestCompleted)).status == status
            assert not good.asks

    run(main())
