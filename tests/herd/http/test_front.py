"""The front's app on real sockets: routes, refusals, what it tells control and hears from it."""

import asyncio

import msgspec
import pytest

from events import (
    AttemptFailed,
    DrainRequested,
    HeartbeatReceived,
    Lease,
    ModelFacts,
    NodeFacts,
    NodeId,
    RequestCancelled,
    RequestCompleted,
    RequestFailed,
    RequestId,
    RequestReceived,
    ResidentModel,
    StreamsProgressed,
    StreamStarted,
)
from herd.http import flight as flight_module
from herd.http import front as front_module
from herd.link.messages import Cancel, Refuse
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import (
    CHAT,
    NDJSON,
    QUIET,
    SSE,
    Ask,
    Control,
    fronting,
    header,
    node,
    node_view,
    post,
    streamed,
    view,
)
from tests.herd.http.sockets import Client, client

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


async def get(one: Client, path: str, method: bytes = b"GET") -> tuple[bytes, bytes]:
    one.send(b"%b %b HTTP/1.1\r\nHost: a\r\n\r\n" % (method, path.encode()))
    return await one.answer()


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        (b"GET", "/", 200, b"Ollama is running"),
        (b"GET", "/nope", 404, b"404 page not found"),
        (b"GET", "/v1/models/", 404, b"404 page not found"),
        (b"GET", "/api/chat", 405, b"405 method not allowed"),
        (b"DELETE", "/api/tags", 405, b"405 method not allowed"),
        (b"POST", "/v1/models/x", 405, b"405 method not allowed"),
        (b"GET", "/healthz", 200, b'{"status":"ok"}'),
    ],
)
def test_paths_and_methods(method: bytes, path: str, status: int, body: bytes, run: Run) -> None:
    async def main() -> None:
        async with fronting(Control()) as listener, client(listener.port) as one:
            head, found = await get(one, path, method)
        assert head.startswith(b"HTTP/1.1 %d " % status)
        assert found == body
        assert (b"Allow: " in head) == (status == 405)

    run(main())


def test_head_is_answered_where_ollama_answers_it(run: Run) -> None:
    async def main() -> None:
        async with fronting(Control()) as listener, client(listener.port) as one:
            for path, status in (("/", 200), ("/api/tags", 200), ("/api/version", 200)):
                one.send(b"HEAD %b HTTP/1.1\r\nHost: a\r\n\r\n" % path.encode())
                assert (await one.head()).startswith(b"HTTP/1.1 %d " % status)
            one.send(b"HEAD /api/ps HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await one.head()).startswith(b"HTTP/1.1 405 ")

    run(main())


# What is refused without asking anybody

BAD_BODIES = [
    ("/api/chat", b"", 400, "missing request body"),
    ("/api/chat", b"{", 400, "Input data was truncated (byte 1)"),
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
        (b"Content-Encoding: zstd", 415),
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
    ("unknown_model", 404, 0, "model 'm:latest' not found", "not_found_error"),
    ("queue_full", 429, 7, "see /dashboard", "api_error"),
    ("hold_timeout", 503, 3, "no node online: run `herd node`", "api_error"),
    ("queue_timeout", 503, 2, "see /dashboard", "api_error"),
    ("deadline", 503, 0, "within the deadline", "api_error"),
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
        assert header(head, b"X-Herd-Request-Id") == asked.request_id.encode()
        assert control.kinds == ["RequestReceived"]

    run(main())


def test_hold_says_which_model_is_missing_when_nodes_are_online(run: Run) -> None:
    async def main() -> None:
        control = Control()
        control.holds = True
        control.view = view(node_view("studio", LLAMA))
        async with fronting(control) as listener, client(listener.port) as one:
            post(one, "/api/chat", QUIET)
            asked = await control.heard(RequestReceived)
            assert control.front is not None
            control.front.refused(Refuse(asked.request_id, 503, "hold_timeout", 3))
            assert b"model 'm:latest' is on no node that is online" in (await one.answer())[1]

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
            post(one, "/api/chat", b'{"model":"m"}')
            for number, app in enumerate(("ann", "ollama-python", "127.0.0.1"), 1):
                received = await control.heard(RequestReceived, number)
                assert (received.app, received.client) == (app, "127.0.0.1")
                assert received.num_ctx == (8192 if number == 1 else 0)
                await one.answer()

    run(main())


def test_a_stream_is_reported_when_it_is_a_second_old_and_goes_on(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front_module, "SWEEP_S", 0.02)
    monkeypatch.setattr(flight_module, "STARTED_AFTER_S", 0.05)

    async def main() -> None:
        go_on = asyncio.Event()

        async def script(ask: Ask) -> None:
            ask.begin()
            ask.chunk(NDJSON[0])
            await go_on.wait()
            ask.chunk(NDJSON[1])
            go_on.clear()
            await go_on.wait()
            ask.chunk(NDJSON[2])
            ask.end()

        async with node(script) as here:
            control = Control(here.url)
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/api/chat", CHAT)
                started = await control.heard(StreamStarted)
                assert started.lease == "1.1"
                first = await control.heard(StreamsProgressed)
                assert first.progress == ((started.request_id, 1),)
                go_on.set()
                second = await control.heard(StreamsProgressed, 2)
                assert second.progress == ((started.request_id, 2),)
                go_on.set()
                await one.answer()
                done = await control.heard(RequestCompleted)
        assert 0 <= done.ttft_s < done.service_s
        assert control.kinds == [
            "RequestReceived",
            "StreamStarted",
            "StreamsProgressed",
            "StreamsProgressed",
            "RequestCompleted",
        ]

    run(main())


def test_a_slot_on_trial_is_told_of_the_first_byte_at_once(run: Run) -> None:
    async def main() -> None:
        async with node(streamed) as here:
            control = Control(here.url)
            control.probing = True
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/api/chat", CHAT)
                await one.answer()
        assert control.kinds == ["RequestReceived", "StreamStarted", "RequestCompleted"]

    run(main())


def test_tokens_of_a_v1_stream_are_counted_unless_reported(run: Run) -> None:
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4}}\n\n'

    async def main() -> None:
        events: list[bytes] = list(SSE)

        async def script(ask: Ask) -> None:
            ask.begin(b"text/event-stream")
            for event in events:
                ask.chunk(event[:7])
                await asyncio.sleep(0)
                ask.chunk(event[7:])
            ask.end()

        async with node(script) as here:
            control = Control(here.url, here.url)
            async with fronting(control) as listener, client(listener.port) as one:
                for _ in range(2):
                    post(one, "/v1/chat/completions", CHAT)
                    assert (await one.answer())[1] == b"".join(events)
                    events.insert(3, usage)
            counted = await control.heard(RequestCompleted, 1)
            told = await control.heard(RequestCompleted, 2)
        assert (counted.completion_tokens, counted.usage_source) == (3, "counted")
        assert (told.prompt_tokens, told.completion_tokens, told.usage_source) == (9, 4, "reported")
        assert (counted.finish, told.finish) == ("stop", "stop")

    run(main())


# When control changes its mind, is away, or is full


@pytest.mark.parametrize("begun", [False, True])
def test_control_can_end_a_request(*, begun: bool, run: Run) -> None:
    async def main() -> None:
        freed = asyncio.Event()

        async def script(ask: Ask) -> None:
            if begun:
                ask.begin()
                ask.chunk(NDJSON[0])
            await ask.gone()
            freed.set()

        async with node(script) as here:
            control = Control(here.url)
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/api/chat", CHAT)
                asked = await control.heard(RequestReceived)
                assert control.front is not None
                await here.ask()
                if begun:
                    await one.until(NDJSON[0])
                stale = Cancel(asked.request_id, Lease("0.9"), "reaped")
                control.front.cancelled(stale)
                control.front.cancelled(Cancel(asked.request_id, Lease("1.1"), "reaped"))
                heard = await (one.rest() if begun else one.answer())
                await freed.wait()
        text = heard if isinstance(heard, bytes) else b"".join(heard)
        assert b'{"error":"no progress for too long: herd ended this request"}' in text
        assert text.startswith(b"HTTP/1.1 504") != begun
        assert not text.endswith(b"0\r\n\r\n")
        assert control.kinds == ["RequestReceived"]

    run(main())


def test_a_grant_for_nobody_is_given_back(run: Run) -> None:
    async def main() -> None:
        control = Control()
        async with fronting(control):
            grant = control.grant(RequestId("gone"), "http://127.0.0.1:1")
            back = await control.heard(RequestCancelled)
            assert (back.request_id, back.node_id, back.lease) == (
                "gone",
                grant.node_id,
                grant.lease,
            )
            assert control.front is not None
            control.front.cancelled(Cancel(RequestId("gone"), grant.lease, "reaped"))

    run(main())


def test_a_second_grant_does_not_disturb_what_runs(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        go_on = asyncio.Event()

        async def script(ask: Ask) -> None:
            await go_on.wait()
            await streamed(ask)

        async with node(script) as here:
            control = Control(here.url)
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/api/chat", CHAT)
                asked = await control.heard(RequestReceived)
                await here.ask()
                control.grant(asked.request_id, here.url)
                assert control.front is not None
                carried = control.front.carrying()[1]
                assert [(c.request_id, c.node_id, c.lease) for c in carried] == [
                    (asked.request_id, "n1", "1.1")
                ]
                go_on.set()
                assert (await one.answer())[1] == b"".join(NDJSON)
                assert (await control.heard(RequestCompleted)).lease == "1.1"

    run(main())
    assert "was granted while it runs" in caplog.text


def test_what_waits_is_carried(run: Run) -> None:
    async def main() -> None:
        control = Control()
        control.holds = True
        async with fronting(control) as listener, client(listener.port) as one:
            post(one, "/api/chat", CHAT)
            asked = await control.heard(RequestReceived)
            assert control.front is not None
            assert control.front.carrying() == ((asked.request_id,), ())

    run(main())


@pytest.mark.parametrize(
    ("line", "phase", "reason"),
    [(b"X-Herd-Deadline-S: 0.05", "queue", "deadline"), (b"X: y", "hold", "control_away")],
)
def test_while_control_is_away_the_front_keeps_the_time(
    line: bytes, phase: str, reason: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front_module, "SWEEP_S", 0.02)

    async def main() -> None:
        control = Control()
        control.holds, control.connected = True, False
        async with fronting(control) as listener, client(listener.port) as one:
            assert control.front is not None
            control.front.hold_timeout_s = 5.0 if reason == "deadline" else 0.05
            post(one, "/api/chat", CHAT, line)
            head, _ = await one.answer()
            failed = await control.heard(RequestFailed)
            assert (await get(one, "/readyz"))[0].startswith(b"HTTP/1.1 503 ")
        assert head.startswith(b"HTTP/1.1 503 ")
        assert header(head, b"Retry-After") == b"1"
        assert (failed.phase, failed.fault, failed.error) == (phase, "herd", reason)

    run(main())


def test_when_the_link_is_full_the_answer_names_it(run: Run) -> None:
    async def main() -> None:
        control = Control()
        async with fronting(control) as listener, client(listener.port) as one:
            control.full = True
            for path, body in (
                ("/api/chat", CHAT),
                ("/heartbeat", b'{"node_id":"a","draining":true}'),
            ):
                post(one, path, body)
                head, answer = await one.answer()
                assert head.startswith(b"HTTP/1.1 503 ")
                assert b"control process" in answer
                assert header(head, b"Retry-After") == b"1"

    run(main())


def test_when_the_link_fills_up_under_a_request_it_still_ends(run: Run) -> None:
    async def main() -> None:
        control = Control()

        async def script(ask: Ask) -> None:
            control.full = True
            ask.answer(b"{}", 500)

        async with node(script) as here:
            control.urls = [here.url]
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/api/chat", QUIET)
                head, body = await one.answer()
                assert head.startswith(b"HTTP/1.1 502 ")
                assert b"node failed: n1: answered 500" in body
                assert control.front is not None
                assert control.front.carrying() == ((), ())

    run(main())


def test_a_nodes_name_cannot_inject_a_header(run: Run) -> None:
    async def main() -> None:
        async with node(streamed) as here:
            control = Control()
            control.holds = True
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/api/chat", CHAT)
                asked = await control.heard(RequestReceived)
                assert control.front is not None
                grant = control.grant(asked.request_id, here.url)
                evil = msgspec.structs.replace(grant, node_id=NodeId("a\r\nX-Evil: \u00e9"))
                control.front.refused(Refuse(RequestId("unknown"), 404, "unknown_model"))
                assert (await one.answer())[0]
                post(one, "/api/chat", CHAT)
                asked = await control.heard(RequestReceived, 2)
                control.front.granted(msgspec.structs.replace(evil, request_id=asked.request_id))
                head, _ = await one.answer()
        assert header(head, b"X-Fleet-Node") == b"a%0D%0AX-Evil: %C3%A9"

    run(main())


# What is answered from the view


def test_the_fleet_is_listed_as_one_ollama(run: Run) -> None:
    gpu = ResidentModel(
        name="llama3.2:3b",
        size_bytes=3_000,
        size_vram_bytes=2_000,
        context_length=8192,
        expires_at="2318-01-01T00:00:00Z",
    )

    async def main() -> None:
        control = Control()
        control.view = view(
            node_view("studio", LLAMA, resident=(gpu,)),
            node_view("gone", ModelFacts(name="lost:1"), status="offline"),
            node_view(
                "llamacpp", BARE, ModelFacts(name="llama3.2:3b"), facts=NodeFacts(dialect="openai")
            ),
        )
        async with fronting(control) as listener, client(listener.port) as one:
            tags = msgspec.json.decode((await get(one, "/api/tags"))[1])["models"]
            ps = msgspec.json.decode((await get(one, "/api/ps"))[1])["models"]
            version = msgspec.json.decode((await get(one, "/api/version"))[1])
            models = msgspec.json.decode((await get(one, "/v1/models"))[1])
            found, llama = await get(one, "/v1/models/LLAMA3.2%3A3b")
            slashed = msgspec.json.decode((await get(one, "/v1/models/org/Mixed-Case"))[1])
            missing, said = await get(one, "/v1/models/nope")
            control.view = view()
            assert control.front is not None
            control.front.view_changed(control.view)
            assert (await get(one, "/api/tags"))[1] == b'{"models":[]}'
        assert [model["name"] for model in tags] == ["llama3.2:3b", "org/Mixed-Case:latest"]
        assert tags[0] == {
            "name": "llama3.2:3b",
            "model": "llama3.2:3b",
            "modified_at": "2026-01-02T03:04:05.678Z",
            "size": 2_019_393_189,
            "digest": LLAMA.digest,
            "details": {
                "parent_model": "",
                "format": "gguf",
                "family": "llama",
                "families": ["llama"],
                "parameter_size": "3.2B",
                "quantization_level": "Q4_K_M",
                "context_length": 131_072,
                "fleet_nodes": ["studio", "llamacpp"],
            },
            "capabilities": ["completion", "tools"],
        }
        assert len(tags[1]["digest"]) == 64
        assert tags[1]["modified_at"] == "0001-01-01T00:00:00Z"
        assert ps[0]["digest"] == LLAMA.digest
        assert ps[0]["fleet_node"] == "studio"
        assert ps[0]["details"]["family"] == "llama"
        assert (ps[0]["size"], ps[0]["size_vram"], ps[0]["context_length"]) == (3000, 2000, 8192)
        assert version["version"] == "0.12.3"
        assert version["herd_version"]
        assert [model["id"] for model in models["data"]] == [
            "llama3.2:3b",
            "org/Mixed-Case:latest",
        ]
        assert models["data"][0] == {
            "id": "llama3.2:3b",
            "object": "model",
            "created": 1_767_323_045,
            "owned_by": "library",
        }
        assert found.startswith(b"HTTP/1.1 200 ")
        assert msgspec.json.decode(llama) == models["data"][0]
        assert slashed["owned_by"] == "org"
        assert missing.startswith(b"HTTP/1.1 404 ")
        assert msgspec.json.decode(said)["error"]["type"] == "not_found_error"

    run(main())


def test_the_fleets_state_is_shown(run: Run) -> None:
    async def main() -> None:
        control = Control()
        control.view = view(node_view("studio", LLAMA))
        async with fronting(control) as listener, client(listener.port) as one:
            status = msgspec.json.decode((await get(one, "/fleet/status"))[1])
            queue = msgspec.json.decode((await get(one, "/fleet/queue"))[1])
            ready, detail = await get(one, "/readyz")
        assert status["fleet"]["nodes_online"] == 1
        assert status["nodes"][0]["node_id"] == "studio"
        assert status["nodes"][0]["ollama"]["models_available"] == ["llama3.2:3b"]
        assert (queue["pending"], queue["estimated_wait_ms"]) == (0, None)
        assert ready.startswith(b"HTTP/1.1 200 ")
        assert msgspec.json.decode(detail)["nodes_online"] == 1

    run(main())


# What agents and operators tell


def test_a_heartbeat_becomes_a_fact(run: Run) -> None:
    async def main() -> None:
        control = Control()
        async with fronting(control) as listener, client(listener.port) as one:
            post(one, "/heartbeat", b'{"node_id":"mac","ollama":{"models_available":["a:1"]}}')
            assert (await one.answer())[1] == b'{"status":"ok","node_status":"online"}'
            beat = await control.heard(HeartbeatReceived)
            assert (beat.node_id, beat.models[0].name) == ("mac", "a:1")
            for bad in (b"", b"{}", b'{"node_id":"a b\\r\\n"}'):
                post(one, "/heartbeat", bad)
                assert (await one.answer())[0].startswith(b"HTTP/1.1 400 ")
        assert control.kinds == ["HeartbeatReceived"]

    run(main())


def test_a_node_can_be_drained(run: Run) -> None:
    async def main() -> None:
        control = Control()
        control.view = view(node_view("studio"))
        async with fronting(control) as listener, client(listener.port) as one:
            post(one, "/fleet/drain", b'{"node_id":"studio"}')
            assert (await one.answer())[1] == b'{"node_id":"studio","draining":true}'
            asked = await control.heard(DrainRequested)
            assert (asked.node_id, asked.draining, asked.by) == ("studio", True, "127.0.0.1")
            post(one, "/fleet/drain", b'{"node_id":"studio","draining":false}')
            await one.answer()
            assert not (await control.heard(DrainRequested, 2)).draining
            post(one, "/fleet/drain", b'{"node_id":"attic"}')
            head, body = await one.answer()
            assert head.startswith(b"HTTP/1.1 404 ")
            assert b"the fleet has: studio" in body
            post(one, "/fleet/drain", b"[]")
            assert (await one.answer())[0].startswith(b"HTTP/1.1 400 ")

    run(main())


def test_after_a_failed_attempt_a_request_waits_again(run: Run) -> None:
    async def main() -> None:
        async with node(_fail) as bad:
            control = Control()
            control.holds = True
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/api/chat", CHAT)
                asked = await control.heard(RequestReceived)
                control.grant(asked.request_id, bad.url)
                await control.heard(AttemptFailed)
                assert control.front is not None
                assert control.front.carrying() == ((asked.request_id,), ())
                one.close()
                cancelled = await control.heard(RequestCancelled)
                assert (cancelled.phase, cancelled.lease) == ("queue", "")

    run(main())


async def _fail(ask: Ask) -> None:
    ask.answer(b"{}", 500)
