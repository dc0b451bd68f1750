"""What happened to nodes, and the one description of what a node can do."""

from typing import Literal

import msgspec

from events.base import Event, NodeId, RequestId

Origin = Literal["flag", "local", "agent"]
"""How a node came in: `--node URL`, this machine's own Ollama, or an agent's heartbeat."""

NodeDialect = Literal["ollama", "openai"]
"""What a node speaks: Ollama's whole API, or only `/v1` routes (llama.cpp, vLLM, LM Studio)."""


class ModelFacts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A model on a node's disk, with the fields clients read from `/api/tags`."""

    name: str
    """Normalised, with its tag."""
    size_bytes: int = 0
    digest: str = ""
    modified_at: str = ""
    format: str = ""
    family: str = ""
    families: tuple[str, ...] = ()
    parameter_size: str = ""
    quantization_level: str = ""
    parent_model: str = ""
    capabilities: tuple[str, ...] = ()
    context_length: int = 0
    """The trained context, in tokens; 0 if unknown."""
    embedding_length: int = 0
    """Numbers in one of its vectors; 0 if unknown."""
    remote_model: str = ""
    """Its name where it really runs: Ollama's cloud. Empty for one on the node's own disk."""
    remote_host: str = ""


class ResidentModel(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A model in a node's memory, with the fields clients read from `/api/ps`."""

    name: str
    size_bytes: int = 0
    size_vram_bytes: int = 0
    context_length: int = 0
    expires_at: str = ""
    """As the node says it; not compared when looking for changes."""
    digest: str = ""


class NodeFacts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What a node can do: heartbeat, prober, simulator and what-if all use this."""

    dialect: NodeDialect = "ollama"
    version: str = ""
    agent_version: str = ""
    slots: int = 0
    """Requests it serves at once per model; 0 means learn it."""
    max_loaded_models: int = 0
    vram_bytes: int = 0
    memory_bytes: int = 0
    cores: int = 0
    arch: str = ""
    chip: str = ""
    bandwidth_bytes_per_s: int = 0
    disk_bytes: int = 0
    """Of the disk that its models lie on; 0 if unknown."""
    disk_free_bytes: int = 0
    """The same, in whole GB; small changes of it are not news."""
    unified_memory: bool = False
    """`vram_bytes` is the part of `memory_bytes` that its graphics may take, not more beside it."""
    context_tokens: int = 0
    """OLLAMA_CONTEXT_LENGTH, as far as its agent knows it; 0: Ollama goes by its `vram_bytes`."""


class Gpu(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A card of a node, as it is now; None is what its driver does not tell."""

    name: str
    total_bytes: int | None = None
    used_bytes: int | None = None
    busy_pct: float | None = None
    temperature_c: float | None = None
    power_w: float | None = None


class Limits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What a node's owner allows; its agent tells it."""

    paused: str = ""
    """Why it takes no work now, in words; empty while it does."""
    max_requests: int = 0
    """Requests that may run there at once, of all models; 0 for no limit."""
    max_bytes: int = 0
    """Memory that models may take which herd loads there; 0 for no limit."""
    available_share: float = 1.0
    """The part of the machine that its owner leaves to others: 0 to 1."""
    macs: tuple[str, ...] = ()
    """Hardware addresses by which it may be woken when it sleeps; empty if it may not."""


WakeReason = Literal["only", "queue", "asked"]
"""`only`: no other node that could be asked has the model. `queue`: the line for it is longer than
the node takes to wake and serve. `asked`: somebody asked for it."""


class NodeConfigured(Event, frozen=True, tag="node_configured"):
    """A node was named on the command line, or is this machine's own Ollama."""

    node_id: NodeId
    url: str
    origin: Origin = "flag"
    slots: int = 0


class HeartbeatReceived(Event, frozen=True, tag="heartbeat_received"):
    """An agent spoke for its node; recorded only when it says something new."""

    node_id: NodeId
    url: str
    facts: NodeFacts
    resident: tuple[ResidentModel, ...] = ()
    models: tuple[ModelFacts, ...] = ()
    reachable: bool = True
    """Whether the agent itself can reach its Ollama."""
    draining: bool = False
    limits: Limits = Limits()
    """What its owner allows now."""
    node_key: str = ""
    """The public key that signed it; empty if nobody did."""
    counter: int = 0
    """Of the agent: a higher one with each heartbeat that it signs."""
    gpus: tuple[Gpu, ...] = ()
    """How its cards are now: shown to who asks, and never recorded."""


class NodeProbed(Event, frozen=True, tag="node_probed"):
    """herd asked a node itself; recorded only when the answer changed."""

    node_id: NodeId
    reachable: bool
    error: str = ""
    facts: NodeFacts | None = None
    resident: tuple[ResidentModel, ...] | None = None
    """None where this probe did not ask."""
    models: tuple[ModelFacts, ...] | None = None
    """None where this probe did not ask."""


class NodeSilent(Event, frozen=True, tag="node_silent"):
    """Nothing was heard of a node for a while; recorded only when it changes its health."""

    node_id: NodeId
    silent_s: float


class DrainRequested(Event, frozen=True, tag="drain_requested"):
    """Somebody asked a node to take no new work, or to take it again."""

    node_id: NodeId
    draining: bool = True
    by: str = ""


class NodeDiscovered(Event, frozen=True, tag="node_discovered"):
    """A node joined the fleet."""

    node_id: NodeId
    url: str
    origin: Origin
    slots: int = 0


class NodeMoved(Event, frozen=True, tag="node_moved"):
    """A known node answers at another address."""

    node_id: NodeId
    url: str


class NodeForgotten(Event, frozen=True, tag="node_forgotten"):
    """A node left the fleet for good; what ran there was let finish."""

    node_id: NodeId
    reason: str = ""


class NodeBecameHealthy(Event, frozen=True, tag="node_became_healthy"):
    """A node is online: it answers, and may get work."""

    node_id: NodeId


class NodeDegraded(Event, frozen=True, tag="node_degraded"):
    """A node was not heard of for some time; it is used only if no other can serve."""

    node_id: NodeId
    reason: str = ""


class NodeWentOffline(Event, frozen=True, tag="node_went_offline"):
    """A node gets no work until it is heard of again."""

    node_id: NodeId
    reason: str = ""


class NodeSlept(Event, frozen=True, tag="node_slept"):
    """A node fell silent that may be woken: it is taken to sleep, and gets no work until then."""

    node_id: NodeId
    reason: str = ""


class WakeRequested(Event, frozen=True, tag="wake_requested"):
    """Somebody asked for a node to be woken."""

    node_id: NodeId
    by: str = ""


class WakePlanned(Event, frozen=True, tag="wake_planned"):
    """herd wakes a node: a magic packet is sent for each of its hardware addresses."""

    node_id: NodeId
    reason: WakeReason
    attempt: int = 1
    """Packets may be lost: from 1, since it was last thought to sleep on."""
    wake_s: float = 0.0
    """Predicted time from the packet until it takes requests."""
    there_s: float = 0.0
    """The same until it has the model in memory, with what an answer takes longer there."""
    wait_s: float = 0.0
    """Predicted wait of the last in line, without it; 0 where nobody could serve it."""
    model: str = ""
    """The model that is waited for."""
    in_line: int = 0
    """Requests that wait for it now."""
    request_id: RequestId = RequestId("")
    """The first of them that could go there."""


class NodeDrained(Event, frozen=True, tag="node_drained"):
    """A node takes no new work; what runs there may finish."""

    node_id: NodeId
    by: str = ""


class NodeUndrained(Event, frozen=True, tag="node_undrained"):
    """A drained node takes work again."""

    node_id: NodeId
    by: str = ""


class NodePaused(Event, frozen=True, tag="node_paused"):
    """A node's owner keeps it to himself: it takes no new work; what runs there may finish."""

    node_id: NodeId
    reason: str = ""
    """In the agent's words."""


class NodeResumed(Event, frozen=True, tag="node_resumed"):
    """A paused node takes work again."""

    node_id: NodeId


class CircuitOpened(Event, frozen=True, tag="circuit_opened"):
    """A node failed a model too often in a row: no more of it for a while."""

    node_id: NodeId
    model: str
    failures: int
    open_s: float
    reason: Literal["failures", "slow"] = "failures"
    """slow: its answers take far longer than they did; as many in a row as there are `failures`.
    It is asked for the model last."""
    pace_share: float = 0.0
    """The part of its usual pace that it reached then."""


class CircuitHalfOpened(Event, frozen=True, tag="circuit_half_opened"):
    """One request may try that node and model again."""

    node_id: NodeId
    model: str


class CircuitClosed(Event, frozen=True, tag="circuit_closed"):
    """The node serves that model again."""

    node_id: NodeId
    model: str


class Promise(msgspec.Struct, frozen=True, gc=False):
    """Room on a node for a model that waits for memory."""

    node_id: NodeId
    model: str
    leaving: tuple[str, ...] = ()
    """The models that get no more work there, so that they can be unloaded."""


class RoomPromised(Event, frozen=True, tag="room_promised"):
    """The room that is kept on nodes for models which would starve; all of it, each time."""

    promises: tuple[Promise, ...]


class LoadPlanned(Event, frozen=True, tag="load_planned"):
    """herd brings a model into a node's memory before any request has to wait for that there."""

    node_id: NodeId
    model: str
    reason: Literal["queue", "demand", "absent", "pinned"]
    """`queue`: requests wait for it. `demand`: it is asked for more than its nodes serve well.
    `absent`: it is asked for, and in no memory. `pinned`: an operator wants it there."""
    gain_s: float
    """Seconds that it saves those who ask for it, within the next minutes."""
    cost_s: float
    """The same of what is lost: by the load, and by those who miss the models that have to go; a
    second of a request that takes long alone weighs less."""
    leaving: tuple[str, ...] = ()
    """Idle models that are unloaded first: there is no room for all."""
    load_s: float = 0.0
    """Predicted time of the load."""
    per_s: float = 0.0
    """Requests a second for the model, as of now."""
    in_line: int = 0
    """Requests that wait for it now."""


class LoadFinished(Event, frozen=True, tag="load_finished"):
    """A planned load came to its end."""

    node_id: NodeId
    model: str
    load_s: float = 0.0
    """Seconds that it took."""
    error: str = ""
    """Why the model is not in memory; empty where it is."""


class SlotsChanged(Event, frozen=True, tag="slots_changed"):
    """How many requests of one model a node may hold at once was changed."""

    node_id: NodeId
    model: str
    slots: int
    reason: Literal["trial", "held", "stepped_back", "told"]
