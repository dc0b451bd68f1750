"""The tools of a `/v1/messages` as functions of `/v1/chat/completions`. Pure.

Some of Anthropic's tools run at the client and have no schema, since Claude knows them: a shell, an
editor, a memory. Other models do not, so they get one, after Anthropic's pages on each of them.
"""

from typing import Any, Final, TypeAlias

from herd.dialects.errors import UntranslatableError
from herd.dialects.messages_body import Asked, Tool

Json: TypeAlias = dict[str, Any]

_CHOICES: Final = {"auto": "auto", "any": "required", "none": "none"}
_TEXT: Final = {"type": "string"}
_LINE: Final = {"type": "integer"}
_RANGE: Final = {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2}


def _commands(names: str, **more: Json) -> Json:
    command = {"type": "string", "enum": names.split()}
    properties = {"command": command, "path": _TEXT, **more}
    return {"type": "object", "properties": properties, "required": ["command"]}


_EDITING: Final[Json] = {
    "file_text": _TEXT,
    "old_str": _TEXT,
    "new_str": _TEXT,
    "insert_line": _LINE,
    "insert_text": _TEXT,
    "view_range": _RANGE,
}
_KNOWN: Final[dict[str, tuple[str, Json]]] = {
    "bash": (
        "Run a command in a shell that stays open; `restart` opens a new one.",
        {"type": "object", "properties": {"command": _TEXT, "restart": {"type": "boolean"}}},
    ),
    "text_editor": (
        "View, create and edit files.",
        _commands("view create str_replace insert", **_EDITING),
    ),
    "memory": (
        "Keep notes in files below /memories: view, create, edit, delete and rename them.",
        _commands(
            "view create str_replace insert delete rename",
            **_EDITING,
            old_path=_TEXT,
            new_path=_TEXT,
        ),
    ),
}
"""By their types without the date: what they do, and what they take."""


def functions(asked: Asked) -> Json:
    """Return what a body says of tools; `UntranslatableError` for those that no node has."""
    told: Json = {}
    if asked.tools:
        told["tools"] = [_function(tool) for tool in asked.tools]
    choice = asked.tool_choice
    if choice is not None and asked.tools:
        named = {"type": "function", "function": {"name": choice.name or ""}}
        told["tool_choice"] = _CHOICES.get(choice.type, named)
        if choice.disable_parallel_tool_use:
            told["parallel_tool_calls"] = False
    return told


def _function(tool: Tool) -> Json:
    description, schema = tool.description, tool.input_schema
    if tool.type not in {None, "custom"}:
        known = _KNOWN.get((tool.type or "").rpartition("_")[0])
        if known is None:
            text = f"the tool {tool.name or '?'} ({tool.type}) is Anthropic's: nodes do not have it"
            raise UntranslatableError(text)
        description, schema = known
    if not tool.name:
        raise UntranslatableError("a tool without a name")
    function: Json = {
        "name": tool.name,
        "parameters": schema or {"type": "object", "properties": {}},
    }
    if description is not None:
        function["description"] = description
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}
