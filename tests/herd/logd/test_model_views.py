"""What the views say of requests that another model served, or with another context."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from events import ConfigurationLoaded, NodeProbed, ResidentModel
from herd.analysis import open_log
from tests.actors.cast import (
    MODEL,
    OTHER_MODEL,
    book,
    cancelled,
    completed,
    configured,
    nid,
    node,
    on_disk,
    received,
)
from tests.herd.logd.rig import data_dir, rows, write

ON = ConfigurationLoaded(
    settings={
        "fallback_models": True,
        "context_protection": "strip",
        "model_aliases": f"gpt*={OTHER_MODEL}",
    }
)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    loaded = ResidentModel(name=MODEL, context_length=4096)
    has = NodeProbed(node_id=nid("ada"), reachable=True, models=on_disk(MODEL), resident=(loaded,))
    playing = book(
        ON,
        configured("ada", 1),
        has,
        *node("bob", OTHER_MODEL, slots=4),
        received("alias", "gpt-4:latest", asked_model="gpt-4", app="web"),
        received("moved", "x:1", fallbacks=(MODEL,), num_ctx=2048, tags=("night", "batch")),
        received("waits", "x:1", fallbacks=(MODEL,), app="web"),
        received("left", "x:1", fallbacks=(MODEL,)),
        received("plain", OTHER_MODEL),
        cancelled("left", model="x:1"),
        completed("alias", "bob", "1.1", OTHER_MODEL),
        completed("moved", "ada", "1.2", MODEL),
        completed("plain", "bob", "1.3", OTHER_MODEL),
    )
    write(data_dir(tmp_path), playing.log)
    with open_log(tmp_path) as found:
        yield found


def test_a_move_is_a_row_with_its_reason(log: duckdb.DuckDBPyConnection) -> None:
    assert rows(log, "SELECT request_id, model, served, reason, saved_s FROM substitutions") == [
        ("alias", "gpt-4:latest", OTHER_MODEL, "alias", 0.0),
        ("moved", "x:1", MODEL, "fallback_models", 0.0),
        ("waits", "x:1", MODEL, "fallback_models", 0.0),
        ("left", "x:1", MODEL, "fallback_models", 0.0),
    ]


def test_traces_name_both_models_and_count_fallbacks_as_ollama_herd(
    log: duckdb.DuckDBPyConnection,
) -> None:
    asked = (
        "SELECT request_id, original_model, model, fallback_used, tags::VARCHAR "
        "FROM request_traces ORDER BY request_id"
    )
    assert rows(log, asked) == [
        ("alias", "gpt-4", OTHER_MODEL, 0, '["web"]'),
        ("left", "x:1", MODEL, 1, "[]"),
        ("moved", "x:1", MODEL, 1, '["night","batch"]'),
        ("plain", OTHER_MODEL, OTHER_MODEL, 0, "[]"),
    ]


def test_a_request_counts_for_the_model_that_served_it(log: duckdb.DuckDBPyConnection) -> None:
    assert rows(log, "SELECT request_id, model, status FROM requests ORDER BY request_id") == [
        ("alias", OTHER_MODEL, "completed"),
        ("left", MODEL, "cancelled"),
        ("moved", MODEL, "completed"),
        ("plain", OTHER_MODEL, "completed"),
        ("waits", MODEL, "in_flight"),
    ]


def test_lines_end_empty_where_requests_moved_to_another(log: duckdb.DuckDBPyConnection) -> None:
    last = (
        "SELECT model, arg_max(waiting, seq), max(waiting) FROM queue_depth GROUP BY 1 ORDER BY 1"
    )
    assert rows(log, last) == [
        ("gpt-4:latest", 0, 1),
        (MODEL, 0, 2),
        (OTHER_MODEL, 0, 1),
        ("x:1", 0, 1),
    ]


def test_a_context_says_what_was_asked_forwarded_and_loaded(
    log: duckdb.DuckDBPyConnection,
) -> None:
    asked = "SELECT request_id, node_id, action, asked, forwarded, loaded FROM contexts"
    assert rows(log, asked) == [("moved", "ada", "pinned", 2048, 4096, 4096)]
