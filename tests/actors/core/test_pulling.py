"""Where a pull goes, who waits for it, and when herd pulls by itself."""

import msgspec
import pytest

from actors.core.pulling import FAILED_FOR_US, MOST_REMEMBERED, Host, best
from actors.core.state import US
from events import (
    CONTROL,
    ControlStarted,
    FrontConnected,
    FrontLost,
    ModelDeleted,
    ModelFacts,
    NodeFacts,
    NodeProbed,
    PullEnded,
    PullOutcome,
    PullProgressed,
    PullStarted,
    RecoveryEnded,
    TimerFired,
)
from tests.actors.cast import (
    MODEL,
    OTHER_MODEL,
    book,
    configured,
    nid,
    node,
    probed,
    queued,
    received,
    refused,
    rejected,
    rid,
    settings,
    unreachable,
)
from tests.playbook import FRONT, OTHER_FRONT, Cue, Playbook, after, by, like

NEW = "smollm2:135m"
GB = 1_000_000_000


def host(name: str, **fields: object) -> Host:
    return msgspec.convert({"node_id": name, **fields}, Host)


# Where it fits best


def where(size_gb: float, *hosts: Host, strict: bool = False) -> str | None:
    """Whichever way round they are named."""
    found = best(hosts, int(size_gb * GB), strict=strict)
    assert best(hosts[::-1], int(size_gb * GB), strict=strict) == found
    return found


def test_with_nobody_there_it_goes_nowhere() -> None:
    assert best([], 0) is None


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"pulling": True}, {"has": True}),
        ({"has": True, "draining": True}, {"vram_bytes": 80 * GB}),
        ({}, {"draining": True, "vram_bytes": 80 * GB}),
        ({}, {"healthy": False, "vram_bytes": 80 * GB}),
        ({"vram_bytes": 24 * GB}, {"memory_bytes": 64 * GB}),
        ({"memory_bytes": 24 * GB}, {"vram_bytes": 8 * GB, "memory_bytes": 64 * GB}),
        ({"vram_bytes": 8 * GB, "memory_bytes": 64 * GB}, {"memory_bytes": 8 * GB}),
        ({"vram_bytes": 48 * GB}, {"vram_bytes": 24 * GB}),
        ({"stored_bytes": 1 * GB}, {"stored_bytes": 2 * GB}),
        ({"disk_free_bytes": 200 * GB}, {"disk_free_bytes": 100 * GB}),
    ],
)
def test_the_better_place(better: dict[str, object], worse: dict[str, object]) -> None:
    assert where(10, host("z", **better), host("a", **worse)) == "z"


def test_a_full_disk_is_no_place_unless_the_model_is_there() -> None:
    full = host("full", disk_free_bytes=10 * GB)
    assert where(10, full) is None
    assert where(9, full) == "full"
    assert where(10, msgspec.structs.replace(full, has=True)) == "full"


def test_what_could_not_be_loaded_is_strictly_no_place() -> None:
    small = host("small", vram_bytes=4 * GB, memory_bytes=4 * GB)
    assert where(10, small) == "small"
    assert where(10, small, strict=True) is None


# What is under way


def started(name: str = "p1", where: str = "studio", model: str = NEW) -> PullStarted:
    return PullStarted(pull_id=name, model=model, node_id=nid(where))


def progressed(done: int, total: int, name: str = "p1") -> PullProgressed:
    return PullProgressed(
        pull_id=name, model=NEW, node_id=nid("studio"), completed_bytes=done, total_bytes=total
    )


def ended(
    outcome: PullOutcome = "done", name: str = "p1", where: str = "studio", model: str = NEW
) -> PullEnded:
    return PullEnded(
        pull_id=name, model=model, node_id=nid(where), outcome=outcome, total_bytes=5 * GB
    )


def test_a_pull_is_known_while_it_is_under_way_and_then_the_model_is_there() -> None:
    told = book(node("studio", slots=1))
    assert told >> by(FRONT, started()) >> by(FRONT, progressed(1, 5)) >> by(FRONT, ended("failed"))
    assert NEW not in told.state.nodes[nid("studio")].models
    assert told >> by(FRONT, started())
    assert told.state.pulls["p1"].src == FRONT
    assert told >> by(FRONT, progressed(5, 5)) >> by(FRONT, ended())
    assert went_to(told, "r1", NEW) == "studio"
    assert told.state.nodes[nid("studio")].models[NEW].size_bytes == 5 * GB
    assert not told.state.pulls


def test_a_pull_on_a_node_that_has_gone_changes_nothing() -> None:
    told = book(node("studio"))
    assert told >> started(where="attic") >> ended(where="attic") >> progressed(1, 2, "p7")
    assert not told.state.pulls


def test_a_deleted_model_is_gone_at_once() -> None:
    told = book(node("studio", MODEL, OTHER_MODEL))
    assert (
        told
        >> ModelDeleted(node_id=nid("studio"), model=MODEL)
        >> received("r1")
        << rejected("r1", 404, "unknown_model", 0.0)
        << refused("r1", 404, "unknown_model")
        >> ModelDeleted(node_id=nid("attic"), model=OTHER_MODEL)
    )
    assert went_to(told, "r2", OTHER_MODEL) == "studio"


def went_to(told: Playbook, name: str, model: str) -> str:
    """Ask for a model now, and return where the request is."""
    told.given(received(name, model))
    return told.state.requests[rid(name)].node_id


def lost(name: str) -> like:
    return like(PullEnded, pull_id=name, outcome="lost")


def test_pulls_end_with_who_watched_them() -> None:
    assert (
        book(node("studio"))
        >> by(FRONT, started("p1"))
        >> by(OTHER_FRONT, started("p2"))
        >> FrontLost(front_src=FRONT)
        << lost("p1")
    )


def test_a_new_control_ends_its_own_pulls_and_those_of_fronts_that_stay_away() -> None:
    assert (
        book(node("studio"))
        >> started("p0")
        >> by(FRONT, started("p1"))
        >> by(OTHER_FRONT, started("p2"))
        >> ControlStarted(epoch=2, version="test")
        << lost("p0")
        >> by(FRONT, FrontConnected(front=1))
        >> RecoveryEnded(fronts=1)
        << lost("p2")
    )


# By itself

AUTO = settings(auto_pull=True)
HEARD = NodeProbed(
    node_id=nid("studio"), reachable=True, models=(ModelFacts(name=NEW, size_bytes=GB),)
)


def automatic(number: int, where: str = "studio", model: str = NEW) -> like:
    return like(
        PullStarted,
        pull_id=f"auto-{number}",
        model=model,
        node_id=nid(where),
        automatic=True,
        by="request",
    )


def pull_of(told: Playbook) -> str:
    return next(iter(told.state.pulls))


def begun(*given: Cue | tuple[Cue, ...]) -> Playbook:
    """One request has started a pull."""
    told = book(AUTO, *(given or (node("studio", slots=1),)))
    told.given(received("r1", NEW))
    assert told.state.pulls, "nothing is pulled"
    return told


def test_it_is_off_unless_it_is_asked_for() -> None:
    assert (
        book(node("studio"))
        >> received("r1", NEW)
        << rejected("r1", 404, "unknown_model", 0.0)
        << refused("r1", 404, "unknown_model")
    )


def test_a_model_that_nobody_has_is_pulled_once_and_served_to_all_who_waited() -> None:
    told = book(AUTO, node("studio", slots=2))
    number = told.state.seq + 1
    assert (
        told
        >> received("r1", NEW)
        << automatic(number)
        >> received("r2", NEW)
        << queued("r2", 2, "hold", NEW)
        >> after(60.0)
        >> by(CONTROL, progressed(1, 5, f"auto-{number}"))
    )
    told.given(ended(name=f"auto-{number}"))
    assert [request.node_id for request in told.state.requests.values()] == ["studio"] * 2
    told.check()


@pytest.mark.parametrize("known", [unreachable("attic"), probed("attic", NEW, dialect="openai")])
def test_a_model_that_some_node_has_is_never_pulled(known: NodeProbed) -> None:
    told = book(AUTO, node("studio"), configured("attic"), probed("attic", NEW), known)
    told.given(received("r1", NEW))
    assert not told.state.pulls


@pytest.mark.parametrize("model", ["evil.example/me/model:latest", "hf.co/you/theirs:q4"])
def test_names_of_other_registries_are_not_pulled(model: str) -> None:
    assert (
        book(AUTO, node("studio"))
        >> received("r1", model)
        << rejected("r1", 404, "pull_failed", 0.0)
        << refused("r1", 404, "pull_failed")
    )


def test_a_node_pulls_one_at_a_time_by_itself() -> None:
    told = begun(node("studio"), node("tower"))
    first = next(iter(told.state.pulls.values())).node_id
    told.given(received("r2", "llama3.2:1b"))
    assert sorted(pull.node_id for pull in told.state.pulls.values()) == ["studio", "tower"]
    assert first == "studio"
    assert (
        told
        >> received("r3", "qwen3:1b")
        << rejected("r3", 404, "pull_failed", 0.0)
        << refused("r3", 404, "pull_failed")
    )


def test_who_waits_too_long_is_told_so_and_the_pull_goes_on() -> None:
    told = begun()
    assert (
        told
        >> after(299.9)
        >> like_timer()
        >> after(0.1)
        >> TimerFired()
        << rejected("r1", 503, "still_pulling", 300.0, 30)
        << refused("r1", 503, "still_pulling", 30)
    )
    assert told.state.pulls


def like_timer() -> PullProgressed:
    """Time passes, and something happens that ends nobody's wait."""
    return progressed(1, 2, "p0")


def test_a_pull_that_fails_ends_the_wait_and_is_not_tried_again_for_a_while() -> None:
    told = begun()
    assert (
        told
        >> ended("failed", pull_of(told))
        << rejected("r1", 404, "pull_failed", 0.0)
        << refused("r1", 404, "pull_failed")
        >> received("r2", NEW)
        << rejected("r2", 404, "pull_failed", 0.0)
        << refused("r2", 404, "pull_failed")
        >> after(FAILED_FOR_US / US)
        >> received("r3", NEW)
        << automatic(told.state.seq + 5)
    )


def test_those_who_wait_have_a_second_chance_in_another_pull() -> None:
    told = begun()
    automatic_id = pull_of(told)
    told.given(by(FRONT, started("p1", model="SmolLM2:135m")))
    assert told >> ended("failed", automatic_id)
    assert told.state.waiting == 1


def test_a_pull_that_fails_matters_to_nobody_else() -> None:
    told = begun()
    assert (
        told
        >> by(FRONT, started("p1", model=MODEL))
        >> by(FRONT, ended("failed", "p1", model=MODEL))
    )
    assert told.state.waiting == 1
    told.given(HEARD)
    assert not told.state.waiting, "it came from elsewhere"
    assert told >> ended("failed", pull_of(told))


@pytest.mark.parametrize(
    ("facts", "total", "error"),
    [
        (NodeFacts(), 20 * GB + 1, "larger than auto_pull_max_bytes"),
        (NodeFacts(vram_bytes=4 * GB, memory_bytes=8 * GB), 11 * GB, "larger than the memory"),
        (
            NodeFacts(vram_bytes=6 * GB, memory_bytes=8 * GB, unified_memory=True),
            7 * GB,
            "larger than the memory",
        ),
        (NodeFacts(disk_free_bytes=10 * GB), 10 * GB, "larger than the free disk"),
    ],
)
def test_one_that_turns_out_too_large_is_ended(facts: NodeFacts, total: int, error: str) -> None:
    tight = NodeProbed(node_id=nid("studio"), reachable=True, facts=facts)
    told = begun(node("studio"), tight)
    name = pull_of(told)
    told.given(progressed(0, 5 * GB, name))
    assert told.state.pulls, "this much is not too large"
    told.given(progressed(0, total, name))
    assert not told.state.pulls
    assert not told.state.requests, "nobody waits for it any more"
    [outcome] = [r.event for r in told.log if isinstance(r.event, PullEnded)]
    assert (outcome.outcome, outcome.total_bytes) == ("too_large", total)
    assert outcome.error.startswith(error)


def test_one_that_somebody_asked_for_may_be_as_large_as_he_likes() -> None:
    told = book(AUTO, node("studio"))
    assert told >> by(FRONT, started()) >> by(FRONT, progressed(0, 900 * GB))


def test_the_size_counts_where_the_node_has_gone_too() -> None:
    told = begun()
    name = pull_of(told)
    del told.state.nodes[nid("studio")]
    told.given(progressed(0, 5 * GB, name))
    assert told.state.pulls
    told.given(progressed(0, 21 * GB, name))
    assert not told.state.pulls


def test_only_so_many_failures_are_remembered() -> None:
    told = book(AUTO, node("studio"))
    for number in range(MOST_REMEMBERED + 2):
        model = f"m{number}:latest"
        told.given(received(f"r{number}", model))
        told.given(ended("failed", pull_of(told), model=model))
    assert len(told.state.unpullable) == MOST_REMEMBERED
    assert "m0" not in told.state.unpullable


def test_a_pull_done_by_hand_clears_the_failure() -> None:
    told = begun()
    told.given(ended("failed", pull_of(told)))
    assert NEW in told.state.unpullable
    assert told >> by(FRONT, started()) >> by(FRONT, ended())
    assert not told.state.unpullable


# What is news


def test_small_changes_of_the_free_disk_are_no_news() -> None:
    def beat(free_gb: int) -> NodeProbed:
        facts = NodeFacts(disk_bytes=500 * GB, disk_free_bytes=free_gb * GB)
        return NodeProbed(node_id=nid("studio"), reachable=True, facts=facts)

    told = book(node("studio"), beat(160))
    before = told.state.seq
    told.given(beat(151))
    assert told.state.seq == before
    told.given(beat(149))
    assert told.state.seq > before
