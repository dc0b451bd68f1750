"""The story of the known log: a seeded fleet with everything in it, and times that are no round
numbers.

Nodes serve so many at once and queue the rest, so that slots are learned from what really
happens. Requests come in bursts; attempts fail, answers break off, clients leave; nodes are
drained, lost and found; fronts die; control starts again, each time with the next policy.
"""

import heapq
import random
from collections.abc import Callable

from actors.core.policies import POLICIES
from actors.run_queue import fold_envelope
from events import (
    ConfigurationLoaded,
    ControlStarted,
    DrainRequested,
    NodeId,
    NodeSilent,
    Recorded,
    RecoveryEnded,
    RequestId,
    SettingsChanged,
    Source,
    StreamsProgressed,
    StreamStarted,
    TimerFired,
)
from herd.control.restore import head_of_segment
from tests.actors.cast import (
    MODEL,
    OTHER_MODEL,
    completed,
    configured,
    heartbeat,
    probed,
    unreachable,
    url,
)
from tests.actors.fleet import Fleet, Held

SEED = 20_260_131
MODELS = (MODEL, MODEL, OTHER_MODEL, "smollm:135m")
CAPACITY = {"ada": 6, "bob": 1, "cyd": 8, "dee": 16, "eve": 2}
"""What each node serves at once."""
TOLD = {"ada": 0, "bob": 0, "cyd": 3, "dee": 0, "eve": 1}
"""What it says of that; 0: herd has to learn it."""
AWKWARD = (0.1 + 0.2, 1 / 3, 1e-7, 2.0**-40, 1.1 * 1.1, 4.35 * 100, 5e-324, 123456.789e-3)
"""Seconds whose digits, sums or products depend on every bit."""
MORE = {
    "rules": 1,
    "length_behind": 5.0,
    "lengths_by_app": True,
    "lengths_by_size": True,
    "lengths_by_last": True,
    "streams_as_asked": True,
    "running_by_length": True,
    "foresight": True,
    "patience": True,
}
"""Settings of every third epoch, in which `soonest` has its turn."""
STEPS = 2_400
US = 1_000_000


class Story(Fleet):
    """A fleet whose nodes take their time."""

    def __init__(self, seed: int = SEED) -> None:
        """Begin with nothing."""
        self.chance = random.Random(seed)  # noqa: S311 (the same story each time)
        self.ends: list[tuple[int, int, Source, Held]] = []
        self.running: set[str] = set()
        self.sick = ""
        """A node that fails most of its requests."""
        super().__init__()

    def tell(self, steps: int = STEPS) -> list[Recorded]:
        """Let so many requests come, and everything else happen meanwhile."""
        self.nodes_answer()
        for number in range(1, steps + 1):
            self.pass_time(self.chance.expovariate(1.0) * (0.004 if number % 200 < 120 else 0.06))
            src = self.chance.choice(list(self.fronts))
            self.receive(src, self.chance.choice(MODELS), **self.asked())
            if number % 23 == 0:
                self.chance.choice(self.troubles())()
            if number % 300 == 0:
                self.restart(
                    lost_grants=self.chance.randrange(3),
                    late=(list(self.fronts)[1],) if number % 600 else (),
                )
                self.nodes_answer()
        self.come_to_rest()
        return self.playing.log

    # Time

    def pass_time(self, seconds: float) -> None:
        """Let what ends in this time end, each at its own instant."""
        until_us = self.playing.now_us + max(1, round(seconds * US))
        self.note_grants()
        while self.ends and self.ends[0][0] <= until_us:
            at_us, _, src, held = heapq.heappop(self.ends)
            self.playing.now_us = max(at_us, self.playing.now_us)
            if held.grant is not None and held.request_id in self.fronts.get(src, {}):
                self.finish(src, held)
            self.note_grants()
        self.playing.now_us = max(until_us, self.playing.now_us)

    def note_grants(self) -> None:
        """Let each new grant take its time at its node."""
        for src, held in self.held(in_flight=True):
            grant = held.grant
            if grant is None or grant.lease in self.running:
                continue
            self.running.add(grant.lease)
            node = self.state.nodes.get(grant.node_id)
            crowd = 1 if node is None else node.in_flight
            slow = max(1.0, crowd / CAPACITY[grant.node_id])
            service_s = 0.02 * slow * (0.9 + 0.2 * self.chance.random())
            if grant.probing or self.chance.random() < 0.1:
                ttft_s = service_s / 3
                told = StreamStarted(
                    request_id=held.request_id,
                    model=held.model,
                    node_id=grant.node_id,
                    lease=grant.lease,
                    ttft_s=ttft_s,
                )
                self.play(told, src)
            at_us = self.playing.now_us + round(service_s * US)
            heapq.heappush(self.ends, (at_us, len(self.running), src, held))

    # Requests

    def asked(self) -> dict[str, object]:
        """Return what one client asks for beside the model."""
        return {
            "route": self.chance.choice(("/api/chat", "/api/generate", "/v1/chat/completions")),
            "deadline_s": self.chance.choice((0.0, 0.0, 0.0, 0.0, 1 / 3)),
            "waited_s": self.chance.choice((0.0, 0.0, 0.0, *AWKWARD)),
            "body_bytes": self.chance.randrange(1 << 20),
        }

    def finish(self, src: Source, held: Held) -> None:
        """End a request in one of the ways there are."""
        drawn = self.chance.random()
        if held.grant is not None and held.grant.node_id == self.sick and drawn < 0.8:
            self.fail_attempt(src, held)
        elif drawn < 0.02:
            self.break_off(src, held, self.chance.choice(("node", "client", "herd")))
        elif drawn < 0.05:
            self.fail_attempt(src, held, self.chance.choice(("connect", "first_byte")))
        elif drawn < 0.08:
            self.leave(src, held)
        else:
            self.complete(src, held)

    def complete(self, src: Source, held: Held) -> None:
        """Answer in full, with times to the last bit."""
        grant = held.grant
        self.end(src, held)
        if grant is not None:
            took_us = self.playing.now_us - self.state.requests[held.request_id].dispatched_us
            service_s = took_us / US + self.chance.choice((0.0, 0.0, 0.0, *AWKWARD))
            fact = completed(
                held.request_id,
                grant.node_id,
                grant.lease,
                held.model,
                service_s=service_s,
                ttft_s=service_s / 3,
                load_s=self.chance.choice((0.0, 0.0, 0.0, 0.0, *AWKWARD)),
                completion_tokens=self.chance.randrange(1, 400),
                prompt_tokens=self.chance.randrange(1, 4000),
                usage_source=self.chance.choice(("reported", "reported", "counted", "none")),
            )
            self.play(fact, src)

    # Troubles

    def troubles(self) -> list[Callable[[], None]]:
        """Return what may happen now."""
        name = self.chance.choice(list(CAPACITY))
        node_id, chance = NodeId(name), self.chance
        ada = Source("f1-a") if Source("f1-a") in self.fronts else next(iter(self.fronts))
        drain = DrainRequested(node_id=node_id, draining=chance.random() < 0.4, by="ada")
        key, value = chance.choice(
            (("max_retries", chance.randrange(4)), ("policy", self.policy()))
        )
        names = [held.request_id for _, held in self.held(in_flight=True)]
        told = tuple((RequestId(each), chance.randrange(50)) for each in names)
        return [
            lambda: self.play(drain, ada),
            lambda: self.play(unreachable(name)),
            lambda: self.answer(name),
            lambda: self.play(heartbeat(f"agent-{name}", draining=chance.random() < 0.5), ada),
            lambda: self.play(NodeSilent(node_id=NodeId(f"agent-{name}"), silent_s=16.1)),
            lambda: self.play(SettingsChanged(key=key, old=0, new=value, by="ada")),
            lambda: self.play(StreamsProgressed(progress=told), ada),
            lambda: self.lose_front(list(self.fronts)[chance.randrange(2)]),
            lambda: self.wait(chance.choice((0.7, 1.3, 31.0))),
            lambda: setattr(self, "sick", "" if self.sick else name),
            self.nodes_answer,
        ]

    def nodes_answer(self) -> None:
        """Let all nodes of the command line be named, and heard of."""
        for name in CAPACITY:
            self.play(configured(name, TOLD[name]))
            self.answer(name)

    def answer(self, name: str) -> None:
        """Let a node say what it has, some of it in memory."""
        count = self.chance.randrange(1, 4)
        has = [MODEL, *self.chance.sample((OTHER_MODEL, "smollm:135m"), count - 1)]
        resident = tuple(model for model in has if self.chance.random() < 0.7)
        self.play(probed(name, *has, resident=resident))

    def policy(self) -> str:
        """Return one of the policies."""
        return self.chance.choice(sorted(POLICIES))

    def restart(
        self, *, joining: tuple[str, ...] = (), late: tuple[Source, ...] = (), lost_grants: int = 0
    ) -> None:
        """Begin a segment and an epoch, with the next policy and other settings."""
        self.running.clear()
        self.ends.clear()
        if self.epoch:
            head = head_of_segment(self.state, self.playing.now_us)
            self.playing.log.append(head)
            fold_envelope(self.state, head)
        for _, held in self.held(in_flight=True)[:lost_grants]:
            held.grant = None
        self.epoch += 1
        policies = sorted(POLICIES)
        self.play(ControlStarted(epoch=self.epoch, version="test"))
        self.play(
            ConfigurationLoaded(
                settings={
                    "fair_shares": True,
                    "predictions": True,
                    "max_queue": 24,
                    "max_queue_total": 40,
                    "queue_timeout_s": 0.1 + 0.2 * self.epoch,
                    "policy": policies[(self.epoch - 1) % len(policies)],
                    **(MORE if self.epoch % 3 == 0 else {}),
                    "nodes": " ".join(url(name) for name in CAPACITY),
                }
            )
        )
        for src in [*self.fronts, *map(Source, joining)]:
            if src not in late:
                self.connect(src)
        self.play(RecoveryEnded(fronts=len(self.fronts)))
        for src in late:
            self.connect(src)
        self.play(TimerFired())
