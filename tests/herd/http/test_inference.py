"""How a request is read, what is refused, and in which words."""

import msgspec
import pytest
from msgspec.structs import replace

from events import (
    ModelFacts,
    RequestReceived,
)
from herd.link.messages import PullView, Refuse
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import (
    CHAT,
    QUIET,
    Ask,
    Control,
    fronting,
    header,
    node,
    node_view,
    post,
    view,
)
from tests.herd.http.sockets import client

LLAMA = ModelFacts(
    name="llama3.2:3b",
    size_bytes=2_019_393_189,
    digest="a80c4f17acd55265feec403c7aef86be0c25983ab279d83f3bcd3abbcb5b8b72",
    modified_at="2026-01-02T03:04:05.678Z",
    format="gguf",
    family="llama",
    families=("llama",),
    parameter_size="3.2B",
    quantization_level="Q4_K_M",
    capabilities=("completion", "tools"),
    context_length=131_072,
)
BARE = ModelFacts(name="org/Mixed-Case:latest")


# What is refused without asking anybody

BAD_BODIES = [
    ("/api/chat", b"", 400, "missing request body"),
    ("/api/chat", b"{", 400, "JSON is malformed: input data was truncated (byte 1)"),
    ("/api/chat", b'{"model": x}', 400, "JSON is malformed: invalid character (byte 10)"),
    (
        "/api/chat",
        b'{"model":"m"} trailing',
        400,
        "JSON is malformed: trailing characters (byte 15)",
    ),
    ("/api/chat", b"{}", 400, "model is required"),
    ("/api/chat", b'{"model":null}', 400, "model is required"),
    ("/api/generate", b"{}", 404, "model '' not found"),
    ("/api/embed", b'{"model":""}', 404, "model '' not found"),
    ("/v1/chat/completions", b"{}", 400, "model is required"),
    ("/v1/embeddings", b"{}", 404, "model '' not found"),
    (
        "/api/chat",
        b"[]",
        400,
        "json: cannot unmarshal array into Go value of type api.ChatRequest",
    ),
    (
        "/v1/chat/completions",
        b"[]",
        400,
        "json: cannot unmarshal array into Go value of type openai.ChatCompletionRequest",
    ),
    (
        "/api/generate",
        b'{"model":5}',
        400,
        "json: cannot unmarshal number into Go struct field GenerateRequest.model of type string",
    ),
    (
        "/api/chat",
        b'{"model":"m","stream":"no"}',
        400,
        "json: cannot unmarshal string into Go struct field ChatRequest.stream of type bool",
    ),
    ("/api/chat", b'{"model":"bad name!"}', 400, "invalid model name"),
    ("/api/chat", b'{"model":"a\\r\\nX-Evil: 1"}', 400, "invalid model name"),
]


@pytest.mark.parametrize(("path", "body", "status", "text"), BAD_BODIES)
def test_a_body_that_says_nothing_is_refused(
    path: str, body: bytes, status: int, text: str, run: Run
) -> None:
    async def main() -> None:
        control = Control()
        async with fronting(control) as listener, client(listener.port) as one:
            post(one, path, body)
            head, found = await one.answer()
        assert head.startswith(b"HTTP/1.1 %d " % status)
        error = msgspec.json.decode(found)["error"]
        assert (error["message"] if path.startswith("/v1/") else error) == text
        assert control.facts == []

    run(main())


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"X-Herd-Deadline-S: soon", 400),
        (b"X-Herd-Deadline-S: -1", 400),
        (b"X-Herd-Deadline-S: inf", 400),
        (b"X-Herd-Priority: urgent", 400),
        (b"X-Herd-Priority:", 400),
        (b"Content-Encoding: gzip", 415),
    ],
)
def test_headers_that_cannot_be_obeyed_are_refused(line: bytes, status: int, run: Run) -> None:
    async def main() -> None:
        async with fronting(Control()) as listener, client(listener.port) as one:
            post(one, "/api/chat", CHAT, line)
            assert (await one.answer())[0].startswith(b"HTTP/1.1 %d " % status)

    run(main())


# What control refuses

REFUSALS = [
    ("unknown_model", 404, 0, "model 'm:latest' not found; no node online", "not_found_error"),
    ("only_v1", 404, 0, "use /v1/chat/completions", "not_found_error"),
    ("queue_full", 429, 7, "see /fleet/status", "api_error"),
    ("too_late", 429, 9, "longer than the deadline", "api_error"),
    ("hold_timeout", 503, 3, "no node online: run `herd node`", "api_error"),
    ("queue_timeout", 503, 2, "see /fleet/status", "api_error"),
    ("deadline", 503, 0, "within the deadline", "api_error"),
    ("still_pulling", 503, 30, "is still being pulled", "api_error"),
    ("pull_failed", 404, 0, "none could pull it", "not_found_error"),
    ("node_failed", 503, 4, "node failed: answered 503: server busy", "api_error"),
    ("internal_error", 500, 0, "herd made a mistake", "api_error"),
    ("something_new", 503, 0, "this request was ended: something new", "api_error"),
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: str(refusal[0]))
@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions"])
def test_a_refusal_has_the_shape_of_its_family(
    path: str, refusal: tuple[str, int, int, str, str], run: Run
) -> None:
    reason, status, wait_s, text, kind = refusal

    async def main() -> None:
        control = Control()
        control.holds = True
        async with fronting(control) as listener, client(listener.port) as one:
            post(one, path, QUIET)
            asked = await control.heard(RequestReceived)
            assert control.front is not None
            said = "answered 503: server busy" if reason == "node_failed" else ""
            control.front.refused(Refuse(asked.request_id, status, reason, wait_s, said))
            head, body = await one.answer()
            control.front.refused(Refuse(asked.request_id, status, reason, wait_s, said))
        error = msgspec.json.decode(body)["error"]
        assert head.startswith(b"HTTP/1.1 %d " % status)
        assert text in (error["message"] if path.startswith("/v1/") else error)
        if path.startswith("/v1/"):
            assert (error["type"], error["param"], error["code"]) == (kind, None, None)
        if status in (429, 503):
            assert header(head, b"Retry-After") == b"%d" % max(1, wait_s)
        else:
            assert b"Retry-After" not in head
        assert header(head, b"X-Fleet-Node") == b""
        assert header(head, b"X-Fleet-Served-Model") == b"", "nobody served it"
        assert header(head, b"X-Herd-Request-Id") == asked.request_id.encode()
        assert control.kinds == ["RequestReceived"]

    run(main())


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("hold_timeout", "model 'm:latest' is on no node that is online"),
        ("unknown_model", "model 'm:latest' not found"),
    ],
)
def test_which_model_is_missing_is_said_when_nodes_are_online(
    reason: str, text: str, run: Run
) -> None:
    async def main() -> None:
        control = Control()
        control.holds = True
        control.view = view(node_view("studio", LLAMA))
        async with fronting(control) as listener, client(listener.port) as one:
            post(one, "/api/chat", QUIET)
            asked = await control.heard(RequestReceived)
            assert control.front is not None
            control.front.refused(Refuse(asked.request_id, 503, reason, 3))
            error = msgspec.json.decode((await one.answer())[1])["error"]
            assert error.startswith(text)
            assert "no node online" not in error

    run(main())


# What control hears


@pytest.mark.parametrize(
    ("body", "model", "asked"),
    [
        (b'{"model":"llama3.2"}', "llama3.2:latest", "llama3.2"),
        (b'{"model":"LLAMA3.2:3B"}', "llama3.2:3b", "LLAMA3.2:3B"),
        (b'{"model":"llama3.2:3b"}', "llama3.2:3b", ""),
        (b'{"Model":"llama3.2:3b"}', "llama3.2:3b", ""),
        (b'{"model":"a","model":"b:1"}', "b:1", ""),
        (b'{"model":"a","MODEL":"b:1"}', "b:1", ""),
        (b'{"model":"a","\\u004dodel":"b:1"}', "b:1", ""),
        (b'{"model":"b:1","model":null}', "b:1", ""),
        (b'{"messages":[{"model":"x"}],"model":"b:1"}', "b:1", ""),
        (b'{"model":"org/mixed-case"}', "org/Mixed-Case:latest", "org/mixed-case"),
    ],
)
def test_the_model_is_read_as_ollama_reads_it(
    body: bytes, model: str, asked: str, run: Run
) -> None:
    async def main() -> None:
        control = Control()
        control.view = view(node_view("studio", LLAMA, BARE))
        async with fronting(control) as listener, client(listener.port) as one:
            post(one, "/api/chat", body)
            received = await control.heard(RequestReceived)
        assert (received.model, received.asked_model) == (model, asked)

    run(main())


@pytest.mark.parametrize("name", ["smollm2", "SMOLLM2:latest", "Smollm2"])
def test_one_that_is_being_pulled_is_one_model_however_it_is_spelled(name: str, run: Run) -> None:
    async def main() -> None:
        control = Control()
        pulling = replace(node_view("studio", LLAMA), pulls=(PullView("smollm2"),))
        control.view = view(pulling)
        async with fronting(control) as listener, client(listener.port) as one:
            post(one, "/api/chat", b'{"model":"%s"}' % name.encode())
            assert (await control.heard(RequestReceived)).model == "smollm2:latest"

    run(main())


@pytest.mark.parametrize(
    ("path", "body", "stream"),
    [
        ("/api/chat", b'{"model":"m"}', True),
        ("/api/chat", b'{"model":"m","stream":null}', True),
        ("/api/chat", b'{"model":"m","stream":false}', False),
        ("/api/embed", b'{"model":"m"}', False),
        ("/v1/chat/completions", b'{"model":"m"}', False),
        ("/v1/chat/completions", b'{"model":"m","stream":true}', True),
    ],
)
def test_whether_it_streams_is_read_as_ollama_reads_it(
    path: str, body: bytes, *, stream: bool, run: Run
) -> None:
    async def main() -> None:
        control = Control()
        async with fronting(control) as listener, client(listener.port) as one:
            post(one, path, body)
            assert (await control.heard(RequestReceived)).stream is stream

    run(main())


def test_who_asks_is_told_by_user_then_product_then_address(run: Run) -> None:
    async def main() -> None:
        control = Control()
        async with fronting(control) as listener, client(listener.port) as one:
            agent = b"User-Agent: ollama-python/0.6.3 (x86_64 linux)"
            post(one, "/api/chat", b'{"model":"m","user":"ann","options":{"num_ctx":8192}}', agent)
            post(one, "/api/chat", b'{"model":"m","options":{"num_ctx":"many"}}', agent)
            post(one, "/api/chat", b'{"model":"m","stream":false,"options":{"num_predict":7}}')
            for number, app in enumerate(("ann", "ollama-python", "127.0.0.1"), 1):
                received = await control.heard(RequestReceived, number)
                assert (received.app, received.client) == (app, "127.0.0.1")
                assert received.num_ctx == (8192 if number == 1 else 0)
                said = received.stream, received.most_tokens
                assert said == ((False, 7) if number == 3 else (True, 0))
                await one.answer()

    run(main())


def test_the_clients_trace_is_recorded_and_passed_on(run: Run) -> None:
    async def main() -> None:
        parent = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        heads: list[bytes] = []

        async def answer(ask: Ask) -> None:
            heads.append(ask.head)
            ask.answer(b'{"done":true}')

        async with node(answer) as here:
            control = Control(here.url)
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/api/chat", b'{"model":"m"}', b"traceparent: " + parent)
                await one.answer()
        assert (await control.heard(RequestReceived)).trace == parent.decode()
        assert header(heads[0], b"traceparent") == parent

    run(main())


# What it predicts


async def _answered(ask: Ask) -> None:
    ask.answer(b'{"done":true}')


def test_an_answer_says_what_was_predicted_of_it(run: Run) -> None:
    async def main() -> None:
        async with node(_answered) as here:
            control = Control(here.url)
            control.predicted = {
                "predicted_wait_s": 0.125,
                "predicted_first_s": 0.25,
                "predicted_s": 1.5,
                "predicted_range_s": (0.75, 3.0),
            }
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/api/chat", b'{"model":"M","stream":false}')
                head, _ = await one.answer()
        assert header(head, b"X-Herd-Predicted-Wait-S") == b"0.125"
        assert header(head, b"X-Herd-Predicted-First-Token-S") == b"0.250"
        assert header(head, b"X-Herd-Predicted-Finish-S") == b"1.500"
        assert header(head, b"X-Herd-Predicted-Finish-Range-S") == b"0.750-3.000"

    run(main())
