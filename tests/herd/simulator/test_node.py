"""A simulated node on a real socket: routes, shapes, life of a request."""

import json
from typing import Any, TypeAlias

import msgspec
import pytest

from herd.http.client import fetch
from herd.simulator import profiles
from tests.herd.simulator.conftest import Run
from tests.herd.simulator.talk import (
    EMBED,
    FAST,
    SMALL,
    ask,
    chat,
    lines,
    simulated,
    told,
)

Wrong: TypeAlias = tuple[str, dict[str, Any] | bytes | None, int, str]


def events(body: bytes) -> list[Any]:
    parts = body.split(b"\n\n")
    assert parts[-2:] == [b"data: [DONE]", b""]
    return [json.loads(part.removeprefix(b"data: ")) for part in parts[:-2]]


def test_the_routes_that_need_no_model(run: Run) -> None:
    async def main() -> None:
        async with simulated(profiles.mini()) as node:
            root = await ask(node, "/")
            assert (root.status, root.body) == (200, b"Ollama is running")
            assert root.header(b"content-type").startswith(b"text/plain")
            head = await fetch("HEAD", node.url + "/")
            assert (head.status, head.body) == (200, b"")
            assert (await told(node, "/api/version"))["version"] == profiles.VERSION
            tags = (await told(node, "/api/tags"))["models"]
            assert [tag["name"] for tag in tags] == [SMALL, f"{EMBED}:latest"]
            assert tags[0]["size"] == 2_019_393_189
            assert tags[0]["details"]["quantization_level"] == "Q4_K_M"
            assert len(tags[0]["digest"]) == 64
            assert tags[0]["capabilities"] == ["completion", "tools"]
            shown = await told(node, "/api/show", {"model": "LLAMA3.2:3B"})
            assert shown["model_info"]["llama.context_length"] == 131_072
            assert "simulated" in shown["license"]
            assert (await told(node, "/api/ps")) == {"models": []}
            listed = await told(node, "/v1/models")
            assert [row["id"] for row in listed["data"]] == [SMALL, f"{EMBED}:latest"]
            assert listed["data"][0]["owned_by"] == "library"
            assert (await told(node, f"/v1/models/{SMALL}"))["id"] == SMALL

    run(main())


def test_what_is_no_route(run: Run) -> None:
    async def main() -> None:
        async with simulated() as node:
            missing = await ask(node, "/api/nothing")
            assert (missing.status, missing.body) == (404, b"404 page not found")
            wrong = await ask(node, "/api/chat")
            assert (wrong.status, wrong.body) == (405, b"405 method not allowed")

    run(main())


def test_how_long_an_answer_is_can_be_told_to_the_node_alone(run: Run) -> None:
    async def main() -> None:
        async with simulated() as node:
            for tokens, told in ((300, {}), (9, {"num_predict": 9}), (300, {"num_predict": -1})):
                options = {"simulated_tokens": 300, **told}
                answer = await ask(node, "/api/chat", chat(options=options, stream=False))
                found = json.loads(answer.body)
                assert found["eval_count"] == tokens
                assert found["done_reason"] == ("stop" if tokens == 300 else "length")

    run(main())


def test_a_chat_is_a_stream_of_lines_by_default(run: Run) -> None:
    async def main() -> None:
        async with simulated() as node:
            answer = await ask(node, "/api/chat", chat(options={"num_predict": 7}))
            assert answer.header(b"content-type") == b"application/x-ndjson"
            *chunks, last = lines(answer.body)
            text = "".join(chunk["message"]["content"] for chunk in chunks)
            assert text == "This is a simulated answer from studio."
            assert len(chunks) == 7
            assert all(
                (chunk["model"], chunk["message"]["role"], chunk["done"])
                == (SMALL, "assistant", False)
                for chunk in chunks
            )
            assert (last["done"], last["done_reason"]) == (True, "length")
            assert last["message"] == {"role": "assistant", "content": ""}
            assert (last["eval_count"], last["prompt_eval_count"]) == (7, 11)
            assert last["total_duration"] == pytest.approx(
                last["load_duration"] + last["prompt_eval_duration"] + last["eval_duration"], abs=9
            )
            scaled_s = (0.8 + 2.02 / 5) / FAST
            assert last["load_duration"] == pytest.approx(scaled_s * 1e9, rel=0.01)

    run(main())


def test_an_answer_without_a_bound_is_the_same_every_time(run: Run) -> None:
    async def main() -> None:
        async with simulated() as node:
            whole = await told(node, "/api/chat", chat(stream=False))
            streamed = lines((await ask(node, "/api/chat", chat())).body)
            text = "".join(line["message"]["content"] for line in streamed)
            assert whole["message"]["content"] == text
            assert whole["done_reason"] == "stop"
            shortest, longest = node.spec.answer_tokens
            assert shortest <= whole["eval_count"] <= longest
            other = await told(node, "/api/chat", chat(text="something else", stream=False))
            assert other["eval_count"] != whole["eval_count"]
            assert (await ask(node, "/api/chat", chat(stream=False))).header(
                b"content-type"
            ) == b"application/json; charset=utf-8"

    run(main())


def test_generate(run: Run) -> None:
    async def main() -> None:
        async with simulated() as node:
            asked = {"model": "Llama3.2:3B", "prompt": "why?", "options": {"num_predict": 3}}
            *chunks, last = lines((await ask(node, "/api/generate", asked)).body)
            assert [chunk["response"] for chunk in chunks] == ["This", " is", " a."]
            assert last["model"] == "Llama3.2:3B"
            assert last["response"] == ""
            assert last["context"][:3] == [1, 2, 3]
            whole = await told(node, "/api/generate", {**asked, "stream": False})
            assert whole["response"] == "This is a."

    run(main())


def test_json_is_answered_when_it_is_asked_for(run: Run) -> None:
    async def main() -> None:
        async with simulated() as node:
            whole = await told(node, "/api/chat", chat(stream=False, format="json"))
            answer = json.loads(whole["message"]["content"])["answer"]
            assert answer.startswith("This is a simulated answer from studio.")
            asked = chat(response_format={"type": "json_object"}, max_tokens=12)
            whole = await told(node, "/v1/chat/completions", asked)
            assert json.loads(whole["choices"][0]["message"]["content"])

    run(main())


def test_embeddings_are_unit_vectors_and_always_the_same(run: Run) -> None:
    async def main() -> None:
        async with simulated() as node:
            asked = {"model": EMBED, "input": ["one", "two"]}
            first = await told(node, "/api/embed", asked)
            second = await told(node, "/api/embed", asked)
            assert first["embeddings"] == second["embeddings"]
            assert [len(vector) for vector in first["embeddings"]] == [768, 768]
            assert first["embeddings"][0] != first["embeddings"][1]
            norm = sum(number**2 for number in first["embeddings"][0])
            assert norm == pytest.approx(1)
            assert first["prompt_eval_count"] == 1
            short = await told(node, "/api/embed", {**asked, "dimensions": 5})
            assert sum(number**2 for number in short["embeddings"][1]) == pytest.approx(1)
            assert len(short["embeddings"][1]) == 5
            empty = await told(node, "/api/embed", {"model": EMBED, "input": []})
            assert empty["embeddings"] == []
            old = await told(node, "/api/embeddings", {"model": EMBED, "prompt": "one"})
            assert old["embedding"][0] == pytest.approx(10 * first["embeddings"][0][0])

    run(main())


def test_chat_completions_stream_events(run: Run) -> None:
    async def main() -> None:
        async with simulated() as node:
            asked = chat(stream=True, max_tokens=3, stream_options={"include_usage": True})
            answer = await ask(node, "/v1/chat/completions", asked)
            assert answer.header(b"content-type") == b"text/event-stream"
            *chunks, closing, usage = events(answer.body)
            assert [chunk["choices"][0]["delta"] for chunk in chunks] == [
                {"role": "assistant", "content": "This"},
                {"role": "assistant", "content": " is"},
                {"role": "assistant", "content": " a."},
            ]
            assert all(chunk["choices"][0]["finish_reason"] is None for chunk in chunks)
            assert closing["choices"][0]["finish_reason"] == "length"
            assert (usage["choices"], usage["usage"]["completion_tokens"]) == ([], 3)
            every = [*chunks, closing, usage]
            assert {(chunk["id"], chunk["created"]) for chunk in every} == {
                (closing["id"], closing["created"])
            }
            assert {chunk["object"] for chunk in every} == {"chat.completion.chunk"}
            plain = await ask(node, "/v1/chat/completions", chat(stream=True, max_tokens=3))
            assert "usage" not in events(plain.body)[-1]

    run(main())


def test_completions(run: Run) -> None:
    async def main() -> None:
        async with simulated() as node:
            asked = {"model": SMALL, "prompt": ["a", "b"], "max_tokens": 2}
            whole = await told(node, "/v1/completions", asked)
            assert whole["object"] == "text_completion"
            assert whole["choices"] == [{"text": "This is.", "index": 0, "finish_reason": "length"}]
            assert whole["usage"]["total_tokens"] == whole["usage"]["prompt_tokens"] + 2
            streamed = events((await ask(node, "/v1/completions", {**asked, "stream": True})).body)
            assert [chunk["choices"][0]["text"] for chunk in streamed] == ["This", " is.", ""]

    run(main())


OLLAMA_ERRORS: list[Wrong] = [
    ("/api/chat", chat(model="nope"), 404, "model 'nope' not found"),
    ("/api/generate", {"prompt": "x"}, 404, "model '' not found"),
    ("/api/embed", {"input": "x"}, 404, "model '' not found"),
    ("/api/embeddings", {"prompt": "x", "model": "no"}, 404, "model 'no' not found"),
    ("/api/show", {"name": "no"}, 404, "model 'no' not found"),
    ("/api/chat", {}, 400, "model is required"),
    ("/api/chat", chat(model=EMBED), 400, f'"{EMBED}" does not support chat'),
    ("/api/generate", {"model": EMBED}, 400, f'"{EMBED}" does not support generate'),
    ("/api/chat", chat(think=True), 400, f'"{SMALL}" does not support thinking'),
    (
        "/api/generate",
        {"model": SMALL, "keep_alive": "5"},
        400,
        'time: missing unit in duration "5"',
    ),
    (
        "/api/embed",
        {"model": EMBED, "input": "long " * 9000, "truncate": False},
        400,
        "the input length exceeds the context length",
    ),
    ("/api/chat", b"", 400, "missing request body"),
    (
        "/api/chat",
        b'{"model":7}',
        400,
        "json: cannot unmarshal number into Go struct field ChatRequest.model of type string",
    ),
]


@pytest.mark.parametrize(("path", "body", "status", "error"), OLLAMA_ERRORS)
def test_errors_of_ollamas_api(
    run: Run, path: str, body: dict[str, Any] | bytes | None, status: int, error: str
) -> None:
    async def main() -> None:
        async with simulated() as node:
            answer = await ask(node, path, body)
            assert (answer.status, json.loads(answer.body)) == (status, {"error": error})
            assert node.stats().loads == 0

    run(main())


OPENAI_ERRORS: list[Wrong] = [
    ("/v1/chat/completions", chat(model="nope"), 404, "model 'nope' not found"),
    ("/v1/completions", {"model": "nope", "prompt": "x"}, 404, "model 'nope' not found"),
    ("/v1/embeddings", {"model": "nope", "input": "x"}, 404, "model 'nope' not found"),
    ("/v1/chat/completions", {"model": SMALL}, 400, "[] is too short - 'messages'"),
    ("/v1/embeddings", {"model": EMBED, "input": []}, 400, "invalid input"),
    ("/v1/models/nope", None, 404, "model 'nope' not found"),
    ("/v1/chat/completions", b"{", 400, "unexpected EOF"),
]


@pytest.mark.parametrize(("path", "body", "status", "error"), OPENAI_ERRORS)
def test_errors_of_openais_api(
    run: Run, path: str, body: dict[str, Any] | bytes | None, status: int, error: str
) -> None:
    async def main() -> None:
        async with simulated() as node:
            answer = await ask(node, path, body)
            kind = {400: "invalid_request_error", 404: "not_found_error"}[status]
            assert (answer.status, json.loads(answer.body)) == (
                status,
                {"error": {"message": error, "type": kind, "param": None, "code": None}},
            )

    run(main())


def test_a_model_without_tools_refuses_them(run: Run) -> None:
    async def main() -> None:
        facts = msgspec.structs.replace(profiles.LLAMA_3B.facts, capabilities=("completion",))
        model = msgspec.structs.replace(profiles.LLAMA_3B, facts=facts)
        async with simulated(msgspec.structs.replace(profiles.mini(), models=(model,))) as node:
            answer = await ask(node, "/api/chat", chat(tools=[{"type": "function"}]))
            error = f"registry.ollama.ai/library/{SMALL} does not support tools"
            assert (answer.status, json.loads(answer.body)) == (400, {"error": error})

    run(main())
