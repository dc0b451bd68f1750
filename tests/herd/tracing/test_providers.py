"""Who answers at a node, as traces tell it."""

from pathlib import Path

from actors.core.state import Node, State
from events import (
    NodeFacts,
    NodeId,
    NodeProbed,
    Recorded,
    RequestCompleted,
    StateSnapshotted,
)
from herd.commands.otel import providers_of
from herd.control.restore import head_of_segment
from herd.providers import Providers
from herd.tracing.spans import Spans
from tests.actors.cast import attempt_failed, book, completed, node, received
from tests.herd.logd.rig import data_dir, write
from tests.herd.tracing.test_spans import lease
from tests.playbook import after

ADA, BOB = NodeId("ada"), NodeId("bob")
V1_ONLY = NodeFacts(dialect="openai")
PROVIDER = "gen_ai.provider.name"


def test_each_attempt_names_its_nodes_and_the_request_that_of_the_last() -> None:
    playing = book(*node("ada", slots=1), *node("bob", slots=1)).given(received("r1"), after(1.0))
    first = lease(playing, "r1")
    playing.given(attempt_failed("r1", first.node_id, first.lease), after(1.0))
    second = lease(playing, "r1")
    playing.given(completed("r1", second.node_id, second.lease))
    providers = Providers()
    providers.hear(NodeProbed(node_id=second.node_id, reachable=True, facts=V1_ONLY))
    spans = Spans(providers)
    said = (NodeProbed, StateSnapshotted)
    log = [each for each in playing.log if not isinstance(each.event, said)]
    [(root, *attempts)] = [tree for each in log if (tree := spans.add(each))]
    assert isinstance(log[-1].event, RequestCompleted)
    assert [each.attributes[PROVIDER] for each in attempts] == ["ollama", "openai"]
    assert root.attributes[PROVIDER] == "openai"


def test_what_was_said_before_is_known_from_the_newest_segment(tmp_path: Path) -> None:
    directory = data_dir(tmp_path)
    known = State(nodes={ADA: Node(node_id=ADA, url="http://a", origin="flag", facts=V1_ONLY)})
    head = head_of_segment(known, 1)
    bob = NodeProbed(node_id=BOB, reachable=True, facts=V1_ONLY)
    silent = NodeProbed(node_id=ADA, reachable=False, error="connection refused")
    write(directory, [head, Recorded(head.seq + 1, 2, bob), Recorded(head.seq + 2, 3, silent)])
    told = providers_of(directory.journal)
    assert told.others() == {"ada": "openai", "bob": "openai"}
    assert told.of(NodeId("eve")) == "ollama"
