"""What happened is in the log within 2 s, once, readable while herd runs, and replays."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.e2e.herds import Herd, command, until
from tests.e2e.nodes import BIG, EMBED, MIDDLE, SMALL, Nodes
from tests.e2e.wire import Answer, Call, ask, chat

WITHIN_S = 2.0

ASKED: list[tuple[str, dict[str, Any]]] = [
    *[("/api/chat", chat(SMALL)), ("/api/chat", chat(MIDDLE, stream=True))] * 8,
    *[("/v1/chat/completions", chat(BIG))] * 3,
    *[("/api/embed", {"model": EMBED, "input": "x"})] * 3,
    ("/api/chat", chat("nope")),
]

READER = """
import duckdb, json, sys
log = duckdb.connect()
log.execute(open(sys.argv[1]).read())
print(json.dumps(log.execute("SELECT request_id, status FROM requests").fetchall()))
"""


def traffic(herd: Herd) -> list[Answer]:
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask, herd.url, path, body) for path, body in ASKED]
        return [each.result() for each in asked]


def in_list(answers: list[Answer]) -> str:
    return "(" + ", ".join(f"'{answer.request_id}'" for answer in answers) + ")"


def test_within_2_s_every_request_is_in_the_log(herd: Herd) -> None:
    answers = traffic(herd)
    ended_at = time.monotonic()
    ids = {answer.request_id for answer in answers}
    assert len(ids) == len(ASKED)
    query = f"SELECT * FROM requests WHERE request_id IN {in_list(answers)}"  # noqa: S608 (a test's own words)
    rows: list[dict[str, Any]] = []

    def all_there() -> bool:
        rows[:] = herd.sql(query)
        return {row["request_id"] for row in rows if row["ended_at"]} == ids

    assert until(all_there, WITHIN_S + 1.0), f"{len(rows)} of {len(ids)} are there: {rows}"
    assert time.monotonic() - ended_at < WITHIN_S + 1.0  # starting `herd sql` takes its time, too
    by_id = {row["request_id"]: row for row in rows}
    assert len(rows) == len(by_id)
    for answer, (path, body) in zip(answers, ASKED, strict=True):
        row = by_id[answer.request_id]
        assert (row["route"], row["asked_model"] or row["model"]) == (path, body["model"])
        if answer.status == 200:
            assert (row["status"], row["node_id"], row["attempts"]) == ("completed", answer.node, 1)
            assert row["completion_tokens"] == (0 if path == "/api/embed" else 16)
            assert 0 <= row["ttft_s"] <= row["service_s"] < 10
        else:
            assert (row["status"], row["error"], row["attempts"]) == (
                "rejected",
                "unknown_model",
                0,
            )


def test_request_traces_have_them_as_ollama_herd_would(herd: Herd) -> None:
    answers = traffic(herd)
    query = f"SELECT * FROM request_traces WHERE request_id IN {in_list(answers)}"  # noqa: S608 (a test's own words)
    assert until(lambda: len(herd.sql(query)) == len(answers), WITHIN_S + 1.0)
    traces = {row["request_id"]: row for row in herd.sql(query)}
    for answer, (path, _) in zip(answers, ASKED, strict=True):
        trace = traces[answer.request_id]
        assert trace["status"] == ("completed" if answer.status == 200 else "rejected")
        assert trace["original_format"] == {"v1": "openai"}.get(
            path.split("/")[1], "embed" if "embed" in path else "ollama"
        )
        assert (trace["latency_ms"] is None) == (answer.status != 200)


def test_the_log_tells_the_story_of_one_request(pair_herd: Herd, pair: Nodes) -> None:
    pair.fault("error", count=1)
    answer = ask(pair_herd.url, "/api/chat", chat(SMALL))
    assert answer.status == 502
    wanted = ["received", "dispatched", "attempt_failed", "dispatched", "attempt_failed", "failed"]

    def told() -> list[str]:
        done = command("log", "--data-dir", str(pair_herd.data_dir), answer.request_id)
        return done.stdout.splitlines()

    assert until(lambda: len(told()) == len(wanted), WITHIN_S + 1.0), told()
    for line, word in zip(told(), wanted, strict=True):
        assert word in line
        assert answer.request_id in line
    unknown = command("log", "--data-dir", str(pair_herd.data_dir), "no-such-request")
    assert unknown.returncode == 1
    assert "no event of request no-such-request" in unknown.stderr


def test_who_leaves_is_in_the_log_too(pair_herd: Herd, pair: Nodes) -> None:
    pair.fault("slow", factor=50.0)
    with Call(pair_herd.url, "/api/chat", chat(SMALL, stream=True)) as call:
        request_id = call.response.headers["X-Herd-Request-Id"]
    query = f"SELECT status, phase, node_id FROM requests WHERE request_id = '{request_id}'"  # noqa: S608 (a test's own words)
    assert until(lambda: herd_says(pair_herd, query, "cancelled"), WITHIN_S + 1.0)
    assert pair_herd.sql(query)[0]["phase"] == "stream"


def herd_says(herd: Herd, query: str, status: str) -> bool:
    return [row["status"] for row in herd.sql(query)] == [status]


def lines_of(herd: Herd) -> list[dict[str, Any]]:
    path = herd.data_dir / "logs" / "herd.jsonl"
    return [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]


def test_the_log_file_has_one_line_a_request_and_none_a_probe(herd: Herd) -> None:
    answers = traffic(herd)
    ids = [answer.request_id for answer in answers]

    def mine() -> list[dict[str, Any]]:
        return [line for line in lines_of(herd) if line.get("request_id") in ids]

    assert until(lambda: len(mine()) >= len(ids), WITHIN_S + 1.0)
    assert sorted(line["request_id"] for line in mine()) == sorted(ids)
    for line in mine():
        assert line.keys() >= {"ts", "level", "logger", "msg", "process", "model", "request_id"}
    served = [line for line in mine() if line["model"] != "nope:latest"]
    assert {line["node_id"] for line in served} <= {"studio", "tower", "mini"}
    words = " ".join(line["msg"] for line in lines_of(herd) if "request_id" not in line)
    assert "heartbeat" not in words
    assert "probe" not in words


def test_another_process_reads_the_log_while_herd_runs(herd: Herd) -> None:
    answers = traffic(herd)
    ids = {answer.request_id for answer in answers}
    open_sql = herd.data_dir / "log" / "open.sql"

    def read() -> dict[str, str]:
        done = subprocess.run(
            [sys.executable, "-c", READER, str(open_sql)],
            capture_output=True,
            check=True,
            cwd=Path(open_sql.anchor),
            timeout=30,
        )
        return dict(msgspec.json.decode(done.stdout, type=list[tuple[str, str]]))

    assert until(lambda: ids <= read().keys(), WITHIN_S + 1.0)
    seen = read()
    assert {seen[request_id] for request_id in ids} == {"completed", "rejected"}


def test_the_log_of_a_running_herd_replays(herd: Herd) -> None:
    traffic(herd)
    checked = command("replay", "--check", "--json", str(herd.data_dir))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    report = msgspec.json.decode(checked.stdout)
    assert report["divergences"] == []
    assert report["dispatches"] >= len(ASKED) - 1
    assert report["decisions"] > report["dispatches"]


@pytest.mark.parametrize("query", ["SELECT nonsense", "SELEC"])
def test_a_wrong_question_is_answered_with_the_next_step(herd: Herd, query: str) -> None:
    done = command("sql", "--data-dir", str(herd.data_dir), query)
    assert done.returncode == 1
    assert "request_traces" in done.stderr
