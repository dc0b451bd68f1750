"""All requests as a table, and its clock."""

from datetime import UTC, datetime
from pathlib import Path

from herd.analysis.tables import began, requests
from tests.herd.analysis.timed import MODEL, done, log_of, received, rows, sent
from tests.herd.journal.sample import START_US


def test_a_request_is_a_row_as_soon_as_it_was_received(tmp_path: Path) -> None:
    with log_of(
        tmp_path,
        (3.0, received("x", app="chat")),
        (4.0, sent("x", queue_s=1.0)),
        (6.0, received("y")),
        (9.0, done("x", ttft_s=0.5, service_s=5.0, prompt_tokens=7, completion_tokens=80)),
    ) as log:
        table = requests(log)
    assert rows(table, "request_id", "minute", "ended_minute", "model", "app", "status") == [
        ("x", 0.05, 0.15, MODEL, "chat", "completed"),
        ("y", 0.1, None, MODEL, "", "waiting"),
    ]
    assert rows(table, "node_id", "attempts", "queue_s", "ttft_s", "completion_tokens") == [
        ("mini", 1, 1.0, 0.5, 80),
        (None, 0, None, None, None),
    ]


def test_the_clock_begins_with_the_first_event(tmp_path: Path) -> None:
    with log_of(tmp_path, (3.0, received("x"))) as log:
        first = began(log)
    assert first == datetime.fromtimestamp(START_US / 1e6, UTC).replace(tzinfo=None)
