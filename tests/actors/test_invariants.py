"""What is always true of the core, whatever happens in whatever order.

`Fleet` plays the rest of herd and checks the state after every step, and each dispatch before it
takes place; at the end everything comes to rest: every request has ended, no client is left
hanging, the fold of the log is the live state byte for byte, and replay finds no divergence.
"""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from actors.core.step import Address
from events import (
    ConfigurationLoaded,
    DrainRequested,
    Limits,
    NodeId,
    NodeSilent,
    Recorded,
    RequestId,
    Source,
    StreamsProgressed,
    WakeRequested,
)
from tests.actors.cast import (
    MODEL,
    OTHER_MODEL,
    attempt_failed,
    configured,
    heartbeat,
    probed,
    unreachable,
    url,
)
from tests.actors.fleet import Fleet, Held
from tests.actors.sleepers import MACS

NODES = st.sampled_from(["ada", "bob", "cyd"])
FRONT = st.integers(0, 1)
MODELS = st.sampled_from([MODEL, MODEL, OTHER_MODEL, "nobody-has:this", "tiny:latest"])
ON_NODES = st.sets(st.sampled_from([MODEL, OTHER_MODEL]))
PICK = st.integers(0, 1_000)
SECONDS = st.sampled_from([0.01, 1.0, 12.0, 31.0, 250.0])


class AnythingGoes(RuleBasedStateMachine):
    """Random fleets, requests, failures, deaths and restarts."""

    def __init__(self) -> None:
        super().__init__()
        self.fleet = Fleet()

    def front(self, number: int) -> Source:
        return list(self.fleet.fronts)[number]

    def pick(self, number: int, *, in_flight: bool) -> tuple[Source, Held]:
        held = self.fleet.held(in_flight=in_flight)
        return held[number % len(held)]

    def running(self) -> bool:
        return bool(self.fleet.held(in_flight=True))

    def waiting(self) -> bool:
        return bool(self.fleet.held(in_flight=False))

    # Nodes

    @rule(name=NODES, slots=st.integers(0, 3), models=ON_NODES, resident=ON_NODES)
    def a_named_node_answers(
        self, name: str, slots: int, models: set[str], resident: set[str]
    ) -> None:
        self.fleet.play(configured(name, slots))
        self.fleet.play(probed(name, *sorted(models), resident=tuple(sorted(resident))))

    @rule(
        name=NODES,
        models=ON_NODES,
        draining=st.booleans(),
        reachable=st.booleans(),
        wakes=st.booleans(),
    )
    def an_agent_speaks(
        self, name: str, models: set[str], *, draining: bool, reachable: bool, wakes: bool
    ) -> None:
        limits = Limits(macs=MACS if wakes else ())
        told = heartbeat(
            name, *sorted(models), draining=draining, reachable=reachable, limits=limits
        )
        self.fleet.play(told, self.front(0))

    @rule(name=NODES)
    def an_operator_wakes(self, name: str) -> None:
        self.fleet.play(WakeRequested(node_id=NodeId(name), by="ada"), self.front(1))

    @rule(name=NODES, silent_s=st.sampled_from([5.0, 16.0, 31.0]))
    def an_agent_is_silent(self, name: str, silent_s: float) -> None:
        self.fleet.play(NodeSilent(node_id=NodeId(name), silent_s=silent_s))

    @rule(name=NODES)
    def a_node_does_not_answer(self, name: str) -> None:
        self.fleet.play(unreachable(name))

    @rule(name=NODES, draining=st.booleans())
    def an_operator_drains(self, name: str, *, draining: bool) -> None:
        fact = DrainRequested(node_id=NodeId(name), draining=draining, by="ada")
        self.fleet.play(fact, self.front(1))

    @rule(kept=st.sets(NODES))
    def nodes_are_named_no_more(self, kept: set[str]) -> None:
        urls = " ".join(url(name) for name in sorted(kept))
        self.fleet.play(ConfigurationLoaded(settings={"nodes": urls}))

    # Clients

    @rule(
        number=FRONT,
        model=MODELS,
        deadline_s=st.sampled_from([0.0, 0.0, 5.0]),
        waited_s=st.sampled_from([0.0, 0.0, 20.0]),
        route=st.sampled_from(["/api/chat", "/v1/chat/completions"]),
        fallbacks=st.sampled_from([(), (), (OTHER_MODEL,), ("nor:this", MODEL, OTHER_MODEL)]),
    )
    def a_request_comes(  # noqa: PLR0917 (one a thing that is drawn)
        self,
        number: int,
        model: str,
        deadline_s: float,
        waited_s: float,
        route: str,
        fallbacks: tuple[str, ...],
    ) -> None:
        told = {"deadline_s": deadline_s, "waited_s": waited_s, "route": route}
        self.fleet.receive(self.front(number), model, **told, fallbacks=fallbacks, needs=())

    @precondition(running)
    @rule(number=PICK)
    def an_answer_is_whole(self, number: int) -> None:
        self.fleet.complete(*self.pick(number, in_flight=True))

    @precondition(running)
    @rule(number=PICK, fault=st.sampled_from(["node", "client", "herd"]))
    def an_answer_breaks_off(self, number: int, fault: str) -> None:
        self.fleet.break_off(*self.pick(number, in_flight=True), fault)

    @precondition(running)
    @rule(number=PICK, phase=st.sampled_from(["connect", "first_byte"]))
    def an_attempt_fails(self, number: int, phase: str) -> None:
        self.fleet.fail_attempt(*self.pick(number, in_flight=True), phase)

    @precondition(running)
    @rule(number=PICK)
    def word_of_an_old_lease_comes_late(self, number: int) -> None:
        src, held = self.pick(number, in_flight=True)
        self.fleet.play(attempt_failed(held.request_id, "ada", "0.1", held.model), src)

    @precondition(running)
    @rule(tokens=st.integers(0, 50))
    def streams_go_on(self, tokens: int) -> None:
        names = [held.request_id for _, held in self.fleet.held(in_flight=True)]
        told = tuple((RequestId(name), tokens) for name in names)
        self.fleet.play(StreamsProgressed(progress=told), self.front(0))

    @precondition(running)
    @rule(number=PICK)
    def a_client_leaves_its_stream(self, number: int) -> None:
        self.fleet.leave(*self.pick(number, in_flight=True))

    @precondition(waiting)
    @rule(number=PICK)
    def a_client_leaves_its_line(self, number: int) -> None:
        self.fleet.leave(*self.pick(number, in_flight=False))

    # Processes and time

    @rule(number=FRONT)
    def a_front_dies(self, number: int) -> None:
        self.fleet.lose_front(self.front(number))

    @rule(lost_grants=st.integers(0, 2), late=st.booleans())
    def control_restarts(self, lost_grants: int, *, late: bool) -> None:
        self.fleet.playing.check()
        self.fleet.restart(lost_grants=lost_grants, late=(self.front(1),) if late else ())

    @rule(seconds=SECONDS)
    def time_passes(self, seconds: float) -> None:
        self.fleet.wait(seconds)

    def teardown(self) -> None:
        self.fleet.come_to_rest()
        assert self.fleet.failures() == []


AnythingGoes.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, derandomize=True
)
TestAnythingGoes = AnythingGoes.TestCase


# A failure at every place


def story(fleet: Fleet) -> None:
    """Let a bit of everything happen."""
    for name, slots in (("ada", 1), ("bob", 2)):
        fleet.play(configured(name, slots))
        fleet.play(probed(name, MODEL, resident=(MODEL,) if name == "ada" else ()))
    first, second = list(fleet.fronts)
    for src in (first, second, first, second, first):
        fleet.receive(src, MODEL)
    fleet.receive(second, OTHER_MODEL)
    fleet.receive(first, "nobody-has:this", fallbacks=(OTHER_MODEL, MODEL))
    act(fleet, "fail_attempt", 1)
    act(fleet, "complete", 0)
    act(fleet, "fail_attempt", 0)
    fleet.play(heartbeat("cyd", OTHER_MODEL))
    act(fleet, "break_off", 0)
    act(fleet, "leave", 0)
    fleet.receive(first, MODEL, deadline_s=5.0)
    fleet.receive(first, MODEL, deadline_s=5.0)
    fleet.wait(11.0)
    fleet.play(DrainRequested(node_id=NodeId("ada"), by="ada"))
    fleet.receive(second, MODEL)
    fleet.receive(second, MODEL)
    fleet.restart(lost_grants=1)
    fleet.play(DrainRequested(node_id=NodeId("ada"), draining=False, by="ada"))
    fleet.play(unreachable("bob"))
    fleet.lose_front(first)
    fleet.receive(second, MODEL)
    fleet.wait(650.0)


def act(fleet: Fleet, what: str, number: int) -> None:
    """Let something happen to a request in flight, if there is one."""
    held = fleet.held(in_flight=True)
    if held:
        getattr(fleet, what)(*held[number % len(held)])


def places() -> list[tuple[int, Address]]:
    fleet = Fleet()
    story(fleet)
    fleet.come_to_rest()
    assert not fleet.failures()
    return fleet.playing.delivered


@pytest.mark.parametrize(("seq", "address"), places(), ids=str)
def test_an_actor_may_fail_at_any_event(seq: int, address: Address) -> None:
    """Its request is refused or ended, everybody else goes on, and replay tells the same."""

    def fault(actor: Address, record: Recorded) -> None:
        if (record.seq, actor) == (seq, address):
            raise ZeroDivisionError("by nothing")

    fleet = Fleet(fault)
    story(fleet)
    fleet.come_to_rest()
    assert [failure.failed_seq for failure in fleet.failures()] == [seq]
    fleet.play(configured("dan", 1))
    fleet.play(probed("dan", MODEL, resident=(MODEL,)))
    src = list(fleet.fronts)[-1]
    name = fleet.receive(src, MODEL)
    assert fleet.fronts[src][name].grant is not None, "herd serves on"
