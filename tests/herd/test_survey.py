"""What a server says about itself: every kind that herd knows, and every way to be ill."""

import asyncio
import json
from pathlib import Path

import pytest

from events import ModelFacts, NodeFacts, ResidentModel
from herd.survey import Kind, Survey, survey
from tests.herd.small_server import DEEP, SmallServer

RECORDED = Path(__file__).parent / "dialects" / "recorded"
Answers = dict[str, tuple[int, object]]


def _look(
    answers: Answers | None = None, *, want_models: bool = True, kind: Kind = ""
) -> tuple[Survey, list[str]]:
    async def look() -> tuple[Survey, list[str]]:
        server = SmallServer()
        server.ollama()
        if answers is not None:
            server.answers = answers
        async with server.running():
            found = await survey(server.url, want_models=want_models, kind=kind, timeout_s=0.5)
        return found, server.asked

    return asyncio.run(look())


def test_ollama_with_memory_and_disk() -> None:
    found, asked = _look()
    assert found.reachable
    assert found.kind == "ollama"
    assert found.facts == NodeFacts(version="0.33.0")
    assert found.resident == (
        ResidentModel(
            name="llama3.2:3b",
            size_bytes=3_500_398_346,
            size_vram_bytes=3_000_000_000,
            context_length=8192,
            expires_at="2318-01-02T03:04:05.678+01:00",
            digest="925b2caf",
        ),
    )
    assert found.models == (
        ModelFacts(
            name="llama3.2:3b",
            size_bytes=2_000_000_000,
            digest="925b2caf",
            modified_at="2026-01-02T03:04:05.678Z",
            format="gguf",
            family="llama",
            families=("llama",),
            parameter_size="3.2B",
            quantization_level="Q4_K_M",
            capabilities=("completion", "tools"),
        ),
        ModelFacts(name="nomic-embed-text:latest", size_bytes=270_000_000),
    )
    assert set(asked) <= {"/", "/api/ps", "/api/version", "/api/tags"}


def test_a_model_of_the_cloud_says_where_it_runs() -> None:
    far = {"remote_model": "gpt-oss:120b", "remote_host": "https://ollama.com:443"}
    row = {"name": "gpt-oss:120b-cloud", "size": 384, "details": None, **far}
    answers: Answers = {"/api/ps": (200, {"models": []}), "/api/tags": (200, {"models": [row]})}
    found, _ = _look(answers)
    assert found.models == (
        ModelFacts(
            name="gpt-oss:120b-cloud",
            size_bytes=384,
            remote_model="gpt-oss:120b",
            remote_host="https://ollama.com:443",
        ),
    )


def test_a_known_ollama_is_asked_one_question() -> None:
    found, asked = _look(want_models=False, kind="ollama")
    assert asked == ["/api/ps"]
    assert found.models is None
    assert found.facts is None
    assert found.resident is not None


def test_a_balancer_of_ours_is_told_from_an_ollama() -> None:
    answers: Answers = {"/api/ps": (200, {"models": []}), "/api/tags": (200, {"models": []})}
    assert not _look(answers | {"/api/version": (200, {"version": "0.33.0"})})[0].is_herd
    ours = {"version": "0.33.0", "herd_version": "0.1.0"}
    assert _look(answers | {"/api/version": (200, ours)})[0].is_herd


def test_an_ollama_with_nothing() -> None:
    found, _ = _look({"/api/ps": (200, {"models": None}), "/api/tags": (200, {"models": []})})
    assert (found.reachable, found.resident, found.models) == (True, (), ())


def test_an_ollama_older_than_ps() -> None:
    found, _ = _look({"/": (200, b"Ollama is running"), "/api/tags": (200, {"models": []})})
    assert (found.kind, found.reachable, found.resident) == ("ollama", True, None)


def test_one_name_twice_counts_once() -> None:
    twice = [{"name": "a", "size": 1}, {"name": "a:latest", "size": 2}]
    found, _ = _look({"/api/ps": (200, {"models": twice}), "/api/tags": (200, {"models": twice})})
    assert found.models == (ModelFacts(name="a:latest", size_bytes=1),)
    assert found.resident == (ResidentModel(name="a:latest", size_bytes=1),)


def test_a_number_that_cannot_be_meant_is_none() -> None:
    """One of 2^64 or more could not even be told to the fronts."""
    huge = [{"name": "a", "size": 2**64, "size_vram": -1, "context_length": 10**30}]
    found, _ = _look({"/api/ps": (200, {"models": huge}), "/api/tags": (200, {"models": huge})})
    assert found.models == (ModelFacts(name="a:latest"),)
    assert found.resident == (ResidentModel(name="a:latest"),)


LLAMA_CPP: Answers = {
    "/props": (200, {"total_slots": 4, "default_generation_settings": {"n_ctx": 4096}}),
    "/v1/models": (
        200,
        {
            "object": "list",
            "data": [{"id": "smollm2", "meta": {"n_ctx_train": 8192, "size": 91_000_000}}],
            "models": [{"name": "smollm2"}],
        },
    ),
}


def test_llama_cpp() -> None:
    found, _ = _look(LLAMA_CPP)
    assert found.kind == "llama.cpp"
    assert found.facts == NodeFacts(dialect="openai", slots=4)
    assert found.resident == (
        ResidentModel(name="smollm2", size_bytes=91_000_000, context_length=4096),
    )
    assert found.models == (ModelFacts(name="smollm2", size_bytes=91_000_000, context_length=8192),)


def test_what_llama_cpp_tells_of_its_model() -> None:
    """As its server of 2026 tells: what its template has words for, and what it can see."""
    meta = {"n_ctx_train": 8192, "size": 91_000_000, "n_params": 134_515_008, "ftype": "Q4_1"}
    caps = {"supports_tools": True, "supports_reasoning_effort": False}
    props = {
        "total_slots": 4,
        "default_generation_settings": {"n_ctx": 2048},
        "modalities": {"vision": True, "video": False, "audio": False},
        "chat_template": "{% if enable_thinking %}",
        "chat_template_caps": caps,
    }
    told = {"/props": (200, props), "/v1/models": (200, {"data": [{"id": "a", "meta": meta}]})}
    found = _look({**LLAMA_CPP, **told})[0].models
    assert found is not None
    model = found[0]
    assert model.capabilities == ("completion", "tools", "vision", "thinking")
    assert (model.parameter_size, model.quantization_level) == ("134.52M", "Q4_1")


def test_llama_cpp_that_manages_several_models() -> None:
    data = [
        {"id": "a", "status": {"value": "loaded"}, "meta": None},
        {"id": "b", "status": {"value": "unloaded"}},
    ]
    found, _ = _look({"/props": (200, {"role": "router"}), "/v1/models": (200, {"data": data})})
    assert [model.name for model in found.resident or ()] == ["a"]
    assert [model.name for model in found.models or ()] == ["a", "b"]


def test_loading_cannot_be_used_yet() -> None:
    loading = (503, {"error": {"message": "Loading model", "code": 503}})
    found, _ = _look(dict.fromkeys(["/api/ps", "/props", "/v1/models"], loading))
    assert (found.reachable, found.error) == (False, "it is loading")
    again, _ = _look({**LLAMA_CPP, "/v1/models": loading}, kind="llama.cpp")
    assert (again.reachable, again.resident, again.kind) == (False, None, "")


def test_vllm() -> None:
    data = [{"id": "Qwen/Qwen2.5-7B", "owned_by": "vllm", "max_model_len": 32768}]
    found, asked = _look({"/v1/models": (200, {"data": data})})
    assert found.kind == "openai"
    assert found.facts == NodeFacts(dialect="openai")
    assert found.resident == (ResidentModel(name="Qwen/Qwen2.5-7B", context_length=32768),)
    _, again = _look({"/v1/models": (200, {"data": data})}, kind="openai", want_models=False)
    assert again == ["/v1/models"]
    assert "/props" in asked


@pytest.mark.parametrize(("name", "context_length"), [("mlx", 0), ("vllm", 2048)])
def test_listings_as_real_servers_gave_them(name: str, context_length: int) -> None:
    listing = json.loads((RECORDED / f"{name}_models.json").read_bytes())
    found, _ = _look({"/v1/models": (200, listing)})
    assert (found.kind, found.reachable) == ("openai", True)
    assert found.resident == (
        ResidentModel(name="mlx-community/tiny-llama", context_length=context_length),
    )
    assert [model.name for model in found.models or ()] == ["mlx-community/tiny-llama"]


def test_lm_studio() -> None:
    data = [
        {
            "id": "a",
            "type": "vlm",
            "state": "loaded",
            "loaded_context_length": 4096,
            "capabilities": ["tool_use"],
        },
        {"id": "e", "type": "embeddings", "state": "not-loaded", "max_context_length": 2048},
    ]
    stranger = (
        200,
        {"error": "Unexpected endpoint or method. (GET /api/ps)"},
    )  # its way to say 404
    strange = dict.fromkeys(["/api/ps", "/props"], stranger)
    found, _ = _look({**strange, "/api/v0/models": (200, {"data": data})})
    assert found.kind == "lmstudio"
    assert found.resident == (ResidentModel(name="a", context_length=4096),)
    assert found.models == (
        ModelFacts(name="a", capabilities=("completion", "vision", "tools")),
        ModelFacts(name="e", capabilities=("embedding",), context_length=2048),
    )


ILL: dict[str, tuple[Answers, str]] = {
    "stranger": ({}, "neither Ollama nor an OpenAI-compatible server answers there"),
    "500": ({"/api/ps": (500, b"boom")}, "it answers 500 to /api/ps"),
    "403": ({"/api/ps": (403, b"")}, "it refuses /api/ps (403)"),
    "html": ({"/api/ps": (200, b"<html>")}, "what it answers to /api/ps cannot be read"),
    "list": ({"/api/ps": (200, b"[]")}, "what it answers to /api/ps cannot be read"),
    "not-utf8": ({"/api/ps": (200, b'{"models": [{"name": "\xff"}]}')}, "cannot be read"),
    "deep": ({"/api/ps": (200, DEEP)}, "what it answers to /api/ps cannot be read"),
    "proxy": ({"/api/ps": (503, b"no upstream")}, "busy (503) no upstream"),
}


@pytest.mark.parametrize(("answers", "error"), ILL.values(), ids=ILL)
def test_what_cannot_be_used(answers: Answers, error: str) -> None:
    found, _ = _look(answers)
    assert not found.reachable
    assert error in found.error


def test_nobody_there_and_nobody_answering() -> None:
    async def look() -> tuple[Survey, Survey]:
        server = SmallServer()
        async with server.running():
            server.silent = True
            silent = await survey(server.url, want_models=False, kind="ollama", timeout_s=0.05)
        return silent, await survey(server.url, want_models=False, kind="ollama")

    silent, gone = asyncio.run(look())
    assert (silent.error, silent.kind) == ("no answer within 0.05 s", "ollama")
    assert (gone.error, gone.reachable) == ("connection refused", False)


def test_another_server_in_the_same_place_is_found_out() -> None:
    found, _ = _look(LLAMA_CPP, kind="ollama")
    assert (found.reachable, found.kind) == (False, "")
