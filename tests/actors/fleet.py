"""The rest of herd, played: fronts with clients, nodes, a clock. It watches the core all the time.

Fronts do what the link contract says: they end each request with one fact, refuse grants for
requests that they no longer have, and say what they carry when control comes back.
"""

from collections import Counter

import msgspec

from actors.core.commands import Cancel, Command, Grant, Refuse
from actors.core.placement import slots_of
from actors.core.state import State
from actors.core.step import Address
from events import (
    ActorFailed,
    CarriedRequest,
    ConfigurationLoaded,
    ControlStarted,
    Event,
    FrontConnected,
    FrontLost,
    NodeId,
    Recorded,
    RecoveryEnded,
    RequestDispatched,
    RequestId,
    RequestReaped,
    Source,
    TimerFired,
)
from tests.actors.cast import attempt_failed, cancelled, completed, failed, received
from tests.playbook import Fault, Playbook, after, by, no_fault

SMALL = ConfigurationLoaded(
    settings={
        "max_queue": 6,
        "max_queue_total": 8,
        "fallback_models": True,
        "vram_fallback": True,
        "context_protection": "strip",
        "model_aliases": "tiny*=llama3.2",
        "wake_on_lan": True,
        "front_timeout_s": 60.0,
        "running_by_length": True,
    }
)


class Held(msgspec.Struct):
    """A request at its front."""

    request_id: RequestId
    model: str
    grant: Grant | None = None
    """None while it waits."""


class Watched(Playbook):
    """A playbook that looks at each dispatch before it takes place."""

    def __init__(self) -> None:
        self.wrong: list[str] = []
        self.delivered: list[tuple[int, Address]] = []
        super().__init__()

    def deliver(self, address: Address, record: Recorded) -> list[Command]:
        self.delivered.append((record.seq, address))
        if isinstance(record.event, RequestDispatched) and address[0] == "scheduler":
            self.wrong += impossible(self.state, record.event)
        return super().deliver(address, record)


def impossible(state: State, event: RequestDispatched) -> list[str]:
    """Return why a dispatch must not be."""
    node = state.nodes[event.node_id]
    slots = slots_of(node, event.model)
    reasons = {
        "the node is not online": node.health not in {"healthy", "degraded"},
        "the node is draining": bool(node.drained_by),
        "the node does not have the model": not node.has(event.model),
        "no slot is free": slots.in_flight >= slots.limit,
        "the request has a node already": bool(state.requests[event.request_id].lease),
        "the node failed this request": event.node_id in state.requests[event.request_id].excluded,
    }
    return [f"{event}: {reason}" for reason, holds in reasons.items() if holds]


def check_state(state: State) -> None:
    """Raise where the parts of a state contradict each other."""
    leased = [request for request in state.requests.values() if request.lease]
    waiting = [name for line in state.lines.values() for name in line.waiting]
    assert state.in_flight == len(leased)
    assert state.waiting == len(waiting) == len(set(waiting))
    assert set(waiting) == {name for name, each in state.requests.items() if not each.lease}
    assert len({request.lease for request in leased}) == len(leased), "a lease is one request's"
    on_node = Counter(str(request.node_id) for request in leased)
    on_slots = Counter((str(request.node_id), request.model) for request in leased)
    for node in state.nodes.values():
        assert node.in_flight == on_node[node.node_id]
        models = {model for at, model in on_slots if at == node.node_id}
        for model in {*node.slots, *models}:
            slots = node.slots[model]
            assert slots.in_flight == on_slots[node.node_id, model]
            at = node.node_id, model
            counted = [it.portion for it in leased if it.portion and (it.node_id, it.model) == at]
            assert sorted(slots.portions) == sorted(counted)
    for line in state.lines.values():
        assert list(line.waiting.values()) == sorted(line.waiting.values()), "by admission"
    assert state.pending == 0


class Fleet:
    """Fronts, nodes and time around one core."""

    def __init__(self, fault: Fault = no_fault) -> None:
        self.playing = Watched()
        self.playing.fault = fault
        self.fronts: dict[Source, dict[RequestId, Held]] = {}
        self.epoch = 0
        self.made = 0
        self.restart(joining=("f1-a", "f2-a"))

    @property
    def state(self) -> State:
        return self.playing.state

    def play(self, event: Event, src: Source | None = None) -> None:
        """Let something happen, let fronts hear of it, and look whether all is well."""
        self.playing.given(event if src is None else by(src, event))
        check_state(self.state)
        assert not self.playing.wrong, self.playing.wrong
        sent, self.playing.sent = self.playing.sent, []
        for send in sent:
            if send.to in self.fronts:
                self._hear(send.to, send.message)

    def _hear(self, src: Source, message: Grant | Refuse | Cancel) -> None:
        held = self.fronts[src].get(message.request_id)
        match message:
            case Grant(request_id=name, node_id=node_id, lease=lease) if held is None:
                self.play(cancelled(name, node_id, lease), src)
            case Grant() if held is not None:
                held.grant = message
                held.model = message.model or held.model
            case Cancel(reason="stalled") if held is not None:
                self.fail_attempt(src, held)
            case Cancel(reason="stale", lease=lease, idle_s=idle_s) if held is not None:
                self.end(src, held)
                node_id = NodeId("") if held.grant is None else held.grant.node_id
                self.play(
                    RequestReaped(
                        request_id=message.request_id,
                        model=held.model,
                        node_id=node_id,
                        lease=lease,
                        idle_s=idle_s,
                    ),
                    src,
                )
            case _:
                self.fronts[src].pop(message.request_id, None)

    # Clients

    def receive(self, src: Source, model: str, **fields: object) -> RequestId:
        self.made += 1
        name = RequestId(f"r{self.made}")
        self.fronts[src][name] = Held(name, model)
        self.play(msgspec.structs.replace(received(name, model), **fields), src)
        return name

    def held(self, *, in_flight: bool) -> list[tuple[Source, Held]]:
        """Return the requests of all fronts that are in flight, or those that wait."""
        return [
            (src, held)
            for src, mine in self.fronts.items()
            for held in mine.values()
            if (held.grant is not None) == in_flight
        ]

    def complete(self, src: Source, held: Held) -> None:
        self.end(src, held)
        if (grant := held.grant) is not None:
            self.play(completed(held.request_id, grant.node_id, grant.lease, held.model), src)

    def break_off(self, src: Source, held: Held, fault: str = "node") -> None:
        self.end(src, held)
        if (grant := held.grant) is not None:
            fact = failed(held.request_id, grant.node_id, grant.lease, held.model, fault=fault)
            self.play(fact, src)

    def fail_attempt(self, src: Source, held: Held, phase: str = "first_byte") -> None:
        """Fail before the first byte; the front waits for another grant."""
        if (grant := held.grant) is not None:
            held.grant = None
            fact = attempt_failed(
                held.request_id, grant.node_id, grant.lease, held.model, phase=phase
            )
            self.play(fact, src)

    def leave(self, src: Source, held: Held) -> None:
        self.end(src, held)
        grant = held.grant
        if grant is None:
            self.play(cancelled(held.request_id, model=held.model), src)
        else:
            self.play(cancelled(held.request_id, grant.node_id, grant.lease, held.model), src)

    def end(self, src: Source, held: Held) -> None:
        del self.fronts[src][held.request_id]

    # Processes

    def lose_front(self, src: Source) -> None:
        """Kill a front; another takes its place under a new name."""
        del self.fronts[src]
        self.play(FrontLost(front_src=src))
        self.connect(Source(f"{src}a"))

    def connect(self, src: Source) -> None:
        mine = self.fronts.setdefault(src, {})
        waiting = tuple(name for name, held in mine.items() if held.grant is None)
        carried = tuple(
            CarriedRequest(name, held.model, held.grant.node_id, held.grant.lease)
            for name, held in mine.items()
            if held.grant is not None
        )
        told = FrontConnected(front=int(src[1]), waiting=waiting, in_flight=carried)
        self.play(told, src)
        if (failures := self.failures()) and self.event(failures[-1].failed_seq) == told:
            self.play(FrontLost(front_src=src))  # control cuts its link, and it tries again
            self.play(told, src)

    def restart(
        self, *, joining: tuple[str, ...] = (), late: tuple[Source, ...] = (), lost_grants: int = 0
    ) -> None:
        """Begin a new epoch of control on the same log; grants on their way may be lost."""
        for _, held in self.held(in_flight=True)[:lost_grants]:
            held.grant = None
        self.epoch += 1
        self.play(ControlStarted(epoch=self.epoch, version="test"))
        self.play(SMALL)
        for src in [*self.fronts, *map(Source, joining)]:
            if src not in late:
                self.connect(src)
        self.play(RecoveryEnded(fronts=len(self.fronts)))
        for src in late:
            self.connect(src)

    def wait(self, seconds: float) -> None:
        self.playing.given(after(seconds))
        self.play(TimerFired())

    # The end

    def come_to_rest(self) -> None:
        """Finish everything; then nobody waits, nothing runs, and the log tells the same."""
        if self.state.recovering:  # control says it again until it is heard
            self.play(RecoveryEnded(fronts=len(self.fronts)))
        for _ in range(40):
            for src, held in self.held(in_flight=True):
                if held.request_id in self.fronts[src] and held.grant is not None:
                    self.complete(src, held)
        for _ in range(3):
            self.wait(700.0)
        assert self.state.requests == {}
        assert {src: list(mine) for src, mine in self.fronts.items() if mine} == {}, "left hanging"
        self.playing.check()

    def event(self, seq: int) -> Event:
        return self.playing.log[seq - 1].event

    def failures(self) -> list[ActorFailed]:
        events = [record.event for record in self.playing.log]
        return [event for event in events if isinstance(event, ActorFailed)]
