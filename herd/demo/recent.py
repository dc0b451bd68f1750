"""The last requests, folded from the journal as it grows."""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from events import (
    AttemptFailed,
    Recorded,
    RequestCancelled,
    RequestCompleted,
    RequestDispatched,
    RequestFailed,
    RequestId,
    RequestInterrupted,
    RequestQueued,
    RequestReaped,
    RequestReceived,
    RequestRejected,
    StreamStarted,
)
from herd.journal.reader import records

MOST = 200


class Row(msgspec.Struct):
    """One request, as far as it has come."""

    received_us: int
    model: str
    route: str
    node_id: str = ""
    queue_s: float = 0.0
    ttft_s: float = 0.0
    service_s: float = 0.0
    tokens: int = 0
    retries: int = 0
    outcome: str = "admitted"


class Recent:
    """Follows one journal."""

    def __init__(self, journal: Path) -> None:
        """Begin at its beginning."""
        self.rows: dict[RequestId, Row] = {}
        self.completed = 0
        self.failed = 0
        self.events = 0
        self._journal = journal
        self._next_seq = 1

    def refresh(self) -> None:
        """Fold what was written since the last time."""
        if self._journal.is_dir():
            self.fold(records(self._journal, self._next_seq))

    def fold(self, log: Iterable[Recorded]) -> None:
        """Fold records in order."""
        for record in log:
            self._next_seq = record.seq + 1
            self.events += 1
            self._fold(record)
        for old in list(self.rows)[:-MOST]:
            del self.rows[old]

    def _fold(self, record: Recorded) -> None:
        event = record.event
        if isinstance(event, RequestReceived):
            row = Row(received_us=record.recorded_at, model=event.model, route=event.route)
            self.rows[event.request_id] = row
            return
        row = self.rows.get(getattr(event, "request_id", RequestId("")), _NOBODY)
        match event:
            case RequestQueued(reason=reason):
                row.outcome = "held" if reason == "hold" else "queued"
            case RequestDispatched(node_id=node_id, queue_s=queue_s, cold=cold):
                row.node_id, row.queue_s = node_id, queue_s
                row.outcome = "loading" if cold else "running"
            case StreamStarted(ttft_s=ttft_s):
                row.ttft_s, row.outcome = ttft_s, "streaming"
            case AttemptFailed():
                row.retries += 1
                row.outcome = "retrying"
            case RequestCompleted():
                row.ttft_s, row.service_s = event.ttft_s, event.service_s
                row.tokens, row.outcome = event.completion_tokens, "done"
                self.completed += 1
            case RequestFailed(status=status) | RequestRejected(status=status):
                row.outcome = f"failed {status}"
                self.failed += 1
            case RequestCancelled():
                row.outcome = "client left"
            case RequestReaped() | RequestInterrupted():
                row.outcome = "ended"
                self.failed += 1
            case _:
                pass


_NOBODY = Row(received_us=0, model="", route="")
"""Takes what is said of requests that are not followed."""
