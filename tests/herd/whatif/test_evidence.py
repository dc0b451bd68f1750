"""What a log shows is what happened."""

from actors.core.slots import Slots
from actors.core.state import State, dump, load
from events import NodeId
from herd.whatif.evidence import gather
from tests.herd.virtual.small import busy


def test_the_outcomes_in_the_log_are_those_of_the_world() -> None:
    world, log = busy()
    found = gather(State(), log)
    assert sorted(found.outcomes(), key=str) == sorted(world.outcomes, key=str)
    assert (found.attempts_failed, found.interrupted) == (0, 0)


def test_each_run_is_there_with_its_times_and_tokens() -> None:
    world, log = busy(count=50)
    found = gather(State(), log)
    ends = {each.request_id: each for each in world.outcomes}
    assert len(found.runs) == len(ends) == 50
    for run in found.runs:
        end = ends[run.request_id]
        assert run.whole
        assert run.node_id == end.node_id
        assert run.ended_us - end.at_us == round(end.total_s * 1e6)
        assert run.first_us - end.at_us == round(end.ttft_s * 1e6)
        assert run.prompt_tokens > 0
        assert run.completion_tokens > 0


def test_the_fleet_and_its_memory_are_there() -> None:
    _, log = busy(count=50)
    found = gather(State(), log)
    assert {str(node) for node in found.together} == {"studio", "tower", "mini"}
    assert all(size > 1_000_000_000 for size in found.sizes.values())
    assert len(found.happenings) >= 7
    assert found.end.nodes.keys() == {"studio", "tower", "mini"}
    assert found.start.nodes == {}


def test_what_is_in_memory_when_it_begins_is_known_though_nothing_of_it_changes() -> None:
    _, log = busy(count=50)
    whole = gather(State(), log)
    later = gather(load(dump(whole.end)), [])
    resident = {(node.node_id, name) for node in whole.end.nodes.values() for name in node.resident}
    assert resident
    assert later.sizes == {pair: whole.sizes[pair] for pair in resident}
    assert later.together.keys() == {node_id for node_id, _ in resident}
    assert all(later.together.values())


def test_so_are_the_slots_that_had_proved_good() -> None:
    _, log = busy(count=50)
    begun = gather(State(), log).end
    slots = begun.nodes[NodeId("tower")].slots
    slots["learned"] = Slots(limit=16, held=8)
    slots["told"] = Slots(limit=16, held=8, told=True)
    proven = gather(begun, []).proven
    assert {model: proven.get((NodeId("tower"), model)) for model in ("learned", "told")} == {
        "learned": 8,
        "told": None,
    }
