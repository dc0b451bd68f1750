"""What Prometheus reads: the parser of its own package is the judge."""

from pathlib import Path

import duckdb
import msgspec
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families

from events import Gpu
from herd.http.endpoints.metrics import text
from herd.link.messages import SlotView, View
from herd.logd.meters import Meters
from herd.logd.queries import QueryServer
from herd.logd.sql import text as sql
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import Control, fronting, node_view
from tests.herd.http.fleet import view as view_of
from tests.herd.http.sockets import Client, client
from tests.herd.http.test_fleet_rows import VIEW, node


def samples(view: View) -> dict[tuple[str, tuple[str, ...]], float]:
    """Return the values by name and the values of the labels, sorted by the labels' names."""
    return parsed(text(view))


def parsed(body: bytes) -> dict[tuple[str, tuple[str, ...]], float]:
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def test_nodes_lines_and_what_was_done() -> None:
    done = SlotView(
        slots=2, in_flight=1, completed=4, failed=3, service_s=2.5, completion_tokens=10.0
    )
    found = samples(msgspec.structs.replace(VIEW, nodes=(node("a", "online", done),)))
    assert found["herd_node_up", ("a",)] == 1
    assert found["herd_slots", ("m:latest", "a")] == 2
    assert found["herd_requests_in_flight", ("m:latest", "a")] == 1
    assert found["herd_requests_total", ("m:latest", "a", "completed")] == 4
    assert found["herd_requests_total", ("m:latest", "a", "failed")] == 3
    assert found["herd_request_service_seconds_total", ("m:latest", "a")] == 10.0
    assert found["herd_tokens_total", ("completion", "m:latest", "a")] == 40.0
    assert found["herd_requests_waiting", ("m:latest",)] == 7
    assert found["herd_predicted_wait_seconds", ("m:latest",)] == 12.5
    assert found["herd_log_recording", ()] == 1


def test_a_node_that_is_away_is_down_and_a_log_that_is_not_written_is_told() -> None:
    found = samples(msgspec.structs.replace(VIEW, recording=False))
    assert found["herd_node_up", ("b",)] == 0
    assert found["herd_log_recording", ()] == 0


def test_a_node_that_sleeps_is_not_up_and_not_away() -> None:
    slot = SlotView(slots=1, in_flight=0)
    found = samples(View(nodes=(node("a", "sleeping", slot), node("b", "offline", slot))))
    assert (found["herd_node_up", ("a",)], found["herd_node_sleeping", ("a",)]) == (0, 1)
    assert (found["herd_node_up", ("b",)], found["herd_node_sleeping", ("b",)]) == (0, 0)


def test_an_odd_name_is_one_label() -> None:
    odd = 'x"\\\n<script>'
    found = samples(View(nodes=(node(odd, "online", SlotView(slots=1, in_flight=0)),)))
    assert found["herd_node_up", (odd,)] == 1


def test_names_that_clients_made_up_are_no_labels() -> None:
    found = samples(msgspec.structs.replace(VIEW, waiting={"m:latest": 7, "nope": 2, "never": 1}))
    assert found["herd_requests_waiting", ("m:latest",)] == 7
    assert found["herd_requests_waiting", ("",)] == 3
    assert ("herd_requests_waiting", ("nope",)) not in found


# The page


async def scraped(one: Client) -> dict[tuple[str, tuple[str, ...]], float]:
    head, body = await one.get("/metrics")
    assert head.startswith(b"HTTP/1.1 200 "), body
    assert b"text/plain; version=0.0.4" in head
    return parsed(body)


def test_what_logd_counts_is_told_with_what_control_shows(tmp_path: Path, run: Run) -> None:
    async def main() -> None:
        control = Control()
        control.view = view_of(node_view("a"))
        with duckdb.connect() as connection:
            connection.execute(sql("schema.sql"))
            server = QueryServer(
                connection,
                tmp_path / "logd.sock",
                Meters(connection, lambda _: [GaugeMetricFamily("herd_one", "One.", value=1)]),
            )
            async with (
                fronting(control, logd=tmp_path / "logd.sock") as listener,
                client(listener.port) as one,
            ):
                found = await scraped(one)
            server.close()
        assert (
            found["herd_logd_up", ()] == found["herd_one", ()] == found["herd_node_up", ("a",)] == 1
        )

    run(main())


def test_without_logd_the_rest_is_told(run: Run) -> None:
    async def main() -> None:
        control = Control()
        control.view = view_of(node_view("a"))
        async with fronting(control) as listener, client(listener.port) as one:
            found = await scraped(one)
        assert (found["herd_logd_up", ()], found["herd_node_up", ("a",)]) == (0, 1)

    run(main())


def test_cards_as_far_as_their_drivers_tell() -> None:
    cards = (Gpu("RTX", 24, 0, temperature_c=41.5), Gpu("RTX", busy_pct=0.0))
    shown = msgspec.structs.replace(node("a", "online", SlotView(1, 0)), gpus=cards)
    found = samples(View(nodes=(shown,)))
    told = {key: value for key, value in found.items() if key[0].startswith("herd_gpu")}
    assert told == {
        ("herd_gpu_memory_bytes", ("0", "a")): 24,
        ("herd_gpu_memory_used_bytes", ("0", "a")): 0,
        ("herd_gpu_temperature_celsius", ("0", "a")): 41.5,
        ("herd_gpu_busy_percent", ("1", "a")): 0,
    }
