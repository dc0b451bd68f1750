"""The table `request_traces` as a SQLite file, for who has queries and tools for ollama-herd's."""

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

COLUMNS = {
    "id": "INTEGER PRIMARY KEY AUTOINCREMENT",
    "request_id": "TEXT NOT NULL",
    "model": "TEXT NOT NULL",
    "original_model": "TEXT NOT NULL",
    "node_id": "TEXT NOT NULL",
    "score": "REAL",
    "scores_breakdown": "TEXT",
    "status": "TEXT NOT NULL",
    "latency_ms": "REAL",
    "time_to_first_token_ms": "REAL",
    "prompt_tokens": "INTEGER",
    "completion_tokens": "INTEGER",
    "retry_count": "INTEGER NOT NULL",
    "fallback_used": "INTEGER NOT NULL",
    "excluded_nodes": "TEXT",
    "client_ip": "TEXT",
    "original_format": "TEXT",
    "error_message": "TEXT",
    "timestamp": "INTEGER NOT NULL",
    "tags": "TEXT",
    "finish_reason": "TEXT",
    "estimated_tokens": "INTEGER",
}
_INDEXES = ("request_id", "timestamp", "model, timestamp", "node_id, model", "tags")

_INSERT = f"INSERT INTO request_traces VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608 (constant)


def write_traces(path: Path, rows: Iterable[Sequence[object]]) -> int:
    """Write a new file with these rows, in the order of `COLUMNS`; return how many they were."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        run = connection.execute
        run("PRAGMA journal_mode = OFF")  # a file that is not whole is thrown away
        run("PRAGMA synchronous = OFF")
        run("BEGIN")
        columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
        run(f"CREATE TABLE request_traces ({columns})")
        count = connection.executemany(_INSERT, rows).rowcount
        for number, indexed in enumerate(_INDEXES, 1):
            run(f"CREATE INDEX request_traces_{number} ON request_traces ({indexed})")
        run("COMMIT")
        return count
    finally:
        connection.close()
