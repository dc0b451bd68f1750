"""One Ollama is one node, also if it was named and its agent speaks for it."""

import msgspec

from actors.core.discovery import place
from events import NodeBecameHealthy, NodeDiscovered, NodeForgotten, NodeId
from tests.actors.cast import MODEL, book, configured, heartbeat, nid, probed, url

HERE = "http://127.0.0.1:11434"
ALSO_HERE = "http://localhost:11434"


def spoken_for(name: str, agent: str) -> NodeForgotten:
    return NodeForgotten(node_id=NodeId(name), reason=f"its agent {agent} speaks for it")


def test_the_names_of_this_machine_are_one_place() -> None:
    assert place(HERE) == place("http://[::1]:11434") == place(ALSO_HERE)
    assert place("http://localhost:11435") != place(ALSO_HERE)


def test_an_agent_takes_over_the_node_that_was_named() -> None:
    named = msgspec.structs.replace(configured("named"), url=ALSO_HERE)
    spoken = msgspec.structs.replace(heartbeat("studio", MODEL), url=HERE)
    assert (
        book(named, probed("named", MODEL))
        >> spoken
        << NodeDiscovered(node_id=nid("studio"), url=HERE, origin="agent")
        << spoken_for("named", "studio")
        << NodeBecameHealthy(node_id=nid("studio"))
    )


def test_naming_a_node_whose_agent_is_online_adds_nothing() -> None:
    named = msgspec.structs.replace(configured("named"), url=url("studio"))
    assert book(heartbeat("studio", MODEL)) >> named << spoken_for("named", "studio")
