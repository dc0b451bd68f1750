"""The tools of a `/v1/responses` as functions of `/v1/chat/completions`, and their calls. Pure.

Rules
1. A function stays one. Those of a namespace carry its name before their own, and lose it again in
   the answer.
2. A `custom` tool, that takes a text, becomes a function with one text, `input`; its grammar goes
   into its description, since no node can keep to it.
3. `local_shell`, that the client runs, becomes a function that takes a command.
4. What agents offer with every request and a model does without is left out, and named: the search
   of the web and of tools, pictures. All other tools of OpenAI's are refused.
"""

from typing import Any, Final, Literal, TypeAlias

import msgspec

from herd.dialects import completions
from herd.dialects.errors import UntranslatableError

Json: TypeAlias = dict[str, Any]
Kind: TypeAlias = Literal["function_call", "custom_tool_call", "local_shell_call"]
"""How a call is written as an item."""

SHELL: Final = "local_shell"


class Tool(msgspec.Struct, gc=False):
    """A tool; which one, says `type`."""

    type: str
    name: str = ""
    description: str | None = None
    parameters: Json | None = None
    strict: bool | None = None
    format: Json | None = None
    """What the text of a custom tool is to be."""
    tools: list["Tool"] | None = None
    """Of a namespace."""


class Called(msgspec.Struct, frozen=True, gc=False):
    """What the client knows a function as."""

    kind: Kind
    name: str
    namespace: str = ""


class _Tools(msgspec.Struct, gc=False):
    tools: list[Tool] | None = None


class _Input(msgspec.Struct, gc=False):
    input: str


class _Command(msgspec.Struct, gc=False):
    command: list[str] | str
    workdir: str | None = None
    timeout_ms: int | None = None
    env: dict[str, str] | None = None


_decode_tools = msgspec.json.Decoder(_Tools).decode
_decode_input = msgspec.json.Decoder(_Input).decode
_decode_command = msgspec.json.Decoder(_Command).decode
_MALFORMED: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_OFFERED: Final = ("web_search", "tool_search", "image_generation")
_NOTHING: Final[Json] = {"type": "object", "properties": {}}
_TEXT: Final = {"type": "string"}
_INPUT: Final[Json] = {"type": "object", "properties": {"input": _TEXT}, "required": ["input"]}
_COMMAND: Final[Json] = {
    "type": "object",
    "properties": {
        "command": {"type": "array", "items": _TEXT},
        "workdir": _TEXT,
        "timeout_ms": {"type": "integer"},
    },
    "required": ["command"],
}


def functions(tools: list[Tool]) -> tuple[list[Json], list[str]]:
    """Return the functions, and the tools that are left out; `UntranslatableError` for others."""
    found: list[Json] = []
    left_out: list[str] = []
    for position, tool in enumerate(tools):
        offered = [name for name in _OFFERED if tool.type.startswith(name)]
        if offered:
            left_out += [f"tools.{name}" for name in offered]
        elif tool.type == "namespace":
            inner, where = tool.tools or (), f"tools[{position}]"
            found += [_function(each, where, tool.name) for each in inner]
        else:
            found.append(_function(tool, f"tools[{position}]"))
    return found, left_out


def known(body: bytes) -> dict[str, Called]:
    """Return as what the client of a request knows its functions, by the names nodes know."""
    try:
        tools = _decode_tools(body).tools or []
    except _MALFORMED:
        return {}
    found: dict[str, Called] = {}
    for tool in tools:
        inner = (tool.tools or ()) if tool.type == "namespace" else (tool,)
        space = tool.name if tool.type == "namespace" else ""
        for each in inner:
            if (kind := _kind(each)) is not None:
                name = SHELL if kind == "local_shell_call" else each.name
                found[full_name(name, space)] = Called(kind, each.name, space)
    return found


def full_name(name: str, namespace: str = "") -> str:
    """Return the name by which a node knows a function."""
    if not namespace:
        return name
    return f"{namespace}{name}" if namespace.endswith("__") else f"{namespace}__{name}"


def input_of(arguments: str) -> str:
    """Return the text that a custom tool was called with: models may say it as it is."""
    try:
        return _decode_input(arguments).input
    except _MALFORMED:
        return arguments


def arguments_of(text: str) -> str:
    """Return the same for a node."""
    return msgspec.json.encode({"input": text}).decode()


def action_of(arguments: str) -> Json:
    """Return the action of a shell; its command is empty where the model wrote none."""
    try:
        said = _decode_command(arguments)
    except _MALFORMED:
        said = _Command([])
    line = said.command
    return {
        "type": "exec",
        "command": ["bash", "-lc", line] if isinstance(line, str) else line,
        "env": said.env or {},
        "timeout_ms": said.timeout_ms,
        "user": None,
        "working_directory": said.workdir,
    }


def command_of(action: Json) -> str:
    """Return the same for a node."""
    told: Json = {"command": action.get("command") or []}
    for name, word in (("working_directory", "workdir"), ("timeout_ms", "timeout_ms")):
        if action.get(name) is not None:
            told[word] = action[name]
    return msgspec.json.encode(told).decode()


def called_as(call: completions.ToolCall, tools: dict[str, Called]) -> Called:
    """Return as what the client knows a function that was called; unknown ones are functions."""
    return tools.get(call.name) or Called("function_call", call.name)


def _kind(tool: Tool) -> Kind | None:
    match tool.type:
        case "function":
            return "function_call"
        case "custom":
            return "custom_tool_call"
        case "local_shell":
            return "local_shell_call"
        case _:
            return None


def _function(tool: Tool, where: str, namespace: str = "") -> Json:
    function: Json
    match _kind(tool):
        case "function_call":
            function = {"parameters": tool.parameters or _NOTHING}
            if tool.description is not None:
                function["description"] = tool.description
            if tool.strict is not None:
                function["strict"] = tool.strict
        case "custom_tool_call":
            function = {"description": _described(tool), "parameters": _INPUT}
        case "local_shell_call":
            text = "Run a command on the user's machine: a program and its arguments."
            function = {"description": text, "parameters": _COMMAND}
        case None:
            text = f"{where}: a node has no {tool.type}: only functions, custom tools and a shell"
            raise UntranslatableError(text)
    name = SHELL if tool.type == SHELL else tool.name
    return {"type": "function", "function": {"name": full_name(name, namespace), **function}}


def _described(tool: Tool) -> str:
    wanted = tool.format or {}
    said = tool.description or ""
    if wanted.get("type") != "grammar":
        return said
    grammar = f"`input` fits this {wanted.get('syntax')} grammar:\n{wanted.get('definition')}"
    return f"{said}\n\n{grammar}".lstrip()
