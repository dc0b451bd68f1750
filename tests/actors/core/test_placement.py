"""Where a request goes: seen at the dispatch that is recorded."""

from collections.abc import Sequence
from itertools import permutations

from actors.core.placement import SHOWN, draw
from actors.core.state import Request
from events import (
    Candidate,
    DrainRequested,
    ModelFacts,
    NodeProbed,
    RequestDispatched,
    SettingsChanged,
    Source,
)
from tests.actors.cast import (
    LOAD_S,
    MODEL,
    book,
    completed,
    configured,
    nid,
    node,
    probed,
    received,
    refused,
    rejected,
    rid,
)
from tests.playbook import Playbook

NAMES = ("ada", "bob", "cyd")


def dispatch(playing: Playbook, name: str, **fields: str) -> RequestDispatched:
    """Return where the request of that name goes."""
    playing.given(received(name, **fields))
    found = [record.event for record in playing.log]
    (event,) = (
        each for each in found if isinstance(each, RequestDispatched) and each.request_id == name
    )
    playing.check()
    return event


def a_request(name: str, attempt: int = 0) -> Request:
    return Request(rid(name), MODEL, Source("f"), v1=False, seq=1, received_us=1, attempt=attempt)


def test_memory_goes_before_disk() -> None:
    event = dispatch(book(*node("cold", resident=(), slots=4), *node("warm", slots=1)), "r1")
    assert event.terms == (
        Candidate(nid("warm"), resident=True, in_flight=0, slots=1, wait_s=0.0, score=100.0),
        Candidate(nid("cold"), False, 0, 4, LOAD_S, 50.0 - LOAD_S),  # noqa: FBT003 (an array)
    )
    assert (event.node_id, event.cold, event.draw) == ("warm", False, 0)


def test_then_the_shorter_wait() -> None:
    """Each has one request on it; the slow one needs longer for the next."""
    playing = book(*node("slow", slots=2), *node("fast", slots=2))
    for name, other, service_s in (("slow", "fast", 9.0), ("fast", "slow", 1.0)):
        playing.given(DrainRequested(node_id=nid(other), by="ada"))
        lease = dispatch(playing, f"teaches {name}").lease
        playing.given(completed(f"teaches {name}", name, lease, service_s=service_s))
        playing.given(DrainRequested(node_id=nid(other), draining=False, by="ada"))
    assert {dispatch(playing, name).node_id for name in ("r1", "r2")} == {"slow", "fast"}
    waits = [(term.node_id, term.in_flight, term.wait_s) for term in dispatch(playing, "r3").terms]
    assert waits == [("fast", 1, 0.5), ("slow", 1, 4.5)]


def test_then_fewer_in_flight() -> None:
    playing = book(*node("ada", slots=4), *node("bob", slots=4))
    first, second = dispatch(playing, "r1"), dispatch(playing, "r2")
    assert {first.node_id, second.node_id} == {"ada", "bob"}
    assert second.draw == 0, "that was no tie"


def test_a_tie_is_broken_by_a_draw_that_is_recorded() -> None:
    event = dispatch(book(*[fact for name in NAMES for fact in node(name, slots=1)]), "r1")
    assert event.draw == draw(a_request("r1"))
    assert event.node_id == NAMES[event.draw % len(NAMES)]
    assert event.terms[0].node_id == event.node_id, "the best stands first"


def test_a_tie_does_not_know_who_came_first() -> None:
    winners = {
        dispatch(book(*[fact for name in order for fact in node(name, slots=1)]), "r1").node_id
        for order in permutations(NAMES)
    }
    assert len(winners) == 1


def test_a_tie_favours_nobody_by_name() -> None:
    wins: dict[str, int] = dict.fromkeys(NAMES, 0)
    for number in range(60):
        playing = book(*[fact for name in NAMES for fact in node(name, slots=1)])
        wins[dispatch(playing, f"r{number}").node_id] += 1
    assert min(wins.values()) >= 10


def test_each_attempt_draws_anew() -> None:
    assert draw(a_request("r1")) != draw(a_request("r1", attempt=1))
    assert draw(a_request("r1")) == draw(a_request("r1")) < 1 << 48


def test_the_best_eight_are_stored_and_the_others_counted() -> None:
    names = [f"node{number}" for number in range(SHOWN + 3)]
    event = dispatch(book(*[fact for name in names for fact in node(name, slots=1)]), "r1")
    assert (len(event.terms), event.more) == (SHOWN, 3)


def test_a_node_that_loads_the_model_now_is_as_good_as_warm() -> None:
    """Else the second request would start a second load."""
    playing = book(*[fact for name in NAMES for fact in node(name, resident=(), slots=2)])
    first, second = dispatch(playing, "r1"), dispatch(playing, "r2")
    assert (first.cold, second.cold) == (True, False)
    assert first.node_id == second.node_id


def cold_waits(playing: Playbook) -> Sequence[float]:
    return [term.wait_s for term in dispatch(playing, "r1").terms]


def test_a_load_takes_what_it_took_last_time_or_what_its_size_says() -> None:
    assert cold_waits(book(*node("ada", resident=(), slots=1))) == [LOAD_S]
    loaded = book(*node("ada", resident=(), slots=1), received("r0"))
    loaded.given(completed("r0", "ada", "1.1", load_s=7.0, service_s=0.0))
    assert cold_waits(loaded) == [7.0]


def test_a_load_of_unknown_size_is_expected_to_take_ten_seconds() -> None:
    told = NodeProbed(node_id=nid("ada"), reachable=True, models=(ModelFacts(name=MODEL),))
    assert cold_waits(book(configured("ada", 1), told)) == [10.0]


def test_a_node_that_only_speaks_v1_gets_only_v1() -> None:
    openai = book(configured("ada", 1), probed("ada", MODEL, resident=(MODEL,), dialect="openai"))
    assert (
        openai
        >> received("r1")
        << rejected("r1", 404, "only_v1", 0.0)
        << refused("r1", 404, "only_v1")
    )
    assert dispatch(openai, "r2", route="/v1/chat/completions").node_id == "ada"


def test_a_node_that_only_speaks_v1_gets_what_can_be_translated() -> None:
    both = book(configured("ada", 1), probed("ada", MODEL, resident=(MODEL,), dialect="openai"))
    both.given(SettingsChanged(key="translate_ollama", old=False, new=True))
    assert dispatch(both, "r1").node_id == "ada"
    assert (
        both
        >> received("r2", native=True)
        << rejected("r2", 404, "only_v1", 0.0)
        << refused("r2", 404, "only_v1")
    )
