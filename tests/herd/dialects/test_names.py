"""Model names, as Ollama reads them."""

import pytest

from herd.dialects.names import key, normalise


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ("llama3.2", "llama3.2:latest"),
        (" llama3.2:3b ", "llama3.2:3b"),
        ("library/llama3.2", "llama3.2:latest"),
        ("registry.ollama.ai/library/llama3.2:3b", "llama3.2:3b"),
        ("registry.ollama.ai/me/mine", "me/mine:latest"),
        ("me/mine", "me/mine:latest"),
        ("hf.co/library/mine", "hf.co/library/mine:latest"),
        ("localhost:5000/me/mine", "localhost:5000/me/mine:latest"),
        ("hf.co/Bart/Llama-3.2-GGUF:Q4_K_M", "hf.co/Bart/Llama-3.2-GGUF:Q4_K_M"),
        ("llama3.2:", "llama3.2:latest"),
    ],
)
def test_the_shortest_spelling_with_its_tag(asked: str, shown: str) -> None:
    assert normalise(asked) == shown
    assert normalise(shown) == shown


def test_case_does_not_tell_models_apart() -> None:
    assert key("Hf.co/Bart/Llama:Q4_K_M") == key("hf.co/bart/llama:q4_k_m")
    assert key("llama3.2") != key("llama3.1")
