"""The script is the recorded one, but for what is to be different."""

import msgspec
import pytest

from actors.core.slots import Slots
from actors.core.state import US
from events import (
    ConfigurationLoaded,
    NodeConfigured,
    NodeId,
    NodeProbed,
    RequestId,
    RequestReceived,
    SettingsChanged,
)
from herd.errors import HerdError
from herd.virtual.script import NEVER, Arrival, Happening, Line
from herd.whatif.change import NOTHING, Change, change
from herd.whatif.evidence import Asked, Evidence
from herd.whatif.learn import learn
from herd.whatif.rerun import specs_of
from herd.whatif.story import SHIFT_US, script, start
from tests.herd.virtual.small import START_US
from tests.herd.whatif.logs import evidence

TOWER = NodeId("tower")


def lines(found: Evidence, wanted: Change = NOTHING) -> list[Line]:
    return script(found, wanted, specs_of(learn(found), wanted))


def arrivals(found: Evidence, wanted: Change = NOTHING) -> dict[str, Arrival]:
    told = (each for each in lines(found, wanted) if isinstance(each, Arrival))
    return {str(each.request.request_id): each for each in told}


def facts(found: Evidence, wanted: Change = NOTHING) -> list[object]:
    return [each.fact for each in lines(found, wanted) if isinstance(each, Happening)]


def test_requests_come_when_they_came_with_the_tokens_they_had() -> None:
    found = evidence(100)
    told = lines(found)
    assert [each.at_us for each in told] == sorted(each.at_us for each in told)
    came = arrivals(found)
    assert len(came) == len(found.asked) == 100
    for asked in found.asked:
        arrival = came[str(asked.received.request_id)]
        assert (arrival.at_us, arrival.request) == (asked.at_us, asked.received)
        assert arrival.prompt_tokens == asked.prompt_tokens
        assert arrival.output_tokens == asked.completion_tokens
        assert arrival.patience_s == NEVER


def test_in_another_play_arrivals_are_shifted_by_next_to_nothing() -> None:
    found = evidence(100)
    specs = specs_of(learn(found), NOTHING)
    first, second, third = (
        {
            each.request.request_id: each.at_us
            for each in script(found, NOTHING, specs, play)
            if isinstance(each, Arrival)
        }
        for play in (0, 1, 2)
    )
    shifts = [second[request_id] - at_us for request_id, at_us in first.items()]
    assert all(0 <= shift < SHIFT_US for shift in shifts)
    assert len(set(shifts)) > 50
    assert second != third
    told = [each.at_us for each in script(found, NOTHING, specs, 1)]
    assert told == sorted(told)


def test_unknown_lengths_are_those_of_others_and_always_the_same() -> None:
    found = evidence(100)
    for number, how in enumerate(("failed", "rejected", "cancelled", "")):
        request_id = RequestId(f"gone-{number}")
        received = RequestReceived(request_id=request_id, model="llama3.2:3b")
        ended_us = START_US + 9 * US
        asked = Asked(received, START_US + 5 * US, ended_us, how, completion_tokens=3 * number)
        found.asked.append(asked)
    came = arrivals(found)
    known = {
        (each.prompt_tokens, each.completion_tokens)
        for each in found.asked
        if each.known and each.received.model == "llama3.2:3b"
    }
    drawn = [came[f"gone-{number}"] for number in range(4)]
    assert {(each.prompt_tokens, each.output_tokens) for each in drawn} <= known
    assert len({each.output_tokens for each in drawn}) > 1
    assert drawn[2].output_tokens > 6
    assert [each.patience_s for each in drawn] == [NEVER, NEVER, 4.0, NEVER]
    assert arrivals(found) == came


def test_one_longer_than_any_other_is_one_token_longer_than_it_was() -> None:
    found = evidence(100)
    received = RequestReceived(request_id=RequestId("long"), model="llama3.2:3b")
    asked = Asked(received, START_US, START_US + US, "cancelled", completion_tokens=99_999)
    found.asked.append(asked)
    assert arrivals(found)["long"].output_tokens == 100_000


def test_a_request_that_a_node_turned_down_costs_it_nothing() -> None:
    found = evidence(100)
    found.asked[0].known, found.asked[0].turned_down = False, True
    arrival = arrivals(found)[str(found.asked[0].received.request_id)]
    assert (arrival.prompt_tokens, arrival.output_tokens) == (1, 0)


def test_a_node_is_left_out_of_the_facts_and_of_the_state() -> None:
    found = evidence(100)
    found.start = found.end
    wanted = Change(without=(TOWER,))
    assert TOWER in start(found, NOTHING).nodes
    assert TOWER not in start(found, wanted).nodes
    assert any(getattr(each, "node_id", "") == TOWER for each in facts(found))
    assert not any(getattr(each, "node_id", "") == TOWER for each in facts(found, wanted))
    assert TOWER not in specs_of(learn(found), wanted)


def test_a_setting_is_another_whatever_was_recorded() -> None:
    found = evidence(100)
    was = SettingsChanged(key="max_retries", old=2, new=5)
    found.happenings.append(Happening(at_us=found.end_us, fact=was))
    wanted = Change(settings={"policy": "random", "max_retries": 0})
    loaded = [each for each in facts(found, wanted) if isinstance(each, ConfigurationLoaded)]
    assert [each.settings["policy"] for each in loaded] == ["random"]
    assert was in facts(found)
    assert was not in facts(found, wanted)
    state = start(found, wanted)
    assert (state.settings.policy, state.settings.max_retries) == ("random", 0)
    assert found.start.settings.policy == "resident-first"


def test_slots_are_told_by_every_fact_and_by_the_state() -> None:
    found = evidence(100)
    found.end.nodes[TOWER].slots["a"] = Slots(limit=3)
    found.start = found.end
    wanted = Change(slots={TOWER: 8})
    told = facts(found, wanted)
    assert 8 in [each.slots for each in told if isinstance(each, NodeConfigured)]
    probed = [each.facts for each in told if isinstance(each, NodeProbed) and each.facts]
    assert sorted(each.slots for each in probed) == [1, 4, 8]
    node = start(found, wanted).nodes[TOWER]
    assert node.told_slots == node.slots["a"].limit == 8
    measured = specs_of(learn(found), wanted)[TOWER].measured
    assert (measured["qwen2.5:7b"].slots, measured["nomic-embed-text:latest"].slots) == (8, 1)


def test_a_new_node_joins_with_all_that_the_other_has() -> None:
    found = evidence(100)
    wanted = Change(added={NodeId("second"): "tower", NodeId("third"): "mini"})
    told = [each for each in facts(found, wanted) if getattr(each, "node_id", "") == "second"]
    configured, probed = told
    assert isinstance(configured, NodeConfigured)
    assert isinstance(probed, NodeProbed)
    assert {each.name for each in probed.models or ()} == set(found.nodes[TOWER].models)
    (loaded,) = [each for each in facts(found, wanted) if isinstance(each, ConfigurationLoaded)]
    assert configured.url in str(loaded.settings["nodes"]).split()
    assert specs_of(learn(found), wanted)[NodeId("second")].name == "second"


def test_words_are_read() -> None:
    nodes = evidence(100).nodes
    wanted = change(
        nodes,
        settings=["policy=random", "queue_timeout_s=30"],
        without=["http://mini:11434", "mini"],
        slots=["tower=8", "new=2"],
        added=["new=studio", "other=ideal"],
    )
    assert wanted == Change(
        settings={"policy": "random", "queue_timeout_s": 30.0},
        without=(NodeId("mini"),),
        slots={TOWER: 8, NodeId("new"): 2},
        added={NodeId("new"): "studio", NodeId("other"): "ideal"},
    )
    assert "without mini" in wanted.words()
    assert not change(nodes)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ({"without": ["nobody"]}, "mini, studio, tower"),
        ({"slots": ["nobody=3"]}, "mini, studio, tower"),
        ({"slots": ["tower=1"], "without": ["tower"]}, "--slots tower=1: without tower"),
        ({"slots": ["tower=0"]}, "--slots NODE=N"),
        ({"settings": ["policy=fair"]}, "round-robin"),
        ({"settings": ["port=1"]}, "queue_timeout_s"),
        ({"settings": ["policy"]}, "--set KEY=VALUE"),
        ({"added": ["tower=tower"]}, "choose another"),
        ({"added": ["new=nobody"]}, "mini, studio, tower, studio"),
        ({"added": ["new"]}, "--add-node NAME=LIKE"),
        ({"without": ["mini", "studio", "tower"]}, "keep one of them"),
    ],
)
def test_what_is_not_known_is_refused_with_what_there_is(
    words: dict[str, list[str]], named: str
) -> None:
    with pytest.raises(HerdError) as refused:
        change(evidence(100).nodes, **msgspec.convert(words, dict[str, list[str]]))
    assert named in f"{refused.value.next_step} {refused.value.what}"


@pytest.mark.parametrize(("word", "value"), [("on", True), ("False", False), ("off", False)])
def test_a_switch_is_written_as_people_do(word: str, value: bool) -> None:  # noqa: FBT001 (a parameter)
    assert change({}, settings=[f"planner={word}"]).settings == {"planner": value}
