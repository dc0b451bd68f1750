"""Turns as Claude Code and Codex send them, by their packages, to a node that has neither API."""

from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest

from tests.e2e.conftest import HerdsOf, ends_and_replays
from tests.e2e.herds import Herd
from tests.e2e.scripted import MODEL, Scripted, call

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="  # noqa: E501 (one picture)
PATCH = "*** Begin Patch\n*** Add File: a.py\n+x = 1\n*** End Patch\n"
NAMES = ["Bash", "Read", "Edit", "Glob", "Grep", "mcp__fs__list", *[f"Tool{n}" for n in range(20)]]


@pytest.fixture(scope="module")
def server() -> Iterator[Scripted]:
    """The node."""
    with Scripted() as scripted:
        yield scripted


@pytest.fixture(scope="module")
def agents_herd(server: Scripted, herds_of: HerdsOf) -> Iterator[Herd]:
    """A balancer before it."""
    with herds_of("agents") as start:
        herd = start(server.flag, wait_for=("scripted",))
        yield herd
        ends_and_replays(herd)


def claudes_turn() -> dict[str, Any]:
    """Return the second turn of a session: two calls were made, one of them failed."""
    cached = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    billing = "x-anthropic-billing-header: cc_version=2.1.177; cc_entrypoint=cli; cch=36ee5;"
    source = {"type": "base64", "media_type": "image/png", "data": PNG}
    tools: list[dict[str, Any]] = [
        {
            "name": name,
            "description": name,
            "input_schema": {"type": "object", "properties": {"x": {"type": "string"}}},
        }
        for name in NAMES
    ]
    said = [
        {"type": "thinking", "thinking": "I look.", "signature": "EqQBCgIYAhIM"},
        {"type": "text", "text": "Looking."},
        {"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {"x": "a.png"}},
        {"type": "tool_use", "id": "toolu_2", "name": "Bash", "input": {"x": "ls"}},
    ]
    seen = [{"type": "text", "text": "a.png"}, {"type": "image", "source": source}]
    results = [
        {"type": "tool_result", "tool_use_id": "toolu_1", "content": seen},
        {"type": "tool_result", "tool_use_id": "toolu_2", "content": "no ls", "is_error": True},
        {"type": "text", "text": "<system-reminder>Go on.</system-reminder>"} | cached,
    ]
    return {
        "model": MODEL,
        "max_tokens": 32000,
        "system": [
            {"type": "text", "text": billing},
            {"type": "text", "text": "You are an agent."} | cached,
            {"type": "text", "text": "Be careful."} | cached,
        ],
        "tools": [*tools[:-1], tools[-1] | cached],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "What is in a.png?"}]},
            {"role": "assistant", "content": said},
            {"role": "user", "content": results},
        ],
        "metadata": {"user_id": "user_1"},
        "thinking": {"type": "adaptive"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "betas": ["claude-code-20250219", "interleaved-thinking-2025-05-14"],
    }


def test_a_turn_of_claude_code(agents_herd: Herd, server: Scripted) -> None:
    server.deltas = [
        {"role": "assistant", "content": None, "reasoning_content": "Two"},
        {"reasoning_content": " more."},
        {"content": "I run both."},
        *call(0, "c1", "Bash", '{"x":', '"pwd"}'),
        *call(1, "c2", "mcp__fs__list", "{}"),
    ]
    server.finish = "tool_calls"
    with (
        anthropic.Anthropic(
            base_url=agents_herd.url, api_key="not-needed", max_retries=0
        ) as client,
        client.beta.messages.stream(**claudes_turn()) as stream,
    ):
        final = stream.get_final_message()
        assert stream.response.headers["x-herd-left-out"] == "context_management"
    thought, text, *calls = final.content
    assert thought.type == "thinking"
    assert (thought.thinking, bool(thought.signature)) == ("Two more.", True)
    assert text.type == "text"
    assert text.text == "I run both."
    told = [(it.id, it.name, it.input) for it in calls if it.type == "tool_use"]
    assert told == [("c1", "Bash", {"x": "pwd"}), ("c2", "mcp__fs__list", {})]
    assert (final.stop_reason, final.usage.output_tokens) == ("tool_use", 40)

    asked = server.asked[-1]
    assert [tool["function"]["name"] for tool in asked["tools"]] == NAMES
    system, user, assistant, first, second, shown = asked["messages"]
    assert system == {"role": "system", "content": "You are an agent.\nBe careful."}
    assert user["content"] == "What is in a.png?"
    assert (assistant["content"], assistant["reasoning_content"]) == ("Looking.", "I look.")
    assert [each["id"] for each in assistant["tool_calls"]] == ["toolu_1", "toolu_2"]
    assert (first["tool_call_id"], first["content"]) == ("toolu_1", "a.png")
    assert (second["tool_call_id"], second["content"]) == ("toolu_2", "Error: no ls")
    assert [part["type"] for part in shown["content"]] == ["image_url", "text"]
    assert "cache_control" not in str(asked)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"mcp_servers": [{"type": "url", "url": "https://x.test", "name": "x"}]}, "mcp_servers"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "web_search"),
    ],
)
def test_what_only_anthropic_does_is_refused(
    agents_herd: Herd, more: dict[str, Any], why: str
) -> None:
    with anthropic.Anthropic(
        base_url=agents_herd.url, api_key="not-needed", max_retries=0
    ) as client:
        create: Any = client.beta.messages.create
        with pytest.raises(anthropic.BadRequestError, match=why) as refused:
            create(**claudes_turn() | more, stream=True)
    assert refused.value.type == "invalid_request_error"


def codexs_turn() -> dict[str, Any]:
    """Return the second turn of a session: a patch, a command, and a plan were made."""
    grammar = {"type": "grammar", "syntax": "lark", "definition": 'start: "x"'}
    function = {"type": "function", "strict": False, "parameters": {"type": "object"}}
    action: dict[str, Any] = {"type": "exec", "command": ["ls"], "env": {}, "timeout_ms": 1000}
    image = {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"}
    return {
        "model": MODEL,
        "instructions": "You are a coding agent.",
        "input": [
            {"role": "developer", "content": [{"type": "input_text", "text": "Sandboxed."}]},
            {"role": "user", "content": [{"type": "input_text", "text": "Make a.py."}]},
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"},
            {"type": "custom_tool_call", "call_id": "a", "name": "apply_patch", "input": PATCH},
            {"type": "local_shell_call", "id": "b", "call_id": "b", "status": "completed"}
            | {"action": action},
            {"type": "function_call", "call_id": "c", "name": "view_image", "arguments": "{}"},
            {"type": "custom_tool_call_output", "call_id": "a", "output": "Success."},
            {"type": "function_call_output", "call_id": "b", "output": '{"output":"a.py"}'},
            {"type": "function_call_output", "call_id": "c", "output": [image]},
        ],
        "tools": [
            {**function, "name": "update_plan"},
            {**function, "name": "view_image"},
            {"type": "custom", "name": "apply_patch", "description": "Edit.", "format": grammar},
            {"type": "local_shell"},
            {"type": "web_search"},
        ],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "k",
    }


def test_a_turn_of_codex(agents_herd: Herd, server: Scripted) -> None:
    patch = '{"input":"*** Begin Patch\\n*** End Patch\\n"}'
    server.deltas = [
        {"reasoning_content": "Next."},
        {"content": "Once more."},
        *call(0, "c1", "apply_patch", patch[:9], patch[9:]),
        *call(1, "c2", "local_shell", '{"command":["ls",', '"-l"]}'),
        *call(2, "c3", "update_plan", '{"plan":', "[]}"),
    ]
    server.finish = "tool_calls"
    with openai.OpenAI(
        base_url=f"{agents_herd.url}/v1", api_key="not-needed", max_retries=0
    ) as client:
        create: Any = client.responses.with_raw_response.create
        raw = create(**codexs_turn(), stream=True)
        assert raw.headers["x-herd-left-out"] == "tools.web_search"
        told = list(raw.parse())
    kinds = [event.type for event in told]
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
    assert kinds.count("response.output_item.added") == kinds.count("response.output_item.done")
    final = told[-1].response
    thought, message, custom, shell, plan = final.output
    assert thought.summary[0].text == "Next."
    assert message.content[0].text == "Once more."
    assert (custom.type, custom.call_id, custom.name) == ("custom_tool_call", "c1", "apply_patch")
    assert custom.input == "*** Begin Patch\n*** End Patch\n"
    deltas = [each.delta for each in told if each.type == "response.custom_tool_call_input.delta"]
    assert "".join(deltas) == custom.input
    assert (shell.type, shell.call_id) == ("local_shell_call", "c2")
    assert shell.action.command == ["ls", "-l"]
    assert (plan.type, plan.call_id, plan.arguments) == ("function_call", "c3", '{"plan":[]}')
    assert final.usage.total_tokens == 940

    asked = server.asked[-1]
    names = [tool["function"]["name"] for tool in asked["tools"]]
    assert names == ["update_plan", "view_image", "apply_patch", "local_shell"]
    assert asked["parallel_tool_calls"] is True
    system, user, assistant, *results, shown = asked["messages"]
    assert system["content"] == "You are a coding agent.\n\nSandboxed."
    assert user["content"] == "Make a.py."
    assert [each["id"] for each in assistant["tool_calls"]] == ["a", "b", "c"]
    assert [each["tool_call_id"] for each in results] == ["a", "b", "c"]
    assert shown["content"][0]["type"] == "image_url"


def test_what_only_openai_does_is_refused(agents_herd: Herd) -> None:
    with openai.OpenAI(
        base_url=f"{agents_herd.url}/v1", api_key="not-needed", max_retries=0
    ) as client:
        create: Any = client.responses.create
        with pytest.raises(openai.BadRequestError, match=r"tools\[0\]: a node has no mcp"):
            create(model=MODEL, input="x", tools=[{"type": "mcp", "server_label": "x"}])
