import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from herd.simulator.calls import Call, fitting, in_pieces, schema_of, wanted
from tests.herd.simulator.conftest import Run
from tests.herd.simulator.talk import ask, chat, lines, simulated, told

WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city"],
}


def tool(name: str, parameters: object = None) -> msgspec.Raw:
    function = {"name": name, "parameters": parameters}
    return msgspec.Raw(msgspec.json.encode({"type": "function", "function": function}))


def test_the_tool_that_was_talked_about_is_called() -> None:
    tools = [tool("get_time"), tool("get_weather", WEATHER), tool("getStockPrice")]

    weather = Call("get_weather", {"city": "simulated", "days": 3})
    assert wanted(tools, "Weather for 3 days?") == weather
    assert wanted(tools, "the price of bread") == Call("getStockPrice", {})
    assert wanted(tools, "get me something") is None
    assert wanted([msgspec.Raw(b'{"type":"function"}'), msgspec.Raw(b"7")], "function 7") is None


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"properties": {"a": {"type": "boolean"}, "b": {"type": "null"}}}, {"a": True, "b": None}),
        ({"properties": {"a": {"enum": ["x", "y"]}, "b": {"const": 2}}}, {"a": "x", "b": 2}),
        ({"properties": {"a": {"type": ["null", "number"]}}}, {"a": 4.0}),
        ({"properties": {"a": {"anyOf": [{"type": "null"}, {"type": "integer"}]}}}, {"a": 4}),
        ({"type": "array", "items": {"type": "string"}}, ["simulated"]),
        (
            {"properties": {"a": {"$ref": "#/$defs/b"}}, "$defs": {"b": {"type": "integer"}}},
            {"a": 4},
        ),
        ({}, {}),
    ],
)
def test_what_fits_a_schema(schema: dict[str, Any], value: object) -> None:
    assert fitting(schema, "about 4 things") == value


def test_a_schema_that_holds_itself_ends() -> None:
    endless = {"$ref": "#/$defs/a", "$defs": {"a": {"properties": {"a": {"$ref": "#/$defs/a"}}}}}
    assert json.dumps(fitting(endless, "")).count("a") == 4


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "properties", "items", "anyOf", "$ref", "$defs", "enum", "x"]),
            inner,
            max_size=4,
        )
    ),
)


@given(st.dictionaries(st.text(max_size=4) | st.sampled_from(["type", "enum"]), json_values))
def test_no_schema_is_too_strange(schema: dict[str, Any]) -> None:
    value = fitting(schema, "7")
    assert json.loads("".join(in_pieces(value))) == value


def test_a_format_may_be_a_word() -> None:
    assert schema_of(msgspec.Raw(b'"json"')) is None
    assert schema_of(msgspec.Raw(b"null")) is None
    assert schema_of(msgspec.Raw(b'{"type":"object"}')) == {"type": "object"}


def test_calls_and_objects_on_the_wire(run: Run) -> None:
    tools = [{"type": "function", "function": {"name": "get_weather", "parameters": WEATHER}}]
    asked = chat(text="Weather for 2 days?", tools=tools)
    arguments = {"city": "simulated", "days": 2}

    async def main() -> None:
        async with simulated() as node:
            whole = await told(node, "/api/chat", asked | {"stream": False})
            assert whole["message"]["tool_calls"][0]["function"]["arguments"] == arguments
            assert (whole["message"]["content"], whole["done_reason"]) == ("", "stop")
            first, last = lines((await ask(node, "/api/chat", asked)).body)
            assert first["message"] == whole["message"]
            assert "tool_calls" not in last["message"]
            [choice] = (await told(node, "/v1/chat/completions", asked))["choices"]
            assert choice["finish_reason"] == "tool_calls"
            [call] = choice["message"]["tool_calls"]
            assert json.loads(call["function"]["arguments"]) == arguments
            answered = {"messages": [{"role": "tool", "content": "Weather: sunny"}]}
            after = await told(node, "/api/chat", asked | answered | {"stream": False})
            assert "simulated answer" in after["message"]["content"]

    run(main())


def test_a_schema_is_kept_to_on_both_routes(run: Run) -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "w", "schema": WEATHER}}

    async def main() -> None:
        async with simulated() as node:
            whole = await told(node, "/api/chat", chat(stream=False, format=WEATHER))
            native = json.loads(whole["message"]["content"])
            asked = chat(response_format=schema)
            [choice] = (await told(node, "/v1/chat/completions", asked))["choices"]
            assert json.loads(choice["message"]["content"]) == native
            assert native == {"city": "simulated", "days": 1}

    run(main())
