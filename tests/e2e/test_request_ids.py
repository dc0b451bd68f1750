"""The packages of OpenAI and Anthropic show the id of a request, and herd's log knows it."""

from typing import Any

import anthropic
import openai
import pytest

from tests.e2e.herds import Herd, command
from tests.e2e.nodes import BIG

HELLO: list[Any] = [{"role": "user", "content": "hello"}]


def id_of(answer: Any) -> str:
    """Return what the packages call `_request_id`, which is their users' to read all the same."""
    return str(answer._request_id or "")


def known(herd: Herd, request_id: str | None) -> bool:
    told = command("log", str(request_id), "--json", "--data-dir", str(herd.data_dir))
    return str(request_id) in told.stdout


def test_openais(herd: Herd) -> None:
    with openai.OpenAI(base_url=f"{herd.url}/v1", api_key="x", max_retries=0) as client:
        answer = client.chat.completions.create(model=BIG, messages=HELLO)
        assert known(herd, id_of(answer))
        assert id_of(client.responses.create(model=BIG, input="hello"))
        assert id_of(client.models.retrieve(BIG))
        with client.chat.completions.with_streaming_response.create(
            model=BIG, messages=HELLO, stream=True
        ) as stream:
            assert known(herd, stream.request_id)
        with pytest.raises(openai.NotFoundError) as failed:
            client.chat.completions.create(model="nope", messages=HELLO)
        assert known(herd, failed.value.request_id)


def test_anthropics(herd: Herd) -> None:
    asked: dict[str, Any] = {"model": BIG, "max_tokens": 9, "messages": HELLO}
    with anthropic.Anthropic(base_url=herd.url, api_key="x", max_retries=0) as client:
        assert known(herd, id_of(client.messages.create(**asked)))
        with client.messages.stream(**asked) as stream:
            assert known(herd, stream.request_id)
            assert stream.get_final_text()
        assert id_of(client.messages.count_tokens(model=BIG, messages=HELLO))
        asked["model"] = "nope"
        with pytest.raises(anthropic.NotFoundError) as failed:
            client.messages.create(**asked)
    assert known(herd, failed.value.request_id)
    body: Any = failed.value.body
    assert body["request_id"] == failed.value.request_id
    assert body["error"]["type"] == "not_found_error"
