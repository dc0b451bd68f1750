"""`/v1/messages/count_tokens`: an estimate, for every name that `/v1/messages` takes."""

from typing import Any

import msgspec
import pytest

from events import ModelFacts
from herd.http.endpoints.counting import PATH
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import Control, fronting, header, node_view, post, view
from tests.herd.http.sockets import client

TALK = [{"role": "user", "content": "x" * 400}]


async def counted(body: dict[str, Any], aliases: str = "") -> tuple[bytes, Any]:
    control = Control()
    seen = view(node_view("ada", ModelFacts(name="llama3.2:3b")))
    control.view = msgspec.structs.replace(seen, settings={"model_aliases": aliases})
    async with fronting(control) as listener, client(listener.port) as one:
        post(one, PATH + "?beta=true", msgspec.json.encode(body))
        head, told = await one.answer()
    assert control.facts == []
    return head, msgspec.json.decode(told)


@pytest.mark.parametrize("model", ["Llama3.2:3b", "claude-sonnet-4-5", "fast"])
def test_who_may_be_counted_for(model: str, run: Run) -> None:
    async def main() -> None:
        head, told = await counted({"model": model, "messages": TALK}, "fast=llama3.2:3b")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert header(head, b"X-Herd-Token-Count") == b"estimated"
        assert 100 <= told["input_tokens"] <= 120

    run(main())


@pytest.mark.parametrize(
    ("body", "status"),
    [({"model": "fast", "messages": TALK}, 404), ({"model": "llama3.2:3b"}, 400)],
)
def test_who_may_not(body: dict[str, Any], status: int, run: Run) -> None:
    async def main() -> None:
        head, told = await counted(body)
        assert head.startswith(b"HTTP/1.1 %d " % status)
        assert told["type"] == "error"

    run(main())


def test_an_alias_is_retrieved_as_what_it_stands_for(run: Run) -> None:
    async def main() -> None:
        control = Control()
        seen = view(node_view("ada", ModelFacts(name="llama3.2:3b")))
        aliased = {"model_aliases": "gpt-*=llama3.2:3b"}
        control.view = msgspec.structs.replace(seen, settings=aliased)
        async with fronting(control) as listener, client(listener.port) as one:
            one.send(b"GET /v1/models/gpt-4o HTTP/1.1\r\nHost: localhost\r\n\r\n")
            _, told = await one.answer()
        assert msgspec.json.decode(told)["id"] == "llama3.2:3b"

    run(main())
