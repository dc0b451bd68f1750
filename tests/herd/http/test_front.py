"""The front's routes, what it answers from the view, what agents and operators tell it."""

import msgspec
import pytest

from events import (
    DrainRequested,
    HeartbeatReceived,
    ModelFacts,
    NodeFacts,
    ResidentModel,
)
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import (
    Control,
    fronting,
    header,
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


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        (b"GET", "/", 200, b"Ollama is running"),
        (b"GET", "/nope", 404, b"404 page not found"),
        (b"GET", "/nope/", 404, b"404 page not found"),
        (b"PUT", "/api/tags/", 404, b"404 page not found"),
        (b"GET", "//api/tags/", 404, b"404 page not found"),
        (b"GET", "/api/chat", 405, b"405 method not allowed"),
        (b"DELETE", "/api/tags", 405, b"405 method not allowed"),
        (b"POST", "/v1/models/x", 405, b"405 method not allowed"),
        (b"GET", "/healthz", 200, b'{"status":"ok"}'),
    ],
)
def test_paths_and_methods(method: bytes, path: str, status: int, body: bytes, run: Run) -> None:
    async def main() -> None:
        async with fronting(Control()) as listener, client(listener.port) as one:
            head, found = await one.get(path, method)
        assert head.startswith(b"HTTP/1.1 %d " % status)
        assert found == body
        assert (b"Allow: " in head) == (status == 405)

    run(main())


@pytest.mark.parametrize(
    ("method", "path", "status", "place"),
    [
        (b"GET", "/v1/models/", 301, b"/v1/models"),
        (b"GET", "/api/tags/?a=b%20c", 301, b"/api/tags?a=b%20c"),
        (b"HEAD", "/api/tags/", 307, b"/api/tags"),
        (b"POST", "/v1/chat/completions/", 307, b"/v1/chat/completions"),
        (b"DELETE", "/api/delete/", 307, b"/api/delete"),
    ],
)
def test_a_slash_too_much_is_led_on_as_ollama_does(
    method: bytes, path: str, status: int, place: bytes, run: Run
) -> None:
    async def main() -> None:
        async with fronting(Control()) as listener, client(listener.port) as one:
            head, found = await one.get(path, method)
        assert head.startswith(b"HTTP/1.1 %d " % status)
        assert (header(head, b"Location"), found) == (place, b"")

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


# What is answered from the view


def test_a_model_of_the_cloud_is_listed_as_such(run: Run) -> None:
    far = ModelFacts(name="x:cloud", remote_model="x", remote_host="https://ollama.com:443")

    async def main() -> None:
        control = Control()
        control.view = view(node_view("studio", far, BARE))
        async with fronting(control) as listener, client(listener.port) as one:
            tags = msgspec.json.decode((await one.get("/api/tags"))[1])["models"]
        told = {row["name"]: (row.get("remote_model"), row.get("remote_host")) for row in tags}
        assert told == {
            "x:cloud": ("x", "https://ollama.com:443"),
            "org/Mixed-Case:latest": (None, None),
        }

    run(main())


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
            tags = msgspec.json.decode((await one.get("/api/tags"))[1])["models"]
            ps = msgspec.json.decode((await one.get("/api/ps"))[1])["models"]
            version = msgspec.json.decode((await one.get("/api/version"))[1])
            models = msgspec.json.decode((await one.get("/v1/models"))[1])
            found, llama = await one.get("/v1/models/LLAMA3.2%3A3b")
            slashed = msgspec.json.decode((await one.get("/v1/models/org/Mixed-Case"))[1])
            missing, said = await one.get("/v1/models/nope")
            control.view = view()
            assert control.front is not None
            control.front.view_changed(control.view)
            assert (await one.get("/api/tags"))[1] == b'{"models":[]}'
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
            status = msgspec.json.decode((await one.get("/fleet/status"))[1])
            queue = msgspec.json.decode((await one.get("/fleet/queue"))[1])
            ready, detail = await one.get("/readyz")
            control.silent = True
            unready, why = await one.get("/readyz")
            old = msgspec.json.decode((await one.get("/fleet/status"))[1])
        assert unready.startswith(b"HTTP/1.1 503 ")
        assert msgspec.json.decode(why)["status"] == "control does not answer"
        assert (status["fleet"]["current"], old["fleet"]["current"]) == (True, False)
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
            taken = b'{"status":"ok","node_status":"online","in_flight":0}'
            assert (await one.answer())[1] == taken
            beat = await control.heard(HeartbeatReceived)
            assert (beat.node_id, beat.models[0].name) == ("mac", "a:1")
            for bad in (b"", b"{}", b'{"node_id":"a b\\r\\n"}', b'{"x":' * 100_000):
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
            post(one, "/fleet/drain", b'{"node_id":"studio"}', b"X-Forwarded-For: 8.8.8.8")
            assert (await one.answer())[0].startswith(b"HTTP/1.1 401 ")

    run(main())
