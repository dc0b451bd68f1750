"""Logs by hand: events at chosen seconds, and what a table of pandas holds."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from actors.core.state import Request, State, dump
from events import (
    CONTROL,
    Candidate,
    Event,
    Lease,
    NodeId,
    Recorded,
    RequestCompleted,
    RequestDispatched,
    RequestId,
    RequestReceived,
)
from herd.analysis import open_log
from tests.herd.journal.sample import START_US, snapshot
from tests.herd.logd.rig import data_dir, write

if TYPE_CHECKING:
    import pandas as pd

MODEL = "qwen2.5:7b"
SMALL = "llama3.2:3b"
MINI, STUDIO = NodeId("mini"), NodeId("studio")
Timed = tuple[float, Event]


@contextmanager
def log_of(
    root: Path, *timed: Timed, state: State | None = None
) -> Generator[duckdb.DuckDBPyConnection]:
    """Open a log whose first event, a stored state, is at second 0."""
    stored = dump(State() if state is None else state)
    records = [Recorded(1, START_US, snapshot(1, stored).event)]
    records += [
        Recorded(seq, START_US + round(at_s * 1e6), event)
        for seq, (at_s, event) in enumerate(timed, start=2)
    ]
    write(data_dir(root), records)
    with open_log(root) as log:
        yield log


def rows(table: "pd.DataFrame", *columns: str) -> list[tuple[Any, ...]]:
    """Return some columns as plain values, None for what is missing."""
    wanted = table[list(columns)].astype(object)
    plain = wanted.where(wanted.notna(), None)
    return [
        tuple(round(value, 6) if isinstance(value, float) else value for value in row)
        for row in plain.itertuples(index=False, name=None)
    ]


def carried(*waiting: str, running: Sequence[str] = ()) -> State:
    """Return a state with these requests, the running ones on mini."""
    state = State()
    for name in (*waiting, *running):
        request = Request(RequestId(name), MODEL, src=CONTROL, v1=True, seq=1, received_us=START_US)
        if name in running:
            request.node_id, request.lease = MINI, Lease(f"1.{name}")
        state.requests[request.request_id] = request
    return state


def received(name: str, model: str = MODEL, **fields: Any) -> RequestReceived:
    return RequestReceived(request_id=RequestId(name), model=model, **fields)


def sent(
    name: str, *terms: Candidate, node: NodeId = MINI, model: str = MODEL, **fields: Any
) -> RequestDispatched:
    return RequestDispatched(
        request_id=RequestId(name),
        model=model,
        node_id=terms[0].node_id if terms else node,
        lease=Lease(f"1.{name}"),
        terms=terms,
        **fields,
    )


def done(name: str, *, node: NodeId = MINI, model: str = MODEL, **fields: Any) -> RequestCompleted:
    told: dict[str, Any] = {"lease": Lease(f"1.{name}"), "usage_source": "reported"}
    return RequestCompleted(request_id=RequestId(name), model=model, node_id=node, **told | fields)


def term(
    node: NodeId, *, resident: bool = True, in_flight: int = 0, wait_s: float = 0.0
) -> Candidate:
    return Candidate(node, resident, in_flight, slots=4, wait_s=wait_s, score=100.0 - wait_s)
