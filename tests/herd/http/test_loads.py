"""Requests without a prompt: `ollama stop` is heard by every node that holds the model."""

from typing import Any

import msgspec
import pytest

from events import ModelFacts, ModelUnloaded, NodeFacts, NodeId, RequestReceived, ResidentModel
from herd.http.endpoints import loads
from herd.http.routes import Routes
from herd.link.messages import KeyView, NodeView, View
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import Ask, Control, fronting, header, node, node_view, post, view
from tests.herd.http.sockets import client
from tests.herd.http.stocked import Fleet, fleet
from tests.herd.simulator.talk import SMALL, ask, told

PATHS = pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
STOP: dict[str, object] = {"model": SMALL, "keep_alive": 0}
GEMMA = ModelFacts(name="gemma-3", capabilities=("completion",))


async def in_memory(herd: Fleet, name: str) -> list[str]:
    found = await told(herd.nodes[name], "/api/ps")
    return [row["name"] for row in found["models"]]


async def load(herd: Fleet, *names: str) -> None:
    for name in names:
        answer = await ask(herd.nodes[name], "/api/generate", {"model": SMALL, "keep_alive": -1})
        assert answer.status == 200
    herd.look()
    assert herd.control.front is not None
    herd.control.front.view_changed(herd.control.view)


@PATHS
def test_a_stop_goes_wherever_the_model_is_in_memory(path: str, run: Run) -> None:
    async def main() -> None:
        async with fleet() as herd:
            await load(herd, "big", "small")
            answer = await herd.ask(path, STOP)
            assert answer.status == 200
            assert answer.header(b"content-type") == b"application/json; charset=utf-8"
            assert answer.header(b"x-fleet-node") == b"big, small"
            said = msgspec.json.decode(answer.body)
            assert (said["model"], said["done"], said["done_reason"]) == (SMALL, True, "unload")
            assert ("message" in said) == (path == "/api/chat")
            for name in ("big", "small"):
                assert await in_memory(herd, name) == []
            fact = await herd.control.heard(ModelUnloaded, 2)
            assert (fact.node_id, fact.model, fact.by) == ("small", SMALL, "127.0.0.1")
            assert not any(model.resident for model in herd.control.view.nodes), "seen at its end"
            assert not any(isinstance(each, RequestReceived) for each in herd.control.facts)

    run(main())


@PATHS
def test_nothing_is_loaded_by_it(path: str, run: Run) -> None:
    async def main() -> None:
        async with fleet() as herd:
            await load(herd, "small")
            assert (await herd.ask(path, STOP)).header(b"x-fleet-node") == b"small"
            answer = await herd.ask(path, {**STOP, "model": SMALL.upper(), "keep_alive": "0s"})
            said = msgspec.json.decode(answer.body)
            assert (said["model"], said["done_reason"]) == (SMALL.upper(), "unload")
            for name in ("big", "small"):
                loads_so_far = herd.nodes[name].stats().loads
                assert loads_so_far == (name == "small")
            assert herd.control.kinds == ["ModelUnloaded"]

    run(main())


def test_a_node_can_be_named_and_one_that_fails_is_told_of(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loads, "LOOK_S", 0.2)

    async def main() -> None:
        async with fleet() as herd:
            await load(herd, "big", "small")
            answer = await herd.ask("/api/generate", STOP, node="small")
            assert answer.header(b"x-fleet-node") == b"small"
            assert await in_memory(herd, "big") == [SMALL]
            await load(herd, "small")
            await herd.nodes["big"].stop()
            failed = await herd.ask("/api/generate", STOP)
            assert failed.status == 502
            text = msgspec.json.decode(failed.body)["error"]
            assert text == "node failed: big: connection refused; done on small"

    run(main())


def test_a_pin_is_an_operators_word(run: Run) -> None:
    async def main() -> None:
        async with fleet() as herd:
            await load(herd, "big", "small")
            pinned = {NodeId("big"): (SMALL,)}
            herd.control.view = msgspec.structs.replace(herd.control.view, pinned=pinned)
            herd.control.fleet = None
            answer = await herd.ask("/api/generate", STOP)
            assert (answer.status, answer.header(b"x-fleet-node")) == (200, b"small")
            again = await herd.ask("/api/generate", STOP)
            assert again.status == 409
            assert b"pinned on big: `herd unpin`" in again.body
            assert await in_memory(herd, "big") == [SMALL]

    run(main())


def v1_only(status: str = "online") -> NodeView:
    facts = NodeFacts(dialect="openai")
    return node_view("vllm", GEMMA, facts=facts, status=status)


def seeing(*nodes: NodeView, **settings: bool | str) -> View:
    return msgspec.structs.replace(view(*nodes), settings={"translate_ollama": True, **settings})


async def answered(control: Control, path: str, body: dict[str, Any]) -> tuple[bytes, Any]:
    async with fronting(control) as listener, client(listener.port) as one:
        post(one, path, msgspec.json.encode(body))
        head, said = await one.answer()
    return head, msgspec.json.decode(said)


@PATHS
def test_what_loads_by_itself_is_as_good_as_loaded(path: str, run: Run) -> None:
    async def main() -> None:
        control = Control()
        control.view = seeing(v1_only(), model_aliases="gpt*=gemma-3")
        for model in ("gemma-3", "gpt-x"):
            head, said = await answered(control, path, {"model": model, "keep_alive": "5m"})
            assert head.startswith(b"HTTP/1.1 200 ")
            assert header(head, b"Content-Type") == b"application/json; charset=utf-8"
            assert header(head, b"X-Fleet-Node") == b"vllm"
            assert (said["model"], said["done"], said["done_reason"]) == (model, True, "load")
        head, said = await answered(control, path, {"model": "gemma-3", "keep_alive": 0})
        assert head.startswith(b"HTTP/1.1 400 ")
        assert "load and unload by themselves" in said["error"]
        control.view = seeing(v1_only("offline"))
        for body in ({"model": "gemma-3"}, {"model": "gemma-3", "keep_alive": 0}):
            head, said = await answered(control, path, body)
            assert head.startswith(b"HTTP/1.1 503 ")
            assert header(head, b"Retry-After") == b"5"
        assert control.facts == []

    run(main())


def test_a_load_is_a_nodes_business_where_an_ollama_has_the_model(run: Run) -> None:
    async def main() -> None:
        control = Control()
        control.view = seeing(v1_only(), node_view("ada", GEMMA))
        await answered(control, "/api/generate", {"model": "gemma-3"})
        assert (await control.heard(RequestReceived)).model == "gemma-3"

    run(main())


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({"model": "nope", "keep_alive": 0}, 404, "model 'nope' not found"),
        ({"model": "llama3:8b", "keep_alive": 0}, 403, "not for model"),
        ({"model": "", "keep_alive": 0}, 404, "model '' not found"),
        ({"model": "a b", "keep_alive": 0}, 403, "not for model"),
    ],
)
def test_what_cannot_be_let_go(body: dict[str, Any], status: int, text: str, run: Run) -> None:
    async def main() -> None:
        control = Control()
        control.view = view(node_view("ada", ModelFacts(name="llama3:8b")))
        shown = KeyView("laptop", "00" * 32, models=("nope*",))

        def asked(exchange: Any) -> None:
            exchange.key = shown
            inner(exchange)

        async with fronting(control) as listener, client(listener.port) as one:
            assert control.front is not None
            inner = dict(control.front.routes)["/api/generate"][b"POST"]
            control.front.routes = Routes({"/api/generate": {b"POST": asked}}, {})
            post(one, "/api/generate", msgspec.json.encode(body))
            head, said = await one.answer()
        assert head.startswith(b"HTTP/1.1 %d " % status)
        assert text in msgspec.json.decode(said)["error"]

    run(main())


def test_what_a_node_refuses_is_no_success(run: Run) -> None:
    async def refuses(ask: Ask) -> None:
        if b"/api/ps" in ask.head:
            ask.answer(b'{"models":[{"name":"m:latest"}]}')
        else:
            ask.answer(b'{"error":"no"}', 500)

    async def main() -> None:
        async with node(refuses) as here:
            control = Control()
            m = ModelFacts(name="m:latest")
            seen = node_view("ada", m, resident=(ResidentModel(name="m:latest"),))
            control.view = view(msgspec.structs.replace(seen, url=here.url))
            head, said = await answered(control, "/api/chat", {"model": "m", "keep_alive": 0})
        assert head.startswith(b"HTTP/1.1 502 ")
        assert said["error"] == "node failed: ada answered 500: no"
        assert control.facts == []

    run(main())
