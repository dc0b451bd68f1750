"""What a log shows is what happened."""

from actors.core.state import State
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
