"""One line of the log file a request, whatever its end."""

import json
from pathlib import Path

from events import RequestRejected, encode
from herd.logd.request_lines import write_request_lines
from herd.logs import LogFile
from tests.herd.journal.sample import at, busy_log, log_of, request_id
from tests.herd.logd.test_views import story


def test_an_answered_request_is_one_line_with_its_figures(tmp_path: Path) -> None:
    path = tmp_path / "herd.jsonl"
    write_request_lines(LogFile(path), [encode(record).decode() for record in busy_log(5)])
    [line] = [json.loads(text) for text in path.read_text().splitlines()]
    assert line == {
        "ts": "2025-10-09T08:53:20.004+00:00",
        "level": "INFO",
        "logger": "herd.request",
        "msg": "qwen2.5:7b on mini: completed after 2.00 s",
        "process": "logd",
        "request_id": request_id(1),
        "model": "qwen2.5:7b",
        "node_id": "mini",
        "ttft_s": 0.5,
        "service_s": 2.0,
        "prompt_tokens": 11,
        "completion_tokens": 40,
    }


def test_each_ended_request_of_a_story_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "herd.jsonl"
    write_request_lines(LogFile(path), [encode(record).decode() for record in log_of(story())])
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    said = {line["request_id"]: line["msg"] for line in lines}
    assert said == {
        "retried": "llama3.2:latest on studio: completed after 4.00 s",
        "silent": "llama3.2:latest on studio: completed after 1.00 s",
        "embedded": "nomic-embed-text:latest on studio: completed after 0.10 s",
        "cut": "llama3.2:latest on studio: failed after 0.75 s: connection reset",
        "cancelled": "llama3.2:latest: cancelled by the client",
        "rejected": "llama3.2:latest: rejected: queue_full",
        "reaped": "llama3.2:latest on studio: ended for want of progress",
        "interrupted": "llama3.2:latest on studio: interrupted: front_lost",
    }
    assert len(lines) == len(said)


def test_a_name_that_looks_like_a_kind_is_none(tmp_path: Path) -> None:
    """What a client sends may quote our own words."""
    path = tmp_path / "herd.jsonl"
    event = RequestRejected(
        request_id=request_id(1), model='"k":"request_failed"', status=404, reason="unknown_model"
    )
    write_request_lines(LogFile(path), [encode(at(7, event)).decode()])
    [line] = [json.loads(text) for text in path.read_text().splitlines()]
    assert line["msg"] == '"k":"request_failed": rejected: unknown_model'
