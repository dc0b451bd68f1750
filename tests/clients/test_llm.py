"""The command line `llm` with its plugin for Ollama."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from llm.cli import cli

from tests.e2e.nodes import BIG, EMBED, MIDDLE, SIMULATED, SMALL

Llm = Callable[..., Result]
"""The command with these words."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where it keeps its settings and its database, which takes a while to make."""
    return tmp_path_factory.mktemp("llm")


@pytest.fixture
def llm(base: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> Llm:
    """Return the command, told where Ollama is by the environment; settings are in a folder."""
    monkeypatch.setenv("OLLAMA_HOST", base)
    monkeypatch.setenv("LLM_USER_PATH", str(home))
    return lambda *words: CliRunner().invoke(cli, words)


@pytest.mark.parametrize("streamed", [[], ["--no-stream"]], ids=["streamed", "whole"])
def test_a_prompt(llm: Llm, streamed: list[str]) -> None:
    said = llm("-m", BIG, *streamed, "why?")
    assert said.stdout.startswith(f"{SIMULATED} studio."), said.stderr


def test_it_lists_the_models(llm: Llm) -> None:
    listed = llm("models", "list").stdout
    assert {name for name in (BIG, SMALL, MIDDLE) if f"Ollama: {name}" in listed} == {
        BIG,
        SMALL,
        MIDDLE,
    }
    assert EMBED in llm("embed-models", "list").stdout


def test_a_schema(llm: Llm) -> None:
    said = llm("-m", BIG, "--schema", "name, people int", "A town of 700 people")
    assert json.loads(said.stdout) == {"name": "simulated", "people": 700}, said.stderr


def test_embeddings(llm: Llm) -> None:
    said = llm("embed", "-m", f"{EMBED}:latest", "-c", "a")
    assert len(json.loads(said.stdout)) == 768, said.stderr


def test_a_server_of_openais_api(llm: Llm, base: str, home: Path) -> None:
    (home / "extra-openai-models.yaml").write_text(
        f"- model_id: herd-big\n  model_name: {BIG}\n  api_base: {base}/v1\n  api_key: none\n"
    )
    said = llm("-m", "herd-big", "--key", "none", "why?")
    assert said.stdout.startswith(f"{SIMULATED} studio."), said.stderr
