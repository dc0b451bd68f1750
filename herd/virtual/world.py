"""The world: a script is played to a herd and its machines."""

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from itertools import count

import msgspec

from actors.core.placement import Policy
from actors.core.policies import place
from actors.core.relevance import matters
from actors.core.state import US, State
from actors.core.step import step
from actors.core.waking import wake_s
from actors.run_queue import run
from events import (
    CONTROL,
    ControlStarted,
    Event,
    FrontConnected,
    HeartbeatReceived,
    LoadPlanned,
    NodeId,
    NodeProbed,
    NodeSlept,
    Recorded,
    RecoveryEnded,
    RequestDispatched,
    Source,
    TimerFired,
    WakePlanned,
)
from herd.simulator.physics import Machine
from herd.virtual.agenda import Agenda
from herd.virtual.front import VirtualFront
from herd.virtual.node import VirtualNode
from herd.virtual.script import Happening, Line, Outcome

FRONT = Source("f1-world0")
TICK_US = US // 4
"""Between two looks at what is due, as in the engine."""


class World:
    """One herd and its machines, from an instant on."""

    def __init__(
        self,
        machines: Mapping[NodeId, Machine],
        *,
        start_us: int,
        state: State | None = None,
        policy: Policy = place,
        observe: Callable[[Recorded], None] = lambda _record: None,
    ) -> None:
        """Begin with a state, or with none; `observe` is told each record.

        What the state has in flight or in a queue is interrupted, as at a restart of control. The
        machines' own clocks are at 0 when the world begins.
        """
        self.state = State() if state is None else state
        self._agenda = Agenda(start_us)
        self._observe = observe
        self.unwakeable: Collection[NodeId] = ()
        """Nodes that sleep on, whatever packets are sent: their power is cut."""
        self._n = count(self._last_n() + 1)
        self._nodes: dict[NodeId, VirtualNode] = {}
        self._beats: dict[NodeId, HeartbeatReceived] = {}
        """The last word of each agent: what it says again when its machine was woken."""
        self._front = VirtualFront(self._nodes, self._agenda, tell=partial(self._tell, src=FRONT))
        for node_id, machine in machines.items():
            self._nodes[node_id] = VirtualNode(
                node_id, machine, self._agenda, tell=self._tell, hear=self._front.output
            )
        self._deliver = partial(step, self.state, policy=policy)
        self._ticking = False
        self._playing = False
        """The script is not at its end: time goes on without clients, if herd may plan."""
        self._tell(ControlStarted(epoch=self.state.epoch + 1, version="virtual"))
        self._tell(FrontConnected(front=1), src=FRONT)
        self._tell(RecoveryEnded(fronts=1))

    @property
    def outcomes(self) -> list[Outcome]:
        """What became of the requests that have ended."""
        return self._front.outcomes

    def run(
        self,
        script: Iterable[Line],
        *,
        settle_s: float = 3600.0,
        progress: Callable[[int], None] = lambda _now_us: None,
    ) -> None:
        """Play a script, and go on until every client has left, for so long at most."""
        agenda = self._agenda
        self._playing = True
        for line in script:
            agenda.until(line.at_us)
            progress(agenda.now_us)
            if isinstance(line, Happening):
                self._happen(line.fact)
            else:
                self._front.receive(line)
                self._keep_time()
        self._playing = False
        end_us = agenda.now_us + int(settle_s * US)
        while self._front.busy and (due_us := agenda.next_us()) is not None and due_us <= end_us:
            agenda.until(due_us)

    def _last_n(self) -> int:
        front = self.state.fronts.get(FRONT)
        return 0 if front is None else front.last_n

    def _tell(self, fact: Event, src: Source = CONTROL) -> None:
        """Let the core hear a fact, and do what follows."""
        now_us = self._agenda.now_us
        if not matters(self.state, fact, now_us):
            return
        n = 0 if src == CONTROL else next(self._n)
        outcome = run(self.state, self._deliver, fact, now_us, (src, n))
        for record in outcome.records:
            if isinstance(record.event, RequestDispatched):
                self._dispatched(record.event)
            elif isinstance(record.event, LoadPlanned):
                self._planned(record.event)
            elif isinstance(record.event, NodeSlept | WakePlanned):
                self._sleeps(record.event)
            self._observe(record)
        for send in outcome.sends:
            self._front.hear(send.message)

    def _dispatched(self, event: RequestDispatched) -> None:
        if not event.cold:
            self._front.cold.discard(event.request_id)
            return
        self._front.cold.add(event.request_id)
        if (node := self._nodes.get(event.node_id)) is not None:
            node.expect_load()

    def _planned(self, event: LoadPlanned) -> None:
        if (node := self._nodes.get(event.node_id)) is not None:
            node.plan(event)

    def _sleeps(self, event: NodeSlept | WakePlanned) -> None:
        """Let a node sleep, or wake in the time that this is said to take."""
        node = self._nodes.get(event.node_id)
        if node is None:
            return
        if isinstance(event, NodeSlept):
            if not node.down:
                node.fail()
                self._front.broke(node)
        elif event.attempt == 1 and event.node_id not in self.unwakeable:
            takes_us = int(wake_s(self.state.nodes[event.node_id]) * US)
            self._agenda.at(self._agenda.now_us + takes_us, partial(self._awake, node))

    def _awake(self, node: VirtualNode) -> None:
        beat = self._beats.get(node.node_id)
        if node.down and beat is not None:
            node.recover()
            self._tell(_with_memory(beat, node))

    def _happen(self, fact: Event) -> None:
        """Play a fact of the fleet: what it says of a node's memory is what is there now."""
        if isinstance(fact, NodeProbed | HeartbeatReceived) and fact.node_id in self._nodes:
            node = self._nodes[fact.node_id]
            if isinstance(fact, HeartbeatReceived):
                self._beats[fact.node_id] = fact
            if fact.reachable and node.down:
                node.recover()
            elif not fact.reachable and not node.down:
                node.fail()
                self._front.broke(node)
            if fact.resident is not None:
                fact = _with_memory(fact, node)
        self._tell(fact)

    def _keep_time(self) -> None:
        if not self._ticking:
            self._ticking = True
            self._agenda.at(self._agenda.now_us + TICK_US, partial(self._tick, 1))

    def _tick(self, number: int) -> None:
        planning = self._playing and self.state.settings.planner
        self._ticking = self._front.busy or planning
        if self._ticking:
            self._tell(TimerFired())
            if number % (US // TICK_US) == 0:
                self._front.report_streams()
            self._agenda.at(self._agenda.now_us + TICK_US, partial(self._tick, number + 1))


def _with_memory(fact: NodeProbed | HeartbeatReceived, node: VirtualNode) -> Event:
    return msgspec.structs.replace(fact, resident=node.resident())
