"""Tools that agents bring to `/v1/responses`, and that are no functions there."""

from typing import Any

import msgspec
import pytest

from herd.dialects import responses_asked, responses_told
from herd.dialects.asking import Asking, Node
from herd.dialects.errors import UntranslatableError
from tests.herd.dialects.test_messages import events

GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": 'start: "x"'}
FUNCTION = {"type": "function", "name": "f", "parameters": {"type": "object"}}
PATCH = {"type": "custom", "name": "apply_patch", "description": "Edit.", "format": GRAMMAR}
SHELL = {"type": "local_shell"}
SPACE = {"type": "namespace", "name": "mcp__fs", "description": "Files", "tools": [FUNCTION]}
TOOLS: list[dict[str, Any]] = [FUNCTION, PATCH, SHELL, SPACE]
ASKING = Asking("m", msgspec.json.encode({"model": "m", "input": "Hi", "tools": TOOLS}))


def asked(**more: Any) -> dict[str, Any]:
    body = msgspec.json.encode({"model": "m", "input": "Hi", **more})
    told: dict[str, Any] = msgspec.json.decode(responses_asked.translate(body, Node()).body)
    return told


def calls(*said: tuple[str, str]) -> list[dict[str, Any]]:
    return [
        {"index": index, "id": f"c{index}", "function": {"name": name, "arguments": arguments}}
        for index, (name, arguments) in enumerate(said)
    ]


def whole(*said: tuple[str, str]) -> list[dict[str, Any]]:
    message = {"content": "", "tool_calls": calls(*said)}
    body = msgspec.json.encode({"choices": [{"message": message, "finish_reason": "tool_calls"}]})
    found: list[dict[str, Any]] = msgspec.json.decode(responses_told.whole(body, ASKING))["output"]
    return found


CALLED = (
    ("f", '{"x":1}'),
    ("apply_patch", '{"input":"*** Begin Patch\\n"}'),
    ("local_shell", '{"command":["ls","-l"],"workdir":"/tmp","timeout_ms":5}'),
    ("mcp__fs__f", "{}"),
)
ACTION: dict[str, Any] = {
    "type": "exec",
    "command": ["ls", "-l"],
    "env": {},
    "timeout_ms": 5,
    "user": None,
    "working_directory": "/tmp",  # noqa: S108 (a word)
}


def test_they_become_functions() -> None:
    f, patch, shell, inner = [each["function"] for each in asked(tools=TOOLS)["tools"]]
    assert [f["name"], shell["name"], inner["name"]] == ["f", "local_shell", "mcp__fs__f"]
    assert patch == {
        "name": "apply_patch",
        "description": 'Edit.\n\n`input` fits this lark grammar:\nstart: "x"',
        "parameters": {
            "type": "object",
            "properties": {"input": {"type": "string"}},
            "required": ["input"],
        },
    }
    chosen = asked(tools=TOOLS, tool_choice={"type": "custom", "name": "apply_patch"})
    assert chosen["tool_choice"] == {"type": "function", "function": {"name": "apply_patch"}}


def test_their_calls_are_their_own_items_again() -> None:
    f, patch, shell, inner = whole(*CALLED)
    assert (f["type"], f["arguments"]) == ("function_call", '{"x":1}')
    assert (patch["type"], patch["name"]) == ("custom_tool_call", "apply_patch")
    assert (patch["call_id"], patch["input"]) == ("c1", "*** Begin Patch\n")
    assert (shell["type"], shell["call_id"], shell["action"]) == ("local_shell_call", "c2", ACTION)
    assert (inner["type"], inner["namespace"], inner["name"]) == ("function_call", "mcp__fs", "f")


def test_a_model_that_says_the_text_as_it_is_is_understood() -> None:
    (patch,) = whole(("apply_patch", "*** Begin Patch"))
    assert patch["input"] == "*** Begin Patch"
    (shell,) = whole(("local_shell", '{"command":"ls -l"}'))
    assert shell["action"]["command"] == ["bash", "-lc", "ls -l"]
    (shell,) = whole(("local_shell", "ls -l"))
    assert (shell["status"], shell["action"]["command"]) == ("incomplete", [])


def test_a_stream_of_them() -> None:
    chunks: list[dict[str, Any]] = [
        {"choices": [{"delta": {"tool_calls": [each]}}]} for each in calls(*CALLED[1:])
    ]
    chunks.append({"choices": [{"delta": {}, "finish_reason": "tool_calls"}]})
    lines = b"".join(b"data: %b\n\n" % msgspec.json.encode(chunk) for chunk in chunks)
    told = events(responses_told.Stream(ASKING).feed(lines + b"data: [DONE]\n\n"))
    assert [each["type"].removeprefix("response.") for each in told] == [
        *["created", "in_progress", "output_item.added", "custom_tool_call_input.delta"],
        *["custom_tool_call_input.done", "output_item.done"],
        *["output_item.added", "output_item.done"],
        *["output_item.added", "function_call_arguments.delta", "function_call_arguments.done"],
        *["output_item.done", "completed"],
    ]
    patch, shell, inner = [each["item"] for each in told if each["type"].endswith("item.done")]
    assert patch["input"] == told[3]["delta"] == told[4]["input"] == "*** Begin Patch\n"
    assert shell["action"] == ACTION
    assert told[6]["item"]["action"]["command"] == []
    assert inner["namespace"] == "mcp__fs"
    assert told[-1]["response"]["output"] == [patch, shell, inner]


def test_a_history_of_them() -> None:
    action: dict[str, Any] = {
        "type": "exec",
        "command": ["ls"],
        "env": {},
        "working_directory": "/x",
    }
    items: list[dict[str, Any]] = [
        {"type": "custom_tool_call", "call_id": "a", "name": "apply_patch", "input": "P"},
        {"type": "local_shell_call", "id": "b", "status": "completed", "action": action},
        {"type": "function_call", "call_id": "c", "namespace": "mcp__fs", "name": "f"},
        {"type": "custom_tool_call_output", "call_id": "a", "output": "done"},
        {"type": "local_shell_call_output", "id": "b", "output": "x"},
        {"type": "function_call_output", "call_id": "c", "output": "y"},
    ]
    first, *results = asked(input=items, tools=TOOLS)["messages"]
    said = [(each["id"], each["function"]) for each in first["tool_calls"]]
    assert said == [
        ("a", {"name": "apply_patch", "arguments": '{"input":"P"}'}),
        ("b", {"name": "local_shell", "arguments": '{"command":["ls"],"workdir":"/x"}'}),
        ("c", {"name": "mcp__fs__f", "arguments": "{}"}),
    ]
    assert [(it["tool_call_id"], it["content"]) for it in results] == [
        *[("a", "done"), ("b", "x"), ("c", "y")]
    ]


def test_what_agents_always_offer_is_left_out_by_name_and_the_rest_refused() -> None:
    offers = [{"type": "web_search_preview"}, {"type": "tool_search"}, {"type": "image_generation"}]
    body = msgspec.json.encode({"model": "m", "input": "Hi", "tools": [*offers, FUNCTION]})
    question = responses_asked.translate(body, Node())
    assert question.left_out == ("tools.web_search", "tools.tool_search", "tools.image_generation")
    for kind in ("mcp", "file_search", "code_interpreter", "computer", "shell"):
        with pytest.raises(UntranslatableError, match=rf"tools\[0\]: a node has no {kind}"):
            asked(tools=[{"type": kind}])
