"""What each node is able to do: health, draining, circuits."""

import pytest
from msgspec.structs import replace

from actors.core.health import AGENT, FIRST_OPEN_S
from actors.core.settings import Settings
from events import (
    CircuitClosed,
    CircuitHalfOpened,
    CircuitOpened,
    DrainRequested,
    Event,
    NodeBecameHealthy,
    NodeDegraded,
    NodeDrained,
    NodeProbed,
    NodeSilent,
    NodeUndrained,
    NodeWentOffline,
    TimerFired,
)
from tests.actors.cast import (
    MODEL,
    OTHER_MODEL,
    attempt_failed,
    book,
    cancelled,
    completed,
    configured,
    dispatched,
    failed,
    granted,
    heartbeat,
    in_memory,
    nid,
    node,
    probed,
    queued,
    received,
    settings,
    unreachable,
)
from tests.playbook import NOT_RECORDED, Playbook, after, like

STUDIO = nid("studio")
HEALTHY = NodeBecameHealthy(node_id=STUDIO)


def silent(seconds: float) -> NodeSilent:
    return NodeSilent(node_id=STUDIO, silent_s=seconds)


def offline(reason: str) -> NodeWentOffline:
    return NodeWentOffline(node_id=STUDIO, reason=reason)


def degraded(reason: str) -> NodeDegraded:
    return NodeDegraded(node_id=STUDIO, reason=reason)


def drain(by: str = "ada", *, draining: bool = True) -> DrainRequested:
    return DrainRequested(node_id=STUDIO, draining=draining, by=by)


# Health


def test_a_new_node_is_what_its_first_answer_says() -> None:
    assert book(configured("studio")) >> probed("studio", MODEL) << HEALTHY
    assert book(configured("studio")) >> unreachable("studio", "refused") << offline("refused")


def test_one_failed_probe_degrades_and_a_second_ends_it() -> None:
    assert (
        book(*node("studio"))
        >> unreachable("studio", "timeout")
        << degraded("timeout")
        >> unreachable("studio", "timeout")
        << offline("timeout")
        >> unreachable("studio", "timeout")
        << NOT_RECORDED
        >> probed("studio", MODEL)
        << HEALTHY
    )


def test_an_agent_that_falls_silent() -> None:
    assert (
        book(heartbeat("studio", MODEL))
        >> silent(14.9)
        << NOT_RECORDED
        >> silent(15.0)
        << degraded("silent for 15 s")
        >> silent(20.0)
        << NOT_RECORDED
        >> silent(30.4)
        << offline("silent for 30 s")
        >> silent(35.0)
        << NOT_RECORDED
        >> heartbeat("studio", MODEL)
        << HEALTHY
    )


def test_a_dead_ollama_under_a_live_agent_is_seen_in_one_heartbeat() -> None:
    dead = book(heartbeat("studio", MODEL))
    assert (
        dead
        >> heartbeat("studio", MODEL, reachable=False)
        << offline("its agent cannot reach Ollama")
    )
    assert dead.state.nodes[STUDIO].resident == {}, "its memory went with it"
    assert dead >> heartbeat("studio", MODEL, reachable=False) << NOT_RECORDED
    assert dead >> received("r1") << queued("r1", 1, "hold")


def test_a_degraded_node_serves_only_if_nobody_else_can() -> None:
    both = book(*node("studio"), *node("mini", resident=()), unreachable("studio"))
    assert (
        both
        >> received("r1")
        << dispatched("r1", "mini", "1.1")
        << granted("r1", "mini", "1.1", score=46.0, probing=True)
    )
    assert (
        book(*node("studio", resident=()), unreachable("studio"))
        >> received("r1")
        << dispatched("r1", "studio", "1.1")
        << granted("r1", "studio", "1.1", score=46.0, probing=True)
    )


def test_what_a_probe_did_not_ask_stays_as_it_was() -> None:
    there = book(*node("studio"))
    there.given(NodeProbed(node_id=STUDIO, reachable=True, resident=in_memory(OTHER_MODEL)))
    studio = there.state.nodes[STUDIO]
    assert (list(studio.models), list(studio.resident)) == ([MODEL], [OTHER_MODEL])


def test_an_empty_disk_is_seen_by_a_probe_but_a_heartbeat_may_leave_it_out() -> None:
    there = book(heartbeat("studio", MODEL))
    assert there >> heartbeat("studio", resident=in_memory(MODEL), models=()) << NOT_RECORDED
    there.given(probed("studio"))
    assert there.state.nodes[STUDIO].models == {}


def test_news_of_a_node_that_is_not_known_is_nothing() -> None:
    playing = book(drain())
    assert playing.state.nodes == {}
    gone: list[Event] = [NodeBecameHealthy(node_id=STUDIO), opened(3, 10.0)]
    assert playing.given(*gone).state.nodes == {}


# Draining


def test_an_operator_drains_a_node_and_takes_it_back() -> None:
    """No new work; what runs there may finish."""
    assert (
        book(*node("studio", slots=1), received("r1"))
        >> drain()
        << NodeDrained(node_id=STUDIO, by="ada")
        >> drain()
        >> received("r2")
        << queued("r2", 1, "hold")
        >> completed("r1", "studio", "1.1")
        >> drain("bob", draining=False)
        << NodeUndrained(node_id=STUDIO, by="bob")
        << dispatched("r2", "studio", "1.2")
        << granted("r2", "studio", "1.2")
        >> drain("bob", draining=False)
    )


def test_an_agent_drains_its_node_and_takes_it_back() -> None:
    assert (
        book(heartbeat("studio", MODEL))
        >> heartbeat("studio", MODEL, draining=True)
        << NodeDrained(node_id=STUDIO, by=AGENT)
        >> heartbeat("studio", MODEL, draining=True)
        << NOT_RECORDED
        >> heartbeat("studio", MODEL)
        << NodeUndrained(node_id=STUDIO, by=AGENT)
    )


def test_an_agent_does_not_take_back_what_an_operator_drained() -> None:
    drained = book(heartbeat("studio", MODEL), drain())
    assert drained >> heartbeat("studio", MODEL) << NOT_RECORDED
    assert drained >> heartbeat("studio", MODEL, draining=True) << NOT_RECORDED


def test_an_operator_may_keep_drained_what_an_agent_drained() -> None:
    assert (
        book(heartbeat("studio", MODEL, draining=True))
        >> drain()
        << NodeDrained(node_id=STUDIO, by="ada")
        >> heartbeat("studio", MODEL)
        << NOT_RECORDED
    )


def test_a_drain_by_nobody_is_an_operators() -> None:
    drained = book(heartbeat("studio", MODEL), drain(""))
    assert drained.state.nodes[STUDIO].drained_by == "operator"


# Circuits


def opened(failures: int, open_s: float) -> CircuitOpened:
    return CircuitOpened(node_id=STUDIO, model=MODEL, failures=failures, open_s=open_s)


def after_failures(count: int, *, first_attempt: int = 1) -> Playbook:
    """Studio failed that many requests in a row; mini served them, cold."""
    playing = book(*node("studio", slots=1), *node("mini", slots=1, resident=()))
    fail(playing, count, first_attempt)
    return playing


def fail(playing: Playbook, count: int, first: int = 1) -> None:
    for number in range(count):
        name, lease = f"f{first + number}", playing.state.leases + 1
        playing.given(
            received(name),
            attempt_failed(name, "studio", f"1.{lease}"),
            completed(name, "mini", f"1.{lease + 1}", service_s=0.0),
        )


def test_three_failures_in_a_row_open_the_circuit() -> None:
    assert (
        after_failures(2)
        >> received("r1")
        << dispatched("r1", "studio", "1.5")
        << granted("r1", "studio", "1.5")
        >> attempt_failed("r1", "studio", "1.5")
        << opened(3, FIRST_OPEN_S)
        << dispatched("r1", "mini", "1.6", attempt=2)
        << granted("r1", "mini", "1.6", 2, score=46.0)
        >> received("r2")
        << queued("r2", 1)  # studio is free, but its circuit is open
    )


def test_the_last_failure_of_a_request_counts_once() -> None:
    alone = book(*node("studio", slots=1))
    for number in (1, 2):
        alone.given(received(f"r{number}"), attempt_failed(f"r{number}", "studio", f"1.{number}"))
    assert alone.state.nodes[STUDIO].circuits[MODEL].failures == 2


def test_a_success_between_closes_the_count() -> None:
    playing = after_failures(2)
    playing.given(received("r1"), completed("r1", "studio", "1.5", service_s=0.0))
    fail(playing, 2, first=7)
    assert playing.state.nodes[STUDIO].circuits[MODEL].status == "closed"


def test_an_answer_that_broke_off_counts_a_clients_fault_does_not() -> None:
    playing = after_failures(2)
    playing.given(received("r1"), failed("r1", "studio", "1.5", fault="client"))
    assert playing.state.nodes[STUDIO].circuits[MODEL].failures == 2
    assert (
        playing
        >> received("r2")
        << dispatched("r2", "studio", "1.6")
        << granted("r2", "studio", "1.6")
        >> failed("r2", "studio", "1.6")
        << opened(3, FIRST_OPEN_S)
    )


def half_open() -> Playbook:
    playing = after_failures(3)
    playing.given(after(FIRST_OPEN_S), TimerFired())
    assert playing.state.nodes[STUDIO].circuits[MODEL].status == "half_open"
    return playing


def test_after_a_while_one_request_may_try() -> None:
    playing = book(*node("studio", slots=2), *node("mini", slots=1, resident=()))
    fail(playing, 3)
    assert (
        playing
        >> after(FIRST_OPEN_S - 0.1)
        >> TimerFired()
        << NOT_RECORDED
        >> after(0.1)
        >> TimerFired()
        << CircuitHalfOpened(node_id=STUDIO, model=MODEL)
        >> TimerFired()
        << NOT_RECORDED
        >> received("r1")
        << dispatched("r1", "studio", "1.7")
        << granted("r1", "studio", "1.7")
        >> received("r2")
        << dispatched("r2", "mini", "1.8")  # studio has a second slot, but is on trial
        << granted("r2", "mini", "1.8", score=46.0)
        >> completed("r1", "studio", "1.7")
        << CircuitClosed(node_id=STUDIO, model=MODEL)
    )


def test_a_failed_trial_opens_the_circuit_for_twice_as_long() -> None:
    playing = half_open()
    for open_s in (20.0, 40.0, 80.0, 160.0, Settings().longest_open_s):
        lease = f"1.{playing.state.leases + 1}"
        name = f"tries as {lease}"
        assert (
            playing
            >> received(name)
            << dispatched(name, "studio", lease)
            << granted(name, "studio", lease)
            >> failed(name, "studio", lease)
            << like(CircuitOpened, open_s=open_s)
            >> after(open_s)
            >> TimerFired()
            << CircuitHalfOpened(node_id=STUDIO, model=MODEL)
        )


def test_a_trial_that_its_client_left_is_repeated() -> None:
    playing = half_open()
    playing.given(received("r1"), cancelled("r1", "studio", "1.7"))
    assert (
        playing
        >> received("r2")
        << dispatched("r2", "studio", "1.8")
        << granted("r2", "studio", "1.8")
    )


def test_a_refused_connection_degrades_the_node_at_once() -> None:
    assert (
        book(*node("studio", slots=1), *node("mini", slots=1, resident=()), received("r1"))
        >> attempt_failed("r1", "studio", "1.1", phase="connect", error="refused")
        << degraded("refused a connection")
        << dispatched("r1", "mini", "1.2", attempt=2)
        << granted("r1", "mini", "1.2", 2, score=46.0)
    )


def back_online(*before: Event) -> Playbook:
    playing = after_failures(3)
    playing.given(*before, probed("studio", MODEL, resident=(MODEL,)))
    assert playing.state.nodes[STUDIO].health == "healthy"
    return playing


@pytest.mark.parametrize(
    ("before", "circuits"),
    [((unreachable("studio"),), [MODEL]), ((unreachable("studio"), unreachable("studio")), [])],
    ids=["degraded", "offline"],
)
def test_only_a_node_that_was_offline_starts_afresh(
    before: tuple[Event, ...], circuits: list[str]
) -> None:
    assert list(back_online(*before).state.nodes[STUDIO].circuits) == circuits


def test_a_failure_on_a_forgotten_node_blames_nobody() -> None:
    playing = book(*node("studio", slots=1), received("r1"), settings())
    playing.given(attempt_failed("r1", "studio", "1.1"))
    assert playing.state.nodes == {}


def test_a_model_spelled_in_two_cases_is_one_model() -> None:
    """As the first node spells it: Ollama's names ignore case, and `latest` need not be said."""
    both = book(
        *node("ada", "Qwen:Q4_K_M", "phi:latest", slots=1),
        *node("bob", "qwen:q4_k_m", "phi", slots=1),
    )
    bob = both.state.nodes[nid("bob")]
    assert list(bob.models) == list(bob.resident) == ["Qwen:Q4_K_M", "phi:latest"]
    again = probed("bob", "qwen:q4_k_m", "phi", resident=("phi", "QWEN:q4_k_m"))
    assert both >> again << NOT_RECORDED
    both.given(received("r1", "Qwen:Q4_K_M"), received("r2", "Qwen:Q4_K_M"))
    assert {each.node_id for each in both.state.requests.values()} == {"ada", "bob"}


def test_an_agent_that_leaves_details_out_does_not_take_them_back() -> None:
    there = book(heartbeat("studio", MODEL))
    (known,) = there.state.nodes[STUDIO].models.values()
    told = replace(known, digest="925b2caf", family="llama")
    there.given(heartbeat("studio", models=(told,), resident=in_memory(MODEL)))
    assert there >> heartbeat("studio", MODEL) << NOT_RECORDED
    assert there.state.nodes[STUDIO].models == {MODEL: told}
