"""A model that thinks tells its thoughts apart, in the words of each API."""

from typing import Any

import msgspec
import pytest

from herd.simulator import profiles
from tests.herd.http.conftest import Run
from tests.herd.simulator.talk import SMALL, ask, simulated

THINKS = "qwen3:4b"
TALK = [{"role": "user", "content": "hello"}]


@pytest.mark.parametrize(
    ("more", "tokens"),
    [
        ({}, 4),
        ({"think": True}, 4),
        ({"think": False}, 0),
        ({"think": "low"}, 2),
        ({"think": "high"}, 8),
    ],
)
def test_ollamas_own_routes(more: dict[str, Any], tokens: int, run: Run) -> None:
    async def main() -> None:
        async with simulated(profiles.thinker()) as node:
            asked = {"model": THINKS, "messages": TALK, "stream": False, **more}
            message = msgspec.json.decode((await ask(node, "/api/chat", asked)).body)["message"]
            assert message.get("thinking", "").lower().count("hm") == tokens
            assert message["content"].startswith("This is")
            lines = (await ask(node, "/api/chat", {**asked, "stream": True})).body.splitlines()
            said = [msgspec.json.decode(line)["message"] for line in lines]
            assert ["thinking" in each for each in said[:tokens]] == [True] * tokens
            assert "".join(each["content"] for each in said) == message["content"]
            told = {"model": THINKS, "prompt": "hello", "stream": False, **more}
            found = msgspec.json.decode((await ask(node, "/api/generate", told)).body)
            assert found.get("thinking", "").lower().count("hm") == tokens

    run(main())


@pytest.mark.parametrize(("v1_only", "name"), [(False, "reasoning"), (True, "reasoning_content")])
@pytest.mark.parametrize(
    ("more", "tokens"),
    [
        ({}, 4),
        ({"reasoning_effort": "high"}, 8),
        ({"reasoning": {"effort": "low"}}, 2),
        ({"reasoning_effort": "none"}, 0),
        ({"chat_template_kwargs": {"enable_thinking": False}}, 0),
    ],
)
def test_chat_completions(
    more: dict[str, Any],
    tokens: int,
    name: str,
    run: Run,
    *,
    v1_only: bool,
) -> None:
    async def main() -> None:
        spec = profiles.thinker()
        if v1_only:
            facts = msgspec.structs.replace(spec.facts, dialect="openai")
            spec = msgspec.structs.replace(spec, facts=facts)
        async with simulated(spec) as node:
            asked = {"model": THINKS, "messages": TALK, **more}
            answer = await ask(node, "/v1/chat/completions", asked)
            choice = msgspec.json.decode(answer.body)["choices"][0]
            assert choice["message"].get(name, "").lower().count("hm") == tokens
            streamed = await ask(node, "/v1/chat/completions", {**asked, "stream": True})
            assert streamed.body.count(b'"%b":' % name.encode()) == tokens

    run(main())


def test_one_that_cannot_think_says_so(run: Run) -> None:
    async def main() -> None:
        async with simulated(profiles.thinker()) as node:
            for path, more in (
                ("/api/chat", {"think": True}),
                ("/v1/chat/completions", {"reasoning_effort": "low"}),
            ):
                answer = await ask(node, path, {"model": SMALL, "messages": TALK, **more})
                assert answer.status == 400
                assert b"does not support thinking" in answer.body

    run(main())
