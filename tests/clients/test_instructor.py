"""Instructor: objects that fit a schema, by each of its ways, over the clients of two APIs."""

from typing import Any

import anthropic
import instructor
import openai
import pytest
from pydantic import BaseModel

from tests.e2e.herds import Herd
from tests.e2e.nodes import BIG, SMALL, Nodes


class Town(BaseModel):
    """A town."""

    name: str
    people: int


class Land(BaseModel):
    """A land with towns of it."""

    capital: Town
    towns: list[Town]


ASKED: Any = [{"role": "user", "content": "A town of 700 people"}]
FOUND = {"name": "simulated", "people": 700}
MODES = [instructor.Mode.TOOLS, instructor.Mode.JSON_SCHEMA]
"""Not `JSON`, whose schema is in the prompt: a simulated model does not read it."""
each_mode = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)


def client(base: str, mode: instructor.Mode) -> instructor.Instructor:
    told = openai.OpenAI(base_url=f"{base}/v1", api_key="not-needed", max_retries=0)
    return instructor.from_openai(told, mode=mode)


@each_mode
def test_an_object(base: str, mode: instructor.Mode) -> None:
    found, said = client(base, mode).create_with_completion(
        model=BIG, messages=ASKED, response_model=Town, max_retries=0
    )
    assert found.model_dump() == FOUND
    assert said.usage.completion_tokens > 0


@each_mode
def test_objects_in_an_object(base: str, mode: instructor.Mode) -> None:
    asked: Any = [{"role": "user", "content": "A land with a town of 7 people"}]
    town = {"name": "simulated", "people": 7}
    found = client(base, mode).create(model=BIG, messages=asked, response_model=Land, max_retries=0)
    told = found.model_dump()
    assert told["capital"] == town
    assert all(each == town for each in told["towns"])


def test_it_comes_in_parts(base: str) -> None:
    """Not by a tool, of which an Ollama sends all arguments at once."""
    parts = list(
        client(base, instructor.Mode.JSON_SCHEMA).create_partial(
            model=BIG, messages=ASKED, response_model=Town, max_retries=0
        )
    )
    assert len(parts) > 2
    assert parts[0].people is None
    assert (parts[-1].name, parts[-1].people) == ("simulated", 700)


def test_over_anthropics_api(anthropic_base: str) -> None:
    told = anthropic.Anthropic(base_url=anthropic_base, api_key="not-needed", max_retries=0)
    found = instructor.from_anthropic(told).create(
        model=BIG, max_tokens=200, messages=ASKED, response_model=Town, max_retries=0
    )
    assert found.model_dump() == FOUND


def test_an_unknown_model(base: str) -> None:
    with pytest.raises(Exception, match="model 'nope' not found"):
        client(base, instructor.Mode.TOOLS).create(
            model="nope", messages=ASKED, response_model=Town, max_retries=0
        )


def test_a_stream_that_dies_is_no_object(pair_herd: Herd, pair: Nodes) -> None:
    pair.fault("die", after_tokens=3)
    with pytest.raises(Exception, match="node failed: "):
        list(
            client(pair_herd.url, instructor.Mode.JSON_SCHEMA).create_partial(
                model=SMALL, messages=ASKED, response_model=Town, max_retries=0
            )
        )
