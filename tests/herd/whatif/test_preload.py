"""A machine begins with what was in its memory."""

from events import NodeId
from herd.simulator.physics import Job, Tokens
from herd.simulator.profiles import tower
from herd.virtual.agenda import Agenda
from herd.virtual.node import VirtualNode
from herd.whatif.preload import preloaded


def test_it_has_the_models_at_once_and_needs_no_load() -> None:
    machine = preloaded(tower(), ["llama3.2:3b", "qwen2.5:7b", "not here:1b"])
    assert machine.now_s == 0.0
    names = {each.model.facts.name for each in machine.resident()}
    assert names == {"llama3.2:3b", "qwen2.5:7b"}
    job = Job(id=1, model="llama3.2:3b", prompt_tokens=10, output_tokens=1)
    machine.submit(0.0, job)
    assert [each.job for each in machine.advance(0.1) if isinstance(each, Tokens)] == [1]


def test_without_any_it_is_empty() -> None:
    assert preloaded(tower(), []).resident() == []


def test_a_node_notices_that_such_a_model_expires() -> None:
    agenda = Agenda(0)
    told: list[object] = []
    machine = preloaded(tower(), ["llama3.2:3b"])
    node = VirtualNode(NodeId("n"), machine, agenda, tell=told.append, hear=told.append)
    agenda.until(310_000_000)
    assert node.resident() == ()
    assert len(told) == 1
