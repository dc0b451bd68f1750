"""What waits is visible: the one-liners of operators add up `pending` over `queues`."""

from typing import Any, cast

from msgspec.structs import replace

from events import Limits, ModelFacts, NodeFacts, NodeId, ResidentModel
from herd.http.endpoints import fleet
from herd.link.messages import NodeView, SlotView, View

GIB = 1024**3


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


def test_the_wait_of_the_fleet_is_that_of_its_longest_line() -> None:
    slots = {"m:latest": SlotView(4, 4, service_s=1.0), "slow:latest": SlotView(1, 1, service_s=90)}
    lines = View(
        nodes=(replace(VIEW.nodes[0], slots=slots),),
        waiting={"m:latest": 8, "slow:latest": 2, "new:latest": 5},
        predicted_wait_s={"m:latest": 1.5},
    )
    assert fleet.queue(lines, 0.0)["estimated_wait_ms"] == 180_000.0, "over its own pace"
    predicted = replace(lines, predicted_wait_s={"m:latest": 1.5, "slow:latest": 120.25})
    assert fleet.queue(predicted, 0.0)["estimated_wait_ms"] == 120_250.0
    unknown = replace(lines, waiting={"new:latest": 5})
    assert fleet.queue(unknown, 0.0)["estimated_wait_ms"] is None


def test_a_queue_tells_what_was_rejected_and_what_found_its_model_in_memory() -> None:
    seen = replace(VIEW.nodes[0], slots={"m:latest": SlotView(4, 0, sent=8, cold=2)})
    rejected = {"m:latest": 3, "gone:latest": 2, "": 5}
    body = fleet.queue(View(nodes=(seen, VIEW.nodes[1]), rejected=rejected), 0.0)
    assert body["rejected"] == 10
    rows = cast("dict[str, dict[str, Any]]", body["queues"])
    assert set(rows) == {"a:m:latest", "b:m:latest", "*:m:latest", "*:gone:latest"}
    assert [rows[key]["rejected"] for key in sorted(rows)] == [2, 3, 0, 0]
    assert (rows["a:m:latest"]["warm_hit_rate"], rows["a:m:latest"]["cold_request_pct"]) == (
        0.75,
        25.0,
    )
    assert rows["b:m:latest"]["warm_hit_rate"] is None
    assert fleet.status(View(rejected=rejected), 0.0)["queues"] == {}


def test_the_disk_is_told_where_it_is_known() -> None:
    known = NodeFacts(disk_bytes=500 * GIB, disk_free_bytes=73 * GIB)
    assert fleet.disk_gb(known) == {"disk_available_gb": 73.0, "disk_total_gb": 500.0}
    assert fleet.disk_gb(NodeFacts()) == {}
    rows = cast("list[dict[str, Any]]", fleet.status(VIEW, 0.0)["nodes"])
    assert "disk_total_gb" not in rows[0]["hardware"]


def test_a_size_that_nobody_told_is_null_and_not_0() -> None:
    silent = replace(
        VIEW.nodes[0],
        resident=(ResidentModel(name="m:latest"),),
        models=(ModelFacts(name="m:latest"),),
    )
    [told] = cast("list[dict[str, Any]]", fleet.status(View(nodes=(silent,)), 0.0)["nodes"])
    unknown = ("memory_total_gb", "vram_total_gb", "cores_physical", "memory_bandwidth_gbps")
    assert [told["hardware"][key] for key in unknown] == [None] * 4
    [held] = told["ollama"]["models_loaded"]
    assert (held["size_gb"], held["size_vram_gb"], held["context_length"]) == (None, None, None)
    assert told["ollama"]["models_available_sizes"] == {"m:latest": None}


def test_a_model_that_runs_beside_the_card_takes_none_of_it() -> None:
    slow = replace(VIEW.nodes[0], resident=(ResidentModel(name="m:latest", size_bytes=GIB),))
    [told] = cast("list[dict[str, Any]]", fleet.status(View(nodes=(slow,)), 0.0)["nodes"])
    [held] = told["ollama"]["models_loaded"]
    assert (held["size_gb"], held["size_vram_gb"]) == (1.0, 0.0)


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
