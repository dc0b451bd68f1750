import msgspec
import pytest

from events import (
    ConfigurationLoaded,
    DrainRequested,
    HeartbeatReceived,
    NodeBecameHealthy,
    NodeConfigured,
    NodeDiscovered,
    NodeForgotten,
    NodeId,
    NodeMoved,
    NodeSilent,
)
from tests.actors.cast import (
    MODEL,
    book,
    completed,
    configured,
    dispatched,
    granted,
    heartbeat,
    nid,
    node,
    probed,
    queued,
    received,
    url,
)
from tests.playbook import NOT_RECORDED, Playbook

MOVED = "http://10.0.0.9:11434"


def forgotten(name: str) -> NodeForgotten:
    return NodeForgotten(node_id=nid(name), reason="no longer on the command line")


def test_a_named_node_is_announced_once() -> None:
    assert (
        book()
        >> configured("studio", 3)
        << NodeDiscovered(node_id=nid("studio"), url=url("studio"), origin="flag", slots=3)
        >> configured("studio", 3)
        << NOT_RECORDED
    )


def test_an_agent_brings_its_node_in_by_its_first_heartbeat() -> None:
    assert (
        book()
        >> heartbeat("mini", MODEL)
        << NodeDiscovered(node_id=nid("mini"), url=url("mini"), origin="agent")
        << NodeBecameHealthy(node_id=nid("mini"))
        >> heartbeat("mini", MODEL)
        << NOT_RECORDED
    )


@pytest.mark.parametrize("fact", [configured("studio"), heartbeat("studio", MODEL)])
def test_a_node_may_move(fact: HeartbeatReceived) -> None:
    there = book(configured("studio"), heartbeat("studio", MODEL))
    assert (
        there
        >> msgspec.structs.replace(fact, url=MOVED)
        << NodeMoved(node_id=nid("studio"), url=MOVED)
    )
    assert (
        there
        >> received("r1")
        << dispatched("r1", "studio", "1.1")
        << granted("r1", "studio", "1.1", url=MOVED, probing=True)
    )


def test_an_agent_takes_over_the_node_that_was_named() -> None:
    taken = book(*node("studio"), heartbeat("studio", MODEL))
    assert taken.state.nodes[nid("studio")].origin == "agent"
    assert taken >> ConfigurationLoaded(settings={"nodes": ""})


def test_a_node_that_is_not_named_any_more_is_forgotten() -> None:
    three = book(*node("studio"), *node("mini"), heartbeat("tower", MODEL))
    assert (
        three
        >> ConfigurationLoaded(settings={"nodes": f"{url('mini')},slots=4"})
        << forgotten("studio")
    )
    assert list(three.state.nodes) == ["mini", "tower"]


def running_on_a_forgotten_node() -> Playbook:
    running = book(*node("studio", slots=2), received("r1"), received("r2"))
    running.given(ConfigurationLoaded(settings={}))
    assert running.state.nodes == {}
    assert running.state.in_flight == 2
    return running


def test_what_runs_on_a_forgotten_node_may_finish() -> None:
    running = running_on_a_forgotten_node()
    assert running >> completed("r1", "studio", "1.1") >> completed("r2", "studio", "1.2")
    assert (running.state.in_flight, running.state.requests) == (0, {})


def test_a_node_that_comes_back_still_has_what_ran_there() -> None:
    running = running_on_a_forgotten_node()
    running.given(completed("r1", "studio", "1.1"), *node("studio", slots=1))
    studio = running.state.nodes[NodeId("studio")]
    assert (studio.in_flight, studio.slots[MODEL].in_flight) == (1, 1)
    assert (
        running
        >> received("r3")
        << queued("r3", 1)
        >> completed("r2", "studio", "1.2")
        << dispatched("r3", "studio", "1.3")
        << granted("r3", "studio", "1.3")
        >> completed("r3", "studio", "1.3")
    )
    assert (studio.in_flight, studio.slots[MODEL].in_flight) == (0, 0)


def test_word_about_an_unknown_node_is_dropped() -> None:
    assert book() >> probed("nobody", MODEL) << NOT_RECORDED


def test_a_node_is_named_instead_of_an_agent_that_is_away() -> None:
    away = book(heartbeat("tower", MODEL, url=url("studio")))
    away.given(NodeSilent(node_id=nid("tower"), silent_s=31.0))
    assert (
        away
        >> configured("studio")
        << NodeDiscovered(node_id=nid("studio"), url=url("studio"), origin="flag")
    )


def test_a_drained_node_is_not_brought_back_under_another_name() -> None:
    """Its agent still speaks for it, though it takes no work."""
    drained = book(heartbeat("studio", MODEL), DrainRequested(node_id=nid("studio"), by="ada"))
    assert (
        drained
        >> NodeConfigured(node_id=nid("named"), url=url("studio"))
        << NodeForgotten(node_id=nid("named"), reason="its agent studio speaks for it")
    )
