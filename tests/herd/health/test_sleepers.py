"""Nodes that sleep are no alarm; those that do not wake are."""

import msgspec
import pytest

from actors.core.waking import DID_NOT_WAKE
from herd.health import report
from tests.herd.health.test_checks import fleet, trouble
from tests.herd.http.fleet import node_view


def test_a_fleet_that_sleeps_is_well() -> None:
    picture = fleet(node_view("a", status="sleeping"))
    assert report.findings(picture) == []
    vitals = report.report(picture, 0.0)["vitals"]
    assert isinstance(vitals, dict)
    assert (vitals["nodes_sleeping"], vitals["nodes_offline"]) == (1, 0)


@pytest.mark.parametrize(
    ("reason", "check_id", "words"),
    [
        (DID_NOT_WAKE, "node_did_not_wake", "Wake-on-LAN"),
        ("silent for 31 s", "node_offline", "start herd without it"),
    ],
)
def test_one_that_did_not_wake_is_told_of_as_that(reason: str, check_id: str, words: str) -> None:
    gone = trouble("node_went_offline", phase=reason)
    picture = msgspec.structs.replace(
        gone, view=fleet(node_view("a", status="offline"), node_view("b")).view
    )
    (finding,) = report.findings(picture)
    assert (finding.check_id, finding.severity, finding.node_id) == (check_id, "critical", "a")
    assert words in finding.fix


def test_why_one_is_offline_is_what_was_seen() -> None:
    gone = trouble("node_went_offline", phase="its agent cannot reach Ollama")
    view = fleet(node_view("a", status="offline"), node_view("b")).view
    (finding,) = report.findings(msgspec.structs.replace(gone, view=view))
    told = "a at http://a:11434 gets no requests: its agent cannot reach Ollama."
    assert finding.description == told
    (finding,) = report.findings(fleet(node_view("a", status="offline"), node_view("b")))
    assert finding.description.endswith("gets no requests: nothing is heard of it.")


def test_one_that_is_gone_for_good_is_forgotten_as_it_came() -> None:
    node = msgspec.structs.replace(node_view("a", status="offline"), origin="agent")
    (finding,) = report.findings(fleet(node, node_view("b")))
    assert finding.fix.endswith("if it is gone for good, `herd nodes revoke a`.")
