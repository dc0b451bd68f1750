"""Pins over HTTP: which node is chosen, what is refused, and that it is answered when it holds."""

import asyncio
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from events import ModelFacts, ModelPinned, ModelUnpinned, NodeFacts, NodeId, ResidentModel
from herd.http.endpoints import pins as page
from herd.link.messages import NodeView, View
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import Control, fronting, node_view
from tests.herd.http.sockets import Client, client

GIB = 1024**3
SMALL, LARGE = "small:3b", "large:70b"
SIZES = {SMALL: 2 * GIB, LARGE: 40 * GIB}


def a_node(name: str, *resident: str, vram_gib: int = 64, **more: Any) -> NodeView:
    """Return a node that has both models on its disk."""
    return node_view(
        name,
        *(ModelFacts(name=model, size_bytes=size) for model, size in SIZES.items()),
        resident=tuple(ResidentModel(name=each, size_bytes=SIZES[each]) for each in resident),
        facts=NodeFacts(vram_bytes=vram_gib * GIB),
        **more,
    )


def fleet(*nodes: NodeView, **pinned: tuple[str, ...]) -> View:
    return View(nodes=nodes, pinned={NodeId(name): models for name, models in pinned.items()})


def show(control: Control, view: View) -> None:
    assert control.front is not None
    control.view = view
    control.front.view_changed(view)


async def asked(
    one: Client, method: bytes, body: object, path: bytes = b"/fleet/pin", more: bytes = b""
) -> tuple[int, Any]:
    sent = body if isinstance(body, bytes) else msgspec.json.encode(body)
    one.send(
        b"%b %b HTTP/1.1\r\nHost: localhost:11435\r\n%bContent-Length: %d\r\n\r\n%b"
        % (method, path, more, len(sent), sent)
    )
    head, answer = await one.answer()
    return int(head.split()[1]), msgspec.json.decode(answer)


def test_a_model_is_pinned_and_unpinned_once_control_has_it(run: Run) -> None:
    ada, bob = a_node("ada"), a_node("bob", LARGE)

    async def main() -> None:
        control = Control()
        async with fronting(control) as listener, client(listener.port) as one:
            show(control, fleet(ada, bob))
            soon = asyncio.ensure_future(asked(one, b"POST", {"model": "LARGE:70b"}))
            fact = await control.heard(ModelPinned)
            assert fact == ModelPinned(node_id=NodeId("bob"), model=LARGE, by="127.0.0.1")
            show(control, fleet(ada, bob, bob=(LARGE,)))
            per_node = {"bob": [LARGE]}
            told = {"ok": True, "model": LARGE, "pinned_node": "bob", "per_node": per_node}
            assert await soon == (200, told)
            status, shown = await asked(one, b"GET", b"", b"/dashboard/api/pinned-models")
            assert (status, shown["per_node"]) == (200, per_node)
            assert shown["pins"] == [{"node_id": "bob", "model": LARGE, "state": "loaded"}]
            soon = asyncio.ensure_future(asked(one, b"DELETE", b"", b"/fleet/pin/large:70b"))
            gone = await control.heard(ModelUnpinned)
            assert (gone.node_id, gone.model) == ("bob", LARGE)
            show(control, fleet(ada, bob))
            nothing: dict[str, list[str]] = {}
            ended = {"ok": True, "model": LARGE, "unpinned_from": ["bob"], "per_node": nothing}
            assert await soon == (200, ended)

    run(main())


def test_who_waits_is_told_when_it_is_in_memory_or_that_it_took_too_long(run: Run) -> None:
    async def main() -> None:
        control = Control()
        async with fronting(control) as listener, client(listener.port) as one:
            show(control, fleet(a_node("ada"), ada=(LARGE,)))
            order = {"model": LARGE, "node_id": "ada", "wait": True}
            status, told = await asked(one, b"POST", order | {"timeout_s": 0.01})
            assert (status, told["ready"], told["ready_after_ms"]) == (200, False, None)
            soon = asyncio.ensure_future(asked(one, b"POST", order))
            await control.heard(ModelPinned, 2)
            show(control, fleet(a_node("ada", LARGE), ada=(LARGE,)))
            status, told = await soon
            assert (status, told["ready"]) == (200, True)
            assert told["ready_after_ms"] >= 0

    run(main())


def test_the_dashboard_ends_a_pin_on_one_node_with_a_word(run: Run) -> None:
    async def main() -> None:
        control = Control()
        async with fronting(control) as listener, client(listener.port) as one:
            view = fleet(a_node("ada"), a_node("bob"), ada=(SMALL,), bob=(SMALL,))
            show(control, view)
            order = {"model": SMALL, "node_id": "bob", "pinned": False}
            path = b"/dashboard/api/pinned-models"
            soon = asyncio.ensure_future(asked(one, b"POST", order, path))
            assert (await control.heard(ModelUnpinned)).node_id == "bob"
            show(control, replace(view, pinned={NodeId("ada"): (SMALL,)}))
            assert (await soon)[1]["unpinned_from"] == ["bob"]

    run(main())


@pytest.mark.parametrize(
    ("order", "status", "says"),
    [
        (b"[", 400, "write"),
        ({"model": " "}, 400, "required"),
        ({"model": 1}, 400, "$.model"),
        ({"model": SMALL, "timeout_s": -1}, 400, "$.timeout_s"),
        ({"model": SMALL, "timeout_s": 601}, 400, "$.timeout_s"),
        ({"model": SMALL, "node_id": "eve"}, 400, "the fleet has: ada, bob"),
        ({"model": "other", "node_id": "ada"}, 404, "pull it there first"),
        ({"model": "other"}, 404, "pull it first"),
        ({"model": "away:1b"}, 503, "only on nodes that are offline: bob"),
        ({"model": SMALL, "node_id": "bob"}, 503, "offline"),
        ({"model": LARGE, "node_id": "ada"}, 409, "unpin another"),
        ({"model": SMALL, "pinned": False}, 404, "is not pinned"),
        ({"model": LARGE, "pinned": False, "node_id": "eve"}, 404, "is not pinned on 'eve'"),
    ],
)
def test_what_cannot_be_is_refused(run: Run, order: object, status: int, says: str) -> None:
    ada = a_node("ada", vram_gib=50)
    bob = replace(a_node("bob"), status="offline")
    bob = replace(bob, models=(*bob.models, ModelFacts(name="away:1b")))

    async def main() -> None:
        control = Control()
        async with fronting(control) as listener, client(listener.port) as one:
            show(control, fleet(ada, bob, ada=(LARGE,)) if status != 409 else fleet(ada, bob))
            found, told = await asked(one, b"POST", order)
            assert (found, says in told["error"]) == (status, True), told
            assert control.facts == []

    run(main())


def test_too_much_is_refused_with_the_figures_and_may_be_forced(run: Run) -> None:
    async def main() -> None:
        control = Control()
        async with fronting(control) as listener, client(listener.port) as one:
            show(control, fleet(a_node("ada", SMALL, vram_gib=50), ada=(SMALL,)))
            status, told = await asked(one, b"POST", {"model": LARGE})
            assert status == 409
            del told["error"]
            assert told == {
                "requested_gb": 48.0,
                "already_pinned_gb": 2.0,
                "budget_gb": 40.0,
                "node_total_gb": 50.0,
                "already_pinned": {SMALL: 2.0},
            }
            soon = asyncio.ensure_future(asked(one, b"POST", {"model": LARGE, "force": True}))
            await control.heard(ModelPinned)
            show(control, fleet(a_node("ada"), ada=(SMALL, LARGE)))
            assert (await soon)[0] == 200

    run(main())


def test_the_roomiest_is_chosen_where_it_is_in_no_memory() -> None:
    order = page.Asked(SMALL)
    nodes = (
        a_node("ada", vram_gib=8),
        a_node("bob", vram_gib=62),
        replace(a_node("cy"), draining=True),
    )
    assert page.chosen(fleet(*nodes, bob=(LARGE,)), SMALL, order).node_id == "ada"
    assert page.chosen(fleet(*nodes), SMALL, order).node_id == "bob"
    assert page.chosen(fleet(*nodes, ada=(SMALL,)), SMALL, order).node_id == "ada"


def test_each_pin_tells_how_it_stands() -> None:
    away = replace(a_node("cy", SMALL), status="offline")
    view = fleet(
        a_node("ada", SMALL), away, ada=(SMALL, LARGE, "other"), cy=(SMALL,), gone=(SMALL,)
    )
    assert [(row["node_id"], row["state"]) for row in page.rows(view)] == [
        ("ada", "loaded"),
        ("ada", "not in memory"),
        ("ada", "not on its disk"),
        ("cy", "away"),
        ("gone", "away"),
    ]


def test_pins_are_an_admin_s_and_need_control(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("herd.http.settling.LONGEST_S", 0.02)

    async def main() -> None:
        control = Control()
        proxied = b"X-Forwarded-For: 10.0.0.1\r\n"
        async with fronting(control) as listener, client(listener.port) as one:
            show(control, fleet(a_node("ada"), ada=(LARGE,)))
            order: dict[str, object] = {"model": SMALL}
            for path in (b"/fleet/pin", b"/dashboard/api/pinned-models"):
                assert (await asked(one, b"POST", order, path, proxied))[0] == 401
                assert (await asked(one, b"DELETE", order, path, proxied))[0] == 401
            assert (await asked(one, b"DELETE", b"", b"/fleet/pin/x", proxied))[0] == 401
            assert control.facts == []
            assert (await asked(one, b"POST", order))[0] == 503, "never confirmed"
            assert (await asked(one, b"DELETE", {"model": LARGE}))[0] == 503, "never confirmed"
            long = b"/fleet/pin/x?node_id=" + b"n" * 300
            assert (await asked(one, b"DELETE", b"", long))[0] == 400
            control.full = True
            assert (await asked(one, b"POST", order))[0] == 503
            control.view = replace(control.view, recording=False)
            assert (await asked(one, b"POST", order))[0] == 503
            control.connected = False
            assert (await asked(one, b"POST", order))[0] == 503

    run(main())
