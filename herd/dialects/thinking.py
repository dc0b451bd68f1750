"""Whether and how much a model is to think, in words of `/v1/chat/completions`. Pure.

Rules
1. An Ollama knows `reasoning_effort`, and refuses it for a model that cannot think.
2. llama.cpp and vLLM know `reasoning_effort` and `chat_template_kwargs`, llama.cpp also
   `thinking_budget_tokens`; whoever does not know them ignores them.
3. Of the levels that clients have, `low`, `medium` and `high` are known everywhere.
4. Thoughts of earlier turns are given back: templates show a model those of the turn it is in.
"""

from typing import Any, Final, TypeAlias

import msgspec

from herd.dialects.asking import Node

Json: TypeAlias = dict[str, Any]

_LEVELS: Final = {"minimal": "low", "xhigh": "high", "max": "high"}


class Wish(msgspec.Struct, frozen=True, gc=False):
    """What a client asked for."""

    on: bool | None = None
    """None leaves it to the model."""
    level: str = ""
    budget_tokens: int = 0
    """The most of them; 0 if it was not said."""
    must: bool = False
    """A model that cannot think is an error, as Ollama has it on the client's route."""


def of_effort(effort: str | None) -> Wish:
    """Return what an effort of OpenAI's API asks for."""
    if effort == "none":
        return Wish(on=False)
    return Wish(on=True, level=effort, must=True) if effort else Wish()


def asked(wish: Wish, model: str, node: Node) -> Json:
    """Return what to put into the body."""
    level = _LEVELS.get(wish.level, wish.level)
    if node.ollama:
        able = node.thinks(model)
        if wish.on is False:
            return {} if able is False else {"reasoning_effort": "none"}
        return {"reasoning_effort": level} if level and (able or wish.must) else {}
    told: Json = {}
    if wish.on is not None:
        told["chat_template_kwargs"] = {"enable_thinking": wish.on}
    if level:
        told["reasoning_effort"] = level
    if wish.budget_tokens > 0:
        told["thinking_budget_tokens"] = wish.budget_tokens
    return told


def remembered(thought: str, node: Node) -> Json:
    """Return what a message of the model holds besides, if it was thought."""
    if not thought:
        return {}
    return {"reasoning" if node.ollama else "reasoning_content": thought}
