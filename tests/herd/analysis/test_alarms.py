"""What went wrong, what had changed and who stood in line, in the order of the log."""

from pathlib import Path

from events import (
    AttemptFailed,
    CircuitOpened,
    ConfigurationLoaded,
    Lease,
    NodeDrained,
    NodeWentOffline,
    RequestId,
    RequestQueued,
    RequestRejected,
)
from herd.analysis.alarms import alarms, changes, waiting
from tests.herd.analysis.timed import (
    MINI,
    MODEL,
    SMALL,
    carried,
    done,
    log_of,
    received,
    rows,
    sent,
)

X = RequestId("x")


def test_alarms_are_what_somebody_would_look_at(tmp_path: Path) -> None:
    with log_of(
        tmp_path,
        (0.0, received("x")),
        (0.0, sent("x")),
        (3.0, AttemptFailed(X, MODEL, MINI, Lease("1.x"), "connect")),
        (3.0, CircuitOpened(node_id=MINI, model=MODEL, failures=3, open_s=10.0)),
        (6.0, NodeWentOffline(node_id=MINI, reason="silent")),
        (9.0, RequestRejected(X, MODEL, 503, "queue_timeout")),
        (12.0, received("y")),
    ) as log:
        table = alarms(log)
    assert rows(table, "seq", "minute", "alarm", "request_id", "model", "node_id") == [
        (4, 0.05, "an attempt failed", "x", MODEL, "mini"),
        (5, 0.05, "a circuit opened", None, MODEL, "mini"),
        (6, 0.1, "a node offline", None, None, "mini"),
        (7, 0.15, "rejected: queue timeout", "x", MODEL, None),
    ]


def test_changes_are_the_policy_where_it_changed_and_the_nodes(tmp_path: Path) -> None:
    def start(policy: str) -> ConfigurationLoaded:
        return ConfigurationLoaded(settings={"policy": policy, "max_queue": 24})

    with log_of(
        tmp_path,
        (0.0, start("random")),
        (60.0, start("random")),
        (120.0, start("resident-first")),
        (150.0, NodeDrained(node_id=MINI, by="192.0.2.7")),
    ) as log:
        assert rows(changes(log), "minute", "what", "node_id") == [
            (0.0, "policy random", None),
            (2.0, "policy resident-first, before random", None),
            (2.5, "mini takes no new work", "mini"),
        ]


def test_a_line_is_as_long_as_it_was_at_its_longest(tmp_path: Path) -> None:
    with log_of(
        tmp_path,
        (1.0, received("a")),
        (1.0, RequestQueued(RequestId("a"), MODEL, 1, "slots")),
        (2.0, received("b")),
        (3.0, sent("a")),
        (3.0, received("small", SMALL)),
        (3.0, sent("small", model=SMALL)),
        (12.0, sent("b")),
        (20.0, done("a")),
    ) as log:
        table = waiting(log, every_s=5.0)
    # A line that is empty again at the same instant was one for no time.
    assert rows(table[table["model"] == MODEL], "minute", "waiting") == [
        (0.0, 2),
        (round(5 / 60, 6), 1),
        (round(10 / 60, 6), 1),
        (0.25, 0),
    ]
    assert set(table[table["model"] == SMALL]["waiting"]) == {0}


def test_who_stood_in_line_when_the_log_begins_counts(tmp_path: Path) -> None:
    with log_of(
        tmp_path,
        (1.0, received("new")),
        (4.0, sent("old")),
        (6.0, RequestRejected(RequestId("older"), MODEL, 503, "queue_timeout")),
        (10.0, done("running")),
        state=carried("old", "older", running=["running"]),
    ) as log:
        table = waiting(log, every_s=5.0)
    assert rows(table, "minute", "waiting") == [(0.0, 3), (round(5 / 60, 6), 2)]
