"""Who shows a key for some models sees those, and no others."""

from typing import Any

import msgspec
import pytest

from events import ModelFacts, ResidentModel
from herd.http.keyring import digest
from herd.link.messages import KeyView
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import Ask, Control, fronting, node, node_view, post, view
from tests.herd.http.sockets import Client, client
from tests.herd.http.test_show import at

SOME, ALL = b"herd-a-key-for-some", b"herd-a-key-for-all"
KEYS = (
    KeyView("some", digest(SOME), models=("llama3*", "tiny")),
    KeyView("all", digest(ALL)),
)
MODELS = (ModelFacts(name="llama3.2:3b"), ModelFacts(name="qwen3:8b"), ModelFacts(name="gemma3:1b"))
OWN = ["llama3.2:3b"]
EVERY = ["gemma3:1b", "llama3.2:3b", "qwen3:8b"]


async def listed(one: Client, path: str, key: bytes) -> list[str]:
    """Return the names that a listing has."""
    one.send(
        b"GET %b HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %b\r\n\r\n"
        % (path.encode(), key)
    )
    head, body = await one.answer()
    assert head.startswith(b"HTTP/1.1 200 "), body
    told: dict[str, Any] = msgspec.json.decode(body)
    return sorted(row.get("name") or row["id"] for row in told.get("models") or told["data"])


def fleet(url: str = "http://127.0.0.1:1") -> Control:
    control = Control()
    resident = tuple(ResidentModel(name=model.name) for model in MODELS)
    control.view = msgspec.structs.replace(
        view(at(node_view("ada", *MODELS, resident=resident), url)),
        keys=KEYS,
        settings={"model_aliases": "tiny=gemma3:1b"},
    )
    return control


@pytest.mark.parametrize("path", ["/api/tags", "/api/ps", "/v1/models"])
def test_a_key_sees_its_own_models_only(run: Run, path: str) -> None:
    async def main() -> None:
        async with fronting(fleet()) as listener, client(listener.port) as one:
            for _ in range(2):  # what is kept of one is not the other's
                assert await listed(one, path, SOME) == OWN
                assert await listed(one, path, ALL) == EVERY

    run(main())


@pytest.mark.parametrize(
    ("model", "status"),
    [("llama3.2:3b", 200), ("LLAMA3.2:3b", 200), ("tiny", 200), ("qwen3:8b", 403), ("no:1", 403)],
)
def test_another_model_is_refused_as_a_chat_is(run: Run, model: str, status: int) -> None:
    async def told(ask: Ask) -> None:
        ask.answer(b'{"model_info":{}}')

    async def main() -> None:
        async with node(told) as here:
            control = fleet(here.url)
            async with fronting(control) as listener, client(listener.port) as one:
                for path in ("/api/show", "/v1/messages/count_tokens"):
                    body = msgspec.json.encode({"model": model, "messages": [], "max_tokens": 1})
                    post(one, path, body, b"Authorization: Bearer " + SOME)
                    head, said = await one.answer()
                    assert head.startswith(b"HTTP/1.1 %d " % status), (path, said)
                    assert (b"is not for model" in said) is (status == 403)
                one.send(
                    b"GET /v1/models/%b HTTP/1.1\r\nHost: localhost\r\nx-api-key: %b\r\n\r\n"
                    % (model.encode(), SOME)
                )
                head, said = await one.answer()
                assert head.startswith(b"HTTP/1.1 %d " % status), said
            assert len(here.asks) == (status == 200)

    run(main())
