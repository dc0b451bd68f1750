"""Nodes that sleep, as clients and operators see them, and how somebody has one woken."""

from typing import Any

import msgspec
import pytest

from events import Limits, ModelFacts, NodeFacts, ResidentModel, WakeRequested
from herd.http import places
from herd.http.endpoints import catalogue, fleet
from herd.http.problems import BadRequestError
from herd.link.messages import NodeView
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import Control, fronting, node_view, post, view
from tests.herd.http.sockets import client

LLAMA = ModelFacts(
    name="llama3.2:3b",
    size_bytes=2_000_000_000,
    family="llama",
    capabilities=("completion",),
    context_length=131_072,
)
MACS = ("3c:7c:3f:00:00:01",)


def sleeper(name: str = "ada", **more: Any) -> NodeView:
    resident = (ResidentModel(name="llama3.2:3b"),)
    node = node_view(name, LLAMA, resident=resident, status="sleeping")
    return msgspec.structs.replace(node, limits=Limits(macs=MACS), wakes=True, **more)


def test_one_that_sleeps_can_be_woken(run: Run) -> None:
    async def main() -> None:
        control = Control()
        mute = node_view("mute", status="offline")
        control.view = view(sleeper(), node_view("bob"), mute)
        async with fronting(control) as listener, client(listener.port) as one:
            post(one, "/fleet/wake", b'{"node_id":"ada"}')
            assert (await one.answer())[1] == b'{"node_id":"ada","status":"sleeping","woken":true}'
            asked = await control.heard(WakeRequested)
            assert (asked.node_id, asked.by) == ("ada", "127.0.0.1")
            post(one, "/fleet/wake", b'{"node_id":"bob"}')
            assert (await one.answer())[1] == b'{"node_id":"bob","status":"online","woken":false}'
            for body, status, words in (
                (b'{"node_id":"mute"}', b"409", b"herd node --wake"),
                (b'{"node_id":"attic"}', b"404", b"the fleet has: ada, bob, mute"),
                (b"[]", b"400", b"NAME"),
            ):
                post(one, "/fleet/wake", body)
                head, told = await one.answer()
                assert head.startswith(b"HTTP/1.1 " + status)
                assert words in told
            assert control.kinds == ["WakeRequested"]

    run(main())


def test_only_an_admin_wakes(run: Run) -> None:
    async def main() -> None:
        control = Control()
        control.view = view(sleeper())
        async with fronting(control) as listener, client(listener.port) as one:
            post(one, "/fleet/wake", b'{"node_id":"ada"}', b"X-Forwarded-For: 8.8.8.8")
            assert (await one.answer())[0].startswith(b"HTTP/1.1 401 ")
            assert control.facts == []

    run(main())


def test_its_models_are_listed_since_whoever_asks_for_one_wakes_it() -> None:
    seen = view(sleeper(), node_view("gone", ModelFacts(name="lost:1b"), status="offline"))
    tags: Any = catalogue.tags(seen)
    assert [(row["name"], row["details"]["fleet_nodes"]) for row in tags["models"]] == [
        ("llama3.2:3b", ["ada"])
    ]
    assert catalogue.ps(seen) == {"models": []}
    assert catalogue.model(seen, "lost:1b") is None


def test_of_its_models_it_is_told_what_is_known(run: Run) -> None:
    async def main() -> None:
        control = Control()
        v1 = node_view("v1", LLAMA, status="sleeping", facts=NodeFacts(dialect="openai"))
        control.view = view(v1, sleeper())
        async with fronting(control) as listener, client(listener.port) as one:
            post(one, "/api/show", b'{"model":"LLAMA3.2:3b"}')
            head, body = await one.answer()
            assert head.startswith(b"HTTP/1.1 200 ")
            told: Any = msgspec.json.decode(body)
            assert told["capabilities"] == ["completion"]
            assert told["model_info"] == {
                "general.architecture": "llama",
                "llama.context_length": 131_072,
            }
            post(one, "/api/show", b'{"model":"other"}')
            assert (await one.answer())[0].startswith(b"HTTP/1.1 404 ")

    run(main())


def test_operators_see_that_it_sleeps_and_never_its_address() -> None:
    told: Any = fleet.status(view(sleeper(waking=2)), 0.0)
    (row,) = told["nodes"]
    assert (row["status"], row["wake"], row["waking"]) == ("sleeping", True, True)
    assert told["fleet"]["nodes_online"] == 0
    assert "capacity" not in row
    assert MACS[0].encode() not in msgspec.json.encode(told)


def test_orders_for_its_disk_say_how_to_have_it() -> None:
    with pytest.raises(BadRequestError, match="herd wake ada"):
        places.named(view(sleeper()), "ada")
    assert places.usable(view(sleeper())) == []
