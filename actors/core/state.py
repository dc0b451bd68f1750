"""The folded state of control: everything that a decision may rest on.

One state, five actors: each writes only its own part and reads the rest (decision 0005).

* Discovery: which nodes there are (`Node.url`, `origin`, `told_slots`, `announced`, `door`).
* NodeMonitor: what they are able to do now (health, draining, facts, models, circuits).
* Queue: who waits (`State.lines`, and a `Request` from its admission on).
* Scheduler: who runs where (the lease of a `Request`, slots, statistics, fronts, epoch), pulls.
* Reaper: when a running request last made progress.

Values are changed in place, by `evolve` only. Instants are integer microseconds of control's
clock, durations floating seconds. All of it is JSON, because a snapshot is.
"""

import msgspec

from actors.core.circuits import Circuit, Refusal
from actors.core.joining import Door
from actors.core.kept import Kept
from actors.core.keys import Bar, Key
from actors.core.learning import UNKNOWN, Answers, Demand, Length, Mean, OfModel, Speed
from actors.core.settings import Settings
from actors.core.sleeping import Sleep
from actors.core.slots import Slots, Turn
from events import (
    Lease,
    Limits,
    ModelFacts,
    NodeFacts,
    NodeId,
    Origin,
    Prefix,
    Promise,
    RequestId,
    ResidentModel,
    Source,
)

SCHEMA = 7
"""Version of this state as stored; raise it when a fold gives more, or other, than it did before.

An older one still decodes (fields only get added), but is not compared with what is folded now."""

US = 1_000_000
"""Microseconds in a second."""


class Tally(msgspec.Struct):
    """What one model did on one node so far."""

    sent: int = 0
    cold: int = 0
    """Of those sent, that found it not in memory."""
    completed: int = 0
    failed: int = 0
    service_s: float = 0.0
    """Total over completed requests."""
    load_s: float = 0.0
    """Last load the node reported."""
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Plan(msgspec.Struct, frozen=True):
    """A load under way that was planned: nobody waits for it on its node."""

    model: str
    leaving: tuple[str, ...] = ()


class Node(msgspec.Struct):
    """One Ollama server, or one that speaks OpenAI's API."""

    node_id: NodeId
    url: str
    origin: Origin
    told_slots: int = 0
    announced: bool = False
    facts: NodeFacts = NodeFacts()
    resident: dict[str, ResidentModel] = {}
    models: dict[str, ModelFacts] = {}
    health: str = "new"
    """new, healthy, degraded, offline or asleep."""
    sleep: Sleep = msgspec.field(default_factory=Sleep)
    drained_by: str = ""
    """Who asked it to take no new work; empty while it takes work."""
    limits: Limits = Limits()
    """What its owner allows, as its agent said last."""
    paused: str = ""
    """Why its owner keeps it to himself, in words; empty while it takes work."""
    too_large: list[str] = []
    """The models that would take more memory than its owner allows."""
    heard: bool = False
    """It answered or failed at least once."""
    circuits: dict[str, Circuit] = {}
    refusals: dict[str, Refusal] = {}
    slots: dict[str, Slots] = {}
    tallies: dict[str, Tally] = {}
    speeds: dict[str, Speed] = {}
    """What was learned of each model here."""
    pace: Speed = msgspec.field(default_factory=Speed)
    """The same for all models, for each byte of their weights."""
    held_bytes: int = 0
    """The most that was seen in its memory at once."""
    evicts: bool = False
    """A model was seen to go as another came: there is not room for everything."""
    footprints: dict[str, int] = {}
    """Memory that each model was seen to take, in bytes."""
    caches: dict[str, list[list[str]]] = {}
    """Of each model, the prompts in its idle slots, the latest last: the hashes of each."""
    planned: Plan | None = None
    """The load under way here that was planned; at most one."""
    planned_us: dict[str, int] = {}
    """When a model was last loaded or unloaded here by a plan."""
    in_flight: int = 0

    @property
    def online(self) -> bool:
        """Whether it answers, and may get work."""
        return self.health in {"healthy", "degraded"} and not self.drained_by and not self.paused

    def speed(self, model: str) -> Speed:
        """Return what is learned of a model here, to be changed; nothing yet if it is new."""
        speed = self.speeds.get(model)
        if speed is None:
            speed = self.speeds[model] = Speed()
        return speed

    def has(self, model: str) -> bool:
        """Whether it can serve the model, from memory or from disk."""
        return model in self.models or model in self.resident

    def serves(self, model: str, *, v1: bool) -> bool:
        """Whether it has the model, and the routes: other servers than Ollama have only `/v1`."""
        return self.has(model) and (v1 or self.facts.dialect == "ollama")

    def takes(self, model: str, *, v1: bool) -> bool:
        """Whether it may get requests for the model now: it is online, and serves them."""
        return (
            (model in self.models or model in self.resident)
            and self.health in {"healthy", "degraded"}
            and not self.drained_by
            and not self.paused
            and model not in self.too_large
            and (v1 or self.facts.dialect == "ollama")
        )


class Request(msgspec.Struct):
    """A request that has not ended."""

    request_id: RequestId
    model: str
    src: Source
    """The front that holds its client."""
    v1: bool
    """Nodes of both dialects serve it: it came by a `/v1` route, or can be translated to one."""
    seq: int
    """Of its admission: its place in the queue, also after a retry."""
    received_us: int
    app: str = ""
    key_name: str = ""
    """Of the key that it came with."""
    bar: Bar = ""
    """Why that key does not open, if it does not."""
    route: str = ""
    num_ctx: int = 0
    """The context asked for, in tokens; 0 where the node is to choose."""
    needs: list[str] | None = None
    """Capabilities of a model that it uses; None if nobody looked."""
    fixed: bool = False
    """No other model may serve it."""
    choices: list[str] = []
    """The model asked for, then the others that its body names, if they may serve it."""
    came_as: str = ""
    """The model that it asked for, if it was ever moved to the line of another."""
    reason: str = ""
    """Why another model than that serves it."""
    start_us: int = 0
    """When it came, or later, if its application has had its share."""
    rank_us: int = 0
    """Its place in its line, the lowest first: its start, moved by its priority."""
    back_us: int = 0
    """How far it stepped back, of that, for what its application was sent of other models."""
    waits_since_us: int = 0
    """Since a node failed it; 0 before."""
    deadline_us: int = 0
    attempt: int = 0
    """Grants so far."""
    excluded: list[NodeId] = []
    """Nodes that failed it."""
    last_status: int = 0
    last_error: str = ""
    node_id: NodeId = NodeId("")
    lease: Lease = Lease("")
    """Empty while it waits."""
    body_bytes: int = 0
    prefixes: tuple[Prefix, ...] = ()
    """Kept only while the setting says that they count."""
    stream: bool = True
    """Whether its client asked for a stream."""
    most_tokens: int = 0
    """Of its answer, as its client says; 0 if it says nothing."""
    length_ratio: float = 1.0
    """Of its answer to what is usual, by the size of its body, as was known when it came."""
    length: Length = UNKNOWN
    """Of its answer, if the last ones tell it better (`recalling`), as was known when it came."""
    portion: float = 0.0
    """Its work, in that of a mean one of its model, when it was dispatched; 0 if nobody looked."""
    hoped_share: float = 0.0
    """The part of its prompt that its node had, at best, when it was dispatched."""
    dispatched_us: int = 0
    models: int = 1
    """At work on its node when it was dispatched, its own counted."""
    turn: Turn = Turn(0, 0)
    """When it was dispatched among its node's requests of its model: for slot learning."""
    cold: bool = False
    predicted_wait_s: float = 0.0
    predicted_s: float = 0.0
    """How long it was said to take, when it was dispatched."""
    predicted_least_s: float = 0.0
    predicted_most_s: float = 0.0
    progress_us: int = 0
    tokens: int = 0
    reaping: Lease = Lease("")
    """The lease on which its front was told to end it."""


class Share(msgspec.Struct):
    """One application that has requests in a line."""

    app: str
    waiting: int = 0
    next_us: int = 0
    """Where its next request starts at the earliest."""


class Used(msgspec.Struct):
    """What one application was sent, while others waited."""

    app: str
    work_us: int = 0
    """The time that it takes alone on the best nodes."""


class Line(msgspec.Struct):
    """The requests that wait for one model, in order: by their priority and their admission."""

    waiting: dict[RequestId, int] = {}
    """Request to rank, ascending."""
    choosing: bool = False
    """One that has waited here names other models too."""
    shares: list[Share] = []
    sent_us: int = 0
    """The start of the last request that was sent; 0 when nobody waited before."""
    held_since_us: int = 0
    """Since when no online node has had the model; 0 while one has."""
    held_native_since_us: int = 0
    """The same for requests by Ollama's own routes, which only an Ollama serves."""


class Pull(msgspec.Struct):
    """A model on its way to a node's disk."""

    pull_id: str
    model: str
    node_id: NodeId
    src: Source
    """Who watches it: a front; control, if it is automatic."""
    automatic: bool
    started_us: int
    completed_bytes: int = 0
    total_bytes: int = 0
    """0 until the node has learned it."""


class Pin(msgspec.Struct):
    """A model that is to stay in a node's memory."""

    tried_us: int = 0
    """When it was last loaded for that; 0 if never."""
    failures: int = 0
    """Of such loads, in a row."""


class Front(msgspec.Struct):
    """A process that holds clients."""

    number: int = 0
    last_n: int = 0
    """The last of its facts in the log."""
    connected: bool = False
    missed: int = 0
    """Restarts of control in a row that it did not come back to; -1 while it lives, and may."""


class State(msgspec.Struct, dict=True):
    """Everything."""

    seq: int = 0
    """Of the last record folded."""
    recorded_at: int = 0
    epoch: int = 0
    leases: int = 0
    """Granted in this epoch."""
    recovering: bool = True
    """No grants until every living front has said what it carries."""
    settings: Settings = msgspec.field(default_factory=Settings)
    changes: dict[str, bool | int | float | str] = {}
    """Settings that were changed while running, with their last values: they outlive a restart."""
    nodes: dict[NodeId, Node] = {}
    door: Door = msgspec.field(default_factory=Door)
    catalogue: dict[str, int] = {}
    """Every model ever seen on a node of the fleet, with the `seq` of the first sight."""
    lines: dict[str, Line] = {}
    requests: dict[RequestId, Request] = {}
    used: list[Used] = []
    """What each application was sent while others waited; the last one that was comes last."""
    promises: dict[NodeId, Promise] = {}
    """Room that is kept for models which would starve."""
    demands: dict[str, Demand] = {}
    """What is asked of each model of the catalogue."""
    sizes: dict[int, Mean] = {}
    """How long answers are by the size of the body, beside what is usual (`lengths`)."""
    answers: dict[int, Answers] = {}
    """The last ones, by the size of the body (`recalling`)."""
    own_answers: dict[str, OfModel] = {}
    """The same of each model, by size and model; those that were answered last come last."""
    keys: dict[str, Key] = {}
    """By their names."""
    pulls: dict[str, Pull] = {}
    unpullable: dict[str, int] = {}
    """When a model could not be had, by its key: the latest of those that nobody has."""
    rejected: dict[str, int] = {}
    """Requests that got no node, by model; by no name, those of models that nobody ever had."""
    waiting: int = 0
    """Requests without a lease."""
    in_flight: int = 0
    """Requests with a lease."""
    pinned: dict[NodeId, dict[str, Pin]] = {}
    """The models that an operator wants in a node's memory."""
    fronts: dict[Source, Front] = {}
    actor_failures: int = 0
    pending: int = 0
    """Decisions of the fact in hand that are not yet folded. Only when it is 0 may a request be
    bound: until then somebody may already have decided about that request, or that slot."""

    def __post_init__(self) -> None:
        """Begin with nothing kept of what follows: that is no field, and no part of the state."""
        self.kept = Kept()

    def settled(self) -> bool:
        """Whether an unknown model can be called unknown: every named node was heard of."""
        return bool(self.nodes) and all(node.heard for node in self.nodes.values())

    def present(self, request: Request) -> bool:
        """Whether the front that holds the client of a request is there."""
        front = self.fronts.get(request.src)
        return front is not None and front.connected

    def late(self, request_id: RequestId, lease: Lease) -> bool:
        """Whether a lease is one that its request does not have: an end of that one is ignored.

        With `ends_stand` none is: only the front that has the client tells of an end, so it is one,
        and the dispatch was lost while nothing could be recorded.
        """
        request = self.requests.get(request_id)
        if request is None or self.settings.ends_stand:
            return False
        return bool(lease) and lease != request.lease

    def servable(self, model: str, *, v1: bool) -> bool:
        """Whether an online node has the model, and serves that kind of route."""
        return any(node.takes(model, v1=v1) for node in self.nodes.values())


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(State)


def dump(state: State) -> bytes:
    """Return the state as JSON."""
    return _encoder.encode(state)


def load(data: bytes) -> State:
    """Return the state that `dump` wrote; raises `msgspec.ValidationError` for another schema."""
    return _decoder.decode(data)
