"""The command line `llm` with its plugin for Ollama, as a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.herds import clean_environment
from tests.e2e.nodes import BIG, EMBED, MIDDLE, SIMULATED, SMALL


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where it keeps its settings."""
    return tmp_path


def llm(base: str, home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    told = {"OLLAMA_HOST": base, "LLM_USER_PATH": str(home)}
    return subprocess.run(
        [sys.executable, "-m", "llm", *words],
        env=clean_environment() | told,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("streamed", [[], ["--no-stream"]], ids=["streamed", "whole"])
def test_a_prompt(base: str, home: Path, streamed: list[str]) -> None:
    said = llm(base, home, "-m", BIG, *streamed, "why?")
    assert said.stdout.startswith(f"{SIMULATED} studio."), said.stderr


def test_it_lists_the_models(base: str, home: Path) -> None:
    listed = llm(base, home, "models", "list").stdout
    assert {name for name in (BIG, SMALL, MIDDLE) if f"Ollama: {name}" in listed} == {
        BIG,
        SMALL,
        MIDDLE,
    }
    assert EMBED in llm(base, home, "embed-models", "list").stdout


def test_a_schema(base: str, home: Path) -> None:
    said = llm(base, home, "-m", BIG, "--schema", "name, people int", "A town of 700 people")
    assert json.loads(said.stdout) == {"name": "simulated", "people": 700}, said.stderr


def test_embeddings(base: str, home: Path) -> None:
    said = llm(base, home, "embed", "-m", f"{EMBED}:latest", "-c", "a")
    assert len(json.loads(said.stdout)) == 768, said.stderr


def test_a_server_of_openais_api(base: str, home: Path) -> None:
    (home / "extra-openai-models.yaml").write_text(
        f"- model_id: herd-big\n  model_name: {BIG}\n  api_base: {base}/v1\n  api_key: none\n"
    )
    said = llm(base, home, "-m", "herd-big", "--key", "none", "why?")
    assert said.stdout.startswith(f"{SIMULATED} studio."), said.stderr


def test_a_model_that_is_nowhere(base: str, home: Path) -> None:
    said = llm(base, home, "-m", "nope", "why?")
    assert said.returncode == 1
    assert "Unknown model: nope" in said.stderr
