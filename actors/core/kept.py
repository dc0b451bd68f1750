"""What is kept from one question of a policy to the next: no state, only what follows from it.

Of each node, what follows from the node's own state (`standing`), until a fold touches the node; of
each model (`facts`), what is asked of it, until an answer to it ends, how often, until anything is
folded or time has passed, and its nodes, as far as they were touched. It is made anew where it is
missing, so it decides nothing: it is neither stored nor compared, a copy of the state begins
without any, and none is kept where nobody folds (`on`).
"""

from math import fsum
from typing import TYPE_CHECKING

from events import NodeId

if TYPE_CHECKING:
    from actors.core.learning import Demand
    from actors.core.slots import Slots
    from actors.core.state import Node

CLOSED, BARRED, COLD, FREE, FULL = range(5)
"""What a model on a node is to who asks for it: no request may go there; none can now, and waiting
there would not help; it would have to be loaded; a slot is free; it runs, and no slot is free."""

ALWAYS_US = 1 << 62
MOST_TOUCHES = 4096
"""After so many all is made anew, so that what is kept does not grow."""


class Known:
    """One node."""

    __slots__ = (
        "busy", "coming", "ends_s", "exhausted", "fits", "idle", "loads_s", "memory_bytes", "most",
        "node", "paces", "runs", "sizes_bytes", "spared", "stale", "taken", "there", "used_bytes",
        "working",
    )  # fmt: skip

    def __init__(self, node: "Node") -> None:
        """Nothing is known yet."""
        self.node = node
        self.busy: dict[str, int] = {}
        """How many requests run, by model."""
        self.working = 0
        """How many models work."""
        self.exhausted = False
        self.spared = 0.0
        """The part of the machine that its owner uses himself."""
        self.coming: list[str] = []
        """Models on their way into memory."""
        self.fits = True
        """Whether these fit beside what is there."""
        self.sizes_bytes: dict[str, int] = {}
        self.memory_bytes = 0
        self.there = -1
        """Models in memory or on their way there; -1 until anybody asked."""
        self.most = 0
        self.used_bytes = 0
        self.idle: list[tuple[str, int]] = []
        """Models that can make room, with their sizes, those unused the longest first."""
        self.taken = self.ends_s = 0.0
        """What one more takes from those that run, where lengths do not count; and when the first
        model will be done."""
        self.runs: dict[str, Running] = {}
        """Those that run, by model, as far as their lengths count (`burden`)."""
        self.stale = True
        """Whether anything was learned of what runs, since it was reckoned what one more takes."""
        self.loads_s: dict[str, float] = {}
        self.paces: dict[str, tuple[float, float, int]] = {}
        """Of a model: the times of a token of a prompt and of an answer; how many would work."""


class Running:
    """The requests of one model that run on a node, by their lengths."""

    __slots__ = (
        "alone_s", "inverse", "learned", "least", "longest_s", "most", "portions", "shortest_s",
        "step_s", "token_s", "whole_s",
    )  # fmt: skip

    def __init__(self, portions: list[float], token_s: float, step_s: float) -> None:
        """Take the work of each, in that of a mean one, and the times of a token of each kind."""
        self.learned = -1
        """When, by `Facts.learned` of the model, it was weighed."""
        self.portions = portions
        self.inverse = fsum([1.0 / portion for portion in portions])
        self.least = min(portions)
        self.most = max(portions)
        self.token_s = token_s
        self.step_s = step_s
        self.whole_s = self.longest_s = self.shortest_s = 0.0
        self.alone_s = 1.0

    def weigh(self, facts: "Facts") -> None:
        """Take the time of a mean one, alone on this node and on the best one."""
        prompt, answer = facts.means
        whole_s = self.whole_s = prompt * self.token_s + answer * self.step_s
        self.longest_s = self.most * whole_s
        self.shortest_s = self.least * whole_s
        self.alone_s = facts.alone_s
        self.learned = facts.learned


class Seat:
    """One model on one node."""

    __slots__ = (
        "healthy", "holds", "kind", "known", "last", "leaving", "load_s", "native", "node",
        "slots", "step_s", "token_s", "told", "until_us", "waits", "weighed", "weighed_at",
    )  # fmt: skip

    def __init__(self, known: Known, slots: "Slots") -> None:
        """Nothing is known yet."""
        self.known = known
        self.node = known.node
        self.slots = slots
        self.kind = CLOSED
        self.native = self.healthy = self.holds = self.last = False
        self.told = slots.told
        """When it was looked at: slots change in place."""
        self.waits = False
        """A load of it is under way, as far as one can know."""
        self.until_us = ALWAYS_US
        """The last instant at which all this holds."""
        self.token_s = self.step_s = self.load_s = 0.0
        self.leaving: list[str] = []
        """The models that would have to go."""
        self.weighed = (0.0, 0.0, 0.0)
        """Of a load: the wait in seconds; in stretch, what is missed and what is foreseen."""
        self.weighed_at = -1
        """When it was weighed, by `Kept.instant`."""

    def place(self) -> tuple[int, bool, bool, bool, bool, bool, int]:
        """Return what decides in which lists of its row it is."""
        return self.kind, self.native, self.healthy, self.last, self.holds, self.told, self.until_us


class Row:
    """One model on all nodes, by node id."""

    __slots__ = ("able", "full", "nowhere", "read", "seats", "takers", "until_us", "usable")

    def __init__(self, seats: dict[NodeId, Seat], read: int) -> None:
        """Take its seats, as of the touch of that number."""
        self.seats = seats
        self.read = read
        self.until_us = ALWAYS_US
        self.able = False
        """Whether any request for it may use what follows: all nodes have Ollama's own routes."""
        self.usable: list[Seat] = []
        self.takers: list[Seat] = []
        """Where a request could go now: cold or free."""
        self.full: list[Seat] = []
        self.nowhere = False
        """Whether no node could take a request, whatever request, nor be given one more slot."""


class Facts:
    """One model: what is asked of it, and the nodes that have it in memory."""

    __slots__ = (
        "alone_s", "asked", "first", "first_s", "instant", "learned", "means", "model", "rate",
        "read", "second_s", "sure", "timed", "times_s", "wanted",
    )  # fmt: skip

    def __init__(self, model: str, asked: "Demand", read: int) -> None:
        """Know nothing yet, as of the touch of that number."""
        self.model = model
        self.read = read
        self.instant = -1
        """When it was looked at, by `Kept.instant`."""
        self.learned = -1
        """When, by `Kept.learned` of the model, what is not of the instant was looked at."""
        self.asked = asked
        self.means = (0.0, 0.0)
        """The tokens of a mean prompt, and of a mean answer."""
        self.alone_s = 1.0
        self.sure = False
        """Whether that was learned; else it follows from all nodes."""
        self.rate = self.wanted = 0.0
        """How often it is asked for a second, and how likely soon (`missing`): at the instant."""
        self.timed = -1
        """When, by its `learned`, the times of the nodes were looked at."""
        self.times_s: dict[NodeId, float] = {}
        """Of a mean request, by the nodes that have it in memory."""
        self.first: NodeId | None = None
        """The fastest of them..."""
        self.first_s = self.second_s = 0.0
        """...its time, and that of the next; 0 if there is none."""


class Kept:
    """All of it."""

    __slots__ = (
        "at", "facts", "folds", "instant", "learned", "nodes", "on", "rows", "sizes_bytes",
        "touched",
    )  # fmt: skip

    def __init__(self) -> None:
        """Keep nothing until somebody folds."""
        self.on = False
        self.folds = 0
        self.instant = 0
        """Another number for each fold and each instant."""
        self.at: tuple[int, int] = (-1, -1)
        """The folds, and the instant, of which that is."""
        self.learned: dict[str, int] = {}
        """How often anything was learned of what is asked of each model."""
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.touched: list[NodeId] = []
        """Every touch of a node, in order."""
        self.nodes: dict[NodeId, Known | None] = {}
        """By node id, in order; None is to be made anew."""
        self.sizes_bytes: dict[NodeId, dict[str, int]] = {}
        """What models take, or would take, in the memory of each node."""
        self.rows: dict[str, Row] = {}
        self.facts: dict[str, Facts] = {}
        self.at = (-1, -1)

    def learn(self, model: str) -> None:
        """Note that anything was learned of what is asked of a model."""
        self.learned[model] = self.learned.get(model, 0) + 1
        for known in self.nodes.values():
            if known is not None and model in known.busy:
                known.stale = True

    def touch(self, node_id: NodeId, *, memory: bool) -> None:
        """Forget what followed from a node; with `memory`, also what its models take there."""
        if node_id not in self.nodes or len(self.touched) >= MOST_TOUCHES:
            self.clear()
            return
        if memory:
            self.sizes_bytes.pop(node_id, None)
        if self.nodes[node_id] is not None:  # else nobody has looked at it since the last touch
            self.touched.append(node_id)
            self.nodes[node_id] = None
