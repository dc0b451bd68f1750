"""What waits is visible: the one-liners of operators add up `pending` over `queues`."""

from typing import Any, cast

from msgspec.structs import replace

from events import Limits, NodeFacts, NodeId
from herd.http.endpoints import fleet
from herd.link.messages import NodeView, SlotView, View


def node(name: str, status: str, slots: SlotView) -> NodeView:
    return NodeView(
        node_id=NodeId(name),
        url=f"http://{name}",
        status=status,
        origin="flag",
        draining=False,
        facts=NodeFacts(),
        resident=(),
        models=(),
        slots={"m:latest": slots},
    )


VIEW = View(
    nodes=(
        node("a", "online", SlotView(slots=4, in_flight=4, completed=9)),
        node("b", "offline", SlotView(slots=2, in_flight=0)),
    ),
    waiting={"m:latest": 7},
    predicted_wait_s={"m:latest": 12.5},
)


def test_waiting_requests_have_a_row_of_their_own() -> None:
    for body in (fleet.status(VIEW, 0.0), fleet.queue(VIEW, 0.0)):
        rows = cast("dict[str, dict[str, Any]]", body["queues"])
        assert set(rows) == {"a:m:latest", "b:m:latest", "*:m:latest"}
        waiting = rows["*:m:latest"]
        assert waiting["pending"] == 7
        assert waiting["node_id"] == ""
        assert waiting["predicted_wait_s"] == 12.5
        assert "predicted_wait_s" not in rows["a:m:latest"]
        assert waiting["concurrency"] == waiting["max_concurrent"] == 4, "online nodes only"
        assert rows["a:m:latest"]["pending"] == 0
        assert rows["a:m:latest"]["in_flight"] == 4


def test_a_model_nobody_waits_for_has_no_such_row() -> None:
    body = fleet.status(View(nodes=VIEW.nodes), 0.0)
    assert "*:m:latest" not in cast("dict[str, object]", body["queues"])


def test_the_disk_is_told_where_it_is_known() -> None:
    gib = 1024**3
    known = NodeFacts(disk_bytes=500 * gib, disk_free_bytes=73 * gib)
    assert fleet.disk_gb(known) == {"disk_available_gb": 73.0, "disk_total_gb": 500.0}
    assert fleet.disk_gb(NodeFacts()) == {}
    rows = cast("list[dict[str, Any]]", fleet.status(VIEW, 0.0)["nodes"])
    assert "disk_total_gb" not in rows[0]["hardware"]


def test_what_an_owner_lends_is_told_with_the_keys_that_scripts_know() -> None:
    def told(limits: Limits) -> dict[str, Any]:
        one = replace(VIEW.nodes[0], limits=limits, paused=limits.paused)
        body = fleet.status(View(nodes=(one,)), 0.0)
        return cast("list[dict[str, Any]]", body["nodes"])[0]

    assert told(Limits())["paused"] == ""
    assert "capacity" not in told(Limits())
    lent = told(Limits(paused="in use", max_requests=2, max_bytes=2 * 1024**3))
    assert lent["paused"] == "in use"
    assert lent["capacity"]["mode"] == "paused"
    assert lent["capacity"]["reason"] == "in use"
    assert (lent["capacity"]["max_requests"], lent["capacity"]["ceiling_gb"]) == (2, 2.0)
