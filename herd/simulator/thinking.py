"""How a simulated model is told to think, and what it thinks before it answers. Pure."""

from typing import Final, TypeAlias

import msgspec

Think: TypeAlias = bool | str | None
"""Whether and how much, in the words of Ollama's own API; None leaves it to the model."""

_TOKENS: Final = {"low": 2, "medium": 4, "high": 8, "max": 16}


class Effort(msgspec.Struct, gc=False):
    """`reasoning` of `/v1/chat/completions`."""

    effort: str | None = None


class TemplateWords(msgspec.Struct, gc=False):
    """`chat_template_kwargs`, of llama.cpp and vLLM."""

    enable_thinking: bool | None = None


def told(name: str | None, effort: Effort | None, words: TemplateWords | None) -> Think:
    """Return what the three ways of OpenAI-compatible servers say."""
    said = name or (effort or Effort()).effort
    if said:
        return said if said != "none" else False
    return (words or TemplateWords()).enable_thinking


def thoughts(think: Think) -> tuple[str, ...]:
    """Return what a model that is able to think thinks, as its tokens: the more, the longer."""
    if think is False:
        return ()
    number = _TOKENS.get(think, 4) if isinstance(think, str) else 4
    return ("Hm", *[" hm"] * (number - 1))
