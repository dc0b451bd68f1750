"""What Prometheus is told under the names of OpenTelemetry's conventions for generative AI."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actors.core.state import Node, State
from events import (
    Event,
    Lease,
    NodeFacts,
    NodeId,
    NodeProbed,
    RequestCompleted,
    RequestFailed,
    RequestId,
    RequestReceived,
)
from herd.control.restore import head_of_segment
from herd.logd import meters
from tests.herd.logd.rig import data_dir, store, write
from tests.herd.logd.test_meters import HEAD, NOW_US, Found, Log

A = NodeId("a")
L = Lease("1.1")
CHAT = ("chat", "ollama", "m")
DURATION = "gen_ai_server_request_duration_seconds"
FIRST = "gen_ai_server_time_to_first_token_seconds"
PACE = "gen_ai_server_time_per_output_token_seconds"
TOKENS = "gen_ai_client_token_usage"


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    directory = data_dir(tmp_path)
    write(directory, [HEAD])
    with store(directory) as connection:
        yield Log(directory, connection)


def received(name: str, **asked: Any) -> RequestReceived:
    return RequestReceived(request_id=RequestId(name), model="m", **asked)


def completed(name: str, **told: Any) -> RequestCompleted:
    told = {"ttft_s": 0.5, "service_s": 2.5, "prompt_tokens": 20, "completion_tokens": 101} | told
    return RequestCompleted(
        request_id=RequestId(name), model="m", node_id=A, lease=L, usage_source="reported", **told
    )


def answered(log: Log, *events: Event) -> Found:
    log.grow(*events)
    return log.scrape("m")


def test_a_streamed_chat_is_told_with_its_times_and_tokens(log: Log) -> None:
    found = answered(log, received("r1"), completed("r1"))
    # labels in the order of their names: error, operation, provider, model, (type)
    assert found[f"{DURATION}_sum", ("", *CHAT)] == 2.5
    assert found[f"{DURATION}_bucket", ("", *CHAT, "2.56")] == 1
    assert found[f"{DURATION}_bucket", ("", *CHAT, "1.28")] == 0
    assert found[f"{FIRST}_sum", CHAT] == 0.5
    assert found[f"{PACE}_sum", CHAT] == pytest.approx(0.02)
    assert found[f"{TOKENS}_sum", ("chat", "ollama", "m", "input")] == 20
    assert found[f"{TOKENS}_sum", ("chat", "ollama", "m", "output")] == 101


def test_an_answer_in_one_piece_shows_no_times_of_tokens(log: Log) -> None:
    found = answered(log, received("r1", stream=False), completed("r1", ttft_s=2.5))
    assert found[f"{DURATION}_count", ("", *CHAT)] == 1
    assert not [key for key in found if key[0].startswith((FIRST, PACE))]


def test_an_embedding_has_input_alone(log: Log) -> None:
    asked = received("r1", route="/api/embed", stream=False)
    found = answered(log, asked, completed("r1", completion_tokens=0))
    place = ("embeddings", "ollama", "m")
    assert found[f"{DURATION}_count", ("", *place)] == 1
    assert found[f"{TOKENS}_count", (*place, "input")] == 1
    assert (f"{TOKENS}_count", (*place, "output")) not in found


def test_what_failed_at_a_node_is_told_with_how_far_it_came(log: Log) -> None:
    failed = RequestFailed(
        request_id=RequestId("r1"),
        model="m",
        node_id=A,
        phase="stream",
        fault="node",
        status=200,
        service_s=3.0,
    )
    found = answered(log, received("r1", route="/v1/completions"), failed)
    assert found[f"{DURATION}_sum", ("stream", "text_completion", "ollama", "m")] == 3.0


def test_a_request_that_began_before_the_last_scrape_is_known(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meters, "STEP", 1)
    answered(log, received("r1", route="/api/generate"), received("r2"))
    found = answered(log, completed("r2"), completed("r1"))
    assert found[f"{DURATION}_count", ("", *CHAT)] == 1
    assert found[f"{DURATION}_count", ("", "text_completion", "ollama", "m")] == 1


V1_ONLY = NodeFacts(dialect="openai")


def test_a_server_with_openais_api_alone_is_told_as_that(log: Log) -> None:
    probed = NodeProbed(node_id=A, reachable=True, facts=V1_ONLY)
    found = answered(log, probed, received("r1"), completed("r1"))
    assert found[f"{DURATION}_count", ("", "chat", "openai", "m")] == 1
    assert (f"{DURATION}_count", ("", *CHAT)) not in found
    again = NodeProbed(node_id=A, reachable=True, facts=NodeFacts(version="0.12.3"))
    found = answered(log, again, received("r2"), completed("r2"))
    assert found[f"{DURATION}_count", ("", *CHAT)] == 1


def test_what_a_node_is_is_known_from_the_head_of_the_segment(tmp_path: Path) -> None:
    directory = data_dir(tmp_path)
    known = State(nodes={A: Node(node_id=A, url="http://a", origin="flag", facts=V1_ONLY)})
    write(directory, [head_of_segment(known, NOW_US)])
    with store(directory) as connection:
        found = answered(Log(directory, connection), received("r1"), completed("r1"))
    assert found[f"{DURATION}_count", ("", "chat", "openai", "m")] == 1
