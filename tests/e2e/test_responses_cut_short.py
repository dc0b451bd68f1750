"""The helpers of the `openai` package on `/v1/responses`: `stream` and `parse`.

On an answer that was cut by its length both raise, whoever gave it: that is the package's own way
(openai-python's issue 3263). So what it makes of herd's answer is held against what it makes of the
events that OpenAI sends.
"""

from collections.abc import Callable, Iterator
from typing import Any

import openai
import pydantic
import pytest
from openai.types.responses import ResponseIncompleteEvent

from tests.e2e.conftest import HerdsOf, ends_and_replays
from tests.e2e.herds import Herd
from tests.e2e.scripted import MODEL, Delta, Scripted

CUT: dict[str, Any] = {"model": MODEL, "input": "hello", "max_output_tokens": 3}
HALF = '{"city":"Par'


class City(pydantic.BaseModel):
    """What is asked for."""

    city: str


def _as_openai(text: str) -> list[dict[str, Any]]:
    """Return the events of OpenAI's API reference for a text that `max_output_tokens` cut."""
    part: dict[str, Any] = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    item: dict[str, Any] = {"id": "msg_1", "type": "message", "role": "assistant"}
    place: dict[str, Any] = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    begun: dict[str, Any] = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": MODEL,
        "status": "in_progress",
        "incomplete_details": None,
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
    }
    whole = item | {"status": "incomplete", "content": [part | {"text": text}]}
    ended = begun | {"status": "incomplete", "output": [whole]}
    ended |= {"incomplete_details": {"reason": "max_output_tokens"}}
    added: dict[str, Any] = item | {"status": "in_progress", "content": []}
    told: list[tuple[str, dict[str, Any]]] = [
        ("created", {"response": begun}),
        ("in_progress", {"response": begun}),
        ("output_item.added", {"output_index": 0, "item": added}),
        ("content_part.added", {**place, "part": part}),
        ("output_text.delta", {**place, "delta": text, "logprobs": []}),
        ("output_text.done", {**place, "text": text, "logprobs": []}),
        ("content_part.done", {**place, "part": part | {"text": text}}),
        ("output_item.done", {"output_index": 0, "item": whole}),
        ("incomplete", {"response": ended}),
    ]
    return [
        {"type": f"response.{name}", "sequence_number": number, **more}
        for number, (name, more) in enumerate(told)
    ]


@pytest.fixture(scope="module")
def node() -> Iterator[Scripted]:
    """A server that says half of what it was asked for."""
    with Scripted({"content": HALF[:4]}, {"content": HALF[4:]}, finish="length") as node:
        yield node


@pytest.fixture(scope="module")
def cut_herd(node: Scripted, herds_of: HerdsOf) -> Iterator[Herd]:
    """A balancer before it."""
    with herds_of("helpers") as start:
        herd = start(node.flag, wait_for=("scripted",))
        yield herd
        ends_and_replays(herd)


@pytest.fixture
def translated(cut_herd: Herd) -> Iterator[openai.OpenAI]:
    """The package before herd, whose node has no `/v1/responses`."""
    with _package(cut_herd.url) as client:
        yield client


@pytest.fixture(scope="module")
def openais() -> Iterator[openai.OpenAI]:
    """The package before what OpenAI itself sends."""
    with Scripted() as afar:
        afar.responses = _as_openai(HALF)
        with _package(afar.url) as client:
            yield client


def _package(url: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key="not-needed", max_retries=0)


def _outcome(act: Callable[[], Any]) -> object:
    """Return what comes of it: an answer, or what is raised."""
    try:
        answer = act()
    except (RuntimeError, pydantic.ValidationError) as error:
        return type(error), str(error)
    return answer.status, answer.output_text


def test_a_stream_that_was_cut_ends_with_its_answer(
    translated: openai.OpenAI, openais: openai.OpenAI
) -> None:
    for client in (translated, openais):
        with client.responses.stream(**CUT) as stream:
            last = list(stream)[-1]
        assert isinstance(last, ResponseIncompleteEvent)
        response = last.response
        assert (response.status, response.output_text) == ("incomplete", HALF)
        assert response.incomplete_details is not None
        assert response.incomplete_details.reason == "max_output_tokens"
        message = response.output[0]
        assert message.type == "message"
        assert message.status == "incomplete"


@pytest.mark.parametrize("what", ["final", "streamed schema", "schema"])
def test_the_package_makes_of_it_what_it_makes_of_openais(
    translated: openai.OpenAI, openais: openai.OpenAI, what: str
) -> None:
    """It raises today; a version that does not is as welcome."""

    def act(client: openai.OpenAI) -> Any:
        if what == "schema":
            return client.responses.parse(text_format=City, **CUT)
        wanted: dict[str, Any] = {"text_format": City} if what == "streamed schema" else {}
        with client.responses.stream(**CUT, **wanted) as stream:
            return stream.get_final_response()

    assert _outcome(lambda: act(translated)) == _outcome(lambda: act(openais))


def test_both_take_what_is_whole(node: Scripted, translated: openai.OpenAI) -> None:
    cut = node.deltas, node.finish
    whole: list[Delta] = [{"content": HALF}, {"content": 'is"}'}]
    node.deltas, node.finish = whole, "stop"
    try:
        asked: dict[str, Any] = {"model": MODEL, "input": "hello", "text_format": City}
        with translated.responses.stream(**asked) as stream:
            final = stream.get_final_response()
        assert final.output_parsed == City(city="Paris")
        assert translated.responses.parse(**asked).output_parsed == final.output_parsed
    finally:
        node.deltas, node.finish = cut
