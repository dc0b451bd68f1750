"""What happened to requests.

An undisturbed request is three events: received, dispatched, completed. Everything else is
recorded only when it happens.
"""

from typing import Literal

import msgspec

from events.base import Event, Lease, NodeId, RequestId, Source

Phase = Literal["admit", "hold", "queue", "connect", "first_byte", "stream"]
"""How far a request had come."""

Fault = Literal["client", "node", "herd"]
"""Who was at fault."""

Priority = Literal["interactive", "normal", "batch"]
"""Whom a request may pass in its line."""

ContextAction = Literal["", "pinned", "reloads"]
"""`pinned`: the context asked for was replaced by the one the model is loaded with. `reloads`: it
was forwarded, although the model is loaded there with another."""

Substitution = Literal["alias", "fallback_models", "anthropic", "vram"]
"""Why another model serves a request. `alias`: its name stands for that. `fallback_models`: no
online node has the model, and the body names this one. `anthropic`: a model that only its maker
has. `vram`: this one is in memory, and the other would have to be loaded."""

UsageSource = Literal["reported", "counted", "none"]
"""Where a token count comes from: the node's own figure, or data events counted by herd."""


class Prefix(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A beginning of a prompt, which others may share. Stored as an array."""

    hash: str
    """Of everything up to the end of one message; the text itself is nowhere."""
    size_bytes: int
    """Of the body, as far as it belongs to this beginning."""


class RequestReceived(Event, frozen=True, tag="request_received"):
    """A front accepted a request: this is its admission to the queue of its model."""

    request_id: RequestId
    model: str
    """The normalised name: `llama3.2:latest` for `llama3.2`."""
    asked_model: str = ""
    """The client's own spelling, where it differs."""
    route: str = "/api/chat"
    stream: bool = True
    body_bytes: int = 0
    """0 for a form: the length of a recording tells nothing of a prompt's."""
    client: str = ""
    """The client's address, as `FLEET_LOG_CLIENTS` allows."""
    app: str = ""
    num_ctx: int = 0
    """The context asked for, in tokens; 0 if the client left it to the node."""
    most_tokens: int = 0
    """The most that its client lets the answer have; 0 if it says nothing of that."""
    deadline_s: float = 0.0
    """How long the client will wait for a slot; 0 means as long as the queue allows."""
    waited_s: float = 0.0
    """How long the front had held it before control could hear of it."""
    priority: Priority = "normal"
    tags: tuple[str, ...] = ()
    """What its client calls it, for usage: `X-Herd-Tags`, and `metadata.tags` of the body."""
    fallbacks: tuple[str, ...] = ()
    """Models to serve instead, in order, by their normalised names: `fallback_models`."""
    no_fallback: bool = False
    """No other model may serve it (`X-Fleet-No-Fallback`)."""
    needs: tuple[str, ...] | None = None
    """What it uses of a model: `tools`, `vision`. None where the front did not look, since the
    model was in memory: then no other is chosen for it."""

    prefixes: tuple[Prefix, ...] = ()
    """Beginnings of its prompt, each longer than the last: a node may have one in its cache."""
    trace: str = ""
    """The client's `traceparent` (W3C Trace Context), if it sent one."""
    native: bool = False
    """Only Ollama's own route will do: it asks for what cannot be said to servers without it."""
    key_name: str = ""
    """What the key is called that it came with; empty without one."""


class ModelSubstituted(Event, frozen=True, tag="model_substituted"):
    """A request goes over to the line of another model; its place is by when it came, as before."""

    request_id: RequestId
    model: str
    """The one that it waited for until now."""
    to: str
    reason: Substitution
    saved_s: float = 0.0
    """Predicted seconds that its answer begins sooner, where that is the reason."""


class RequestQueued(Event, frozen=True, tag="request_queued"):
    """A request could not be bound at once and waits in its model's queue."""

    request_id: RequestId
    model: str
    position: int
    """Place in the queue, from 1."""
    reason: Literal["slots", "hold"]
    """`slots`: some node can serve it, later. `hold`: no online node has the model now."""
    predicted_wait_s: float = 0.0
    """Predicted wait for a slot; 0 where too little is known."""


Rejection = Literal[
    "unknown_model",
    "only_v1",
    "queue_full",
    "too_late",
    "hold_timeout",
    "queue_timeout",
    "deadline",
    "still_pulling",
    "pull_failed",
    "paused",
    "key_unknown",
    "key_model",
    "key_rate",
    "key_tokens",
]
"""`only_v1`: the model is on nodes that do not have Ollama's own routes. `too_late`: the wait is
predicted to last beyond the client's deadline. `still_pulling`, `pull_failed`: no node has the
model, and herd is, or was, about to get it (`auto_pull`). `paused`: `hold_timeout`, where owners
keep the nodes to themselves that have the model. `key_unknown`: its key was revoked as it came.
`key_model`, `key_rate`, `key_tokens`: its key is for other models, was shown too often within a
minute, has used its tokens of the day."""


class RequestRejected(Event, frozen=True, tag="request_rejected"):
    """A request will get no node."""

    request_id: RequestId
    model: str
    status: int
    reason: Rejection
    retry_after_s: int = 0
    waited_s: float = 0.0


class Candidate(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One node as placement saw it. Stored as an array: the order of the fields is a contract."""

    node_id: NodeId
    resident: bool
    in_flight: int
    slots: int
    wait_s: float
    """Predicted wait on this node, in seconds: what runs there now, and a load if it is cold."""
    score: float
    """Higher is better: what `X-Fleet-Score` shows."""


class RequestDispatched(Event, frozen=True, tag="request_dispatched"):
    """The scheduler bound a request to a node with a free slot."""

    request_id: RequestId
    model: str
    node_id: NodeId
    lease: Lease
    attempt: int = 1
    queue_s: float = 0.0
    """Seconds from admission to this decision."""
    terms: tuple[Candidate, ...] = ()
    """The best eight candidates; replay recomputes them all."""
    more: int = 0
    """How many candidates there were beside those in `terms`."""
    policy: str = "resident-first/1"
    """Placement policy and version of the term list."""
    draw: int = 0
    """`blake2b(request_id, attempt)`, where it had to break a tie; the only chance there is."""
    cold: bool = False
    """The node has to load the model first."""
    probing: bool = False
    """A trial of one more slot: the front reports the first byte at once."""
    predicted_first_s: float = 0.0
    """Predicted seconds from this decision to the first byte of the answer."""
    predicted_s: float = 0.0
    """Predicted seconds to the last byte; 0 in logs of before there were predictions."""
    predicted_least_s: float = 0.0
    predicted_most_s: float = 0.0
    """Nine of ten come between these two, as learned from the predictions before."""
    context: ContextAction = ""
    """What became of the context asked for, if the model is loaded with another."""
    num_ctx: int = 0
    """The context forwarded in place of the one asked for; 0: the body's own."""
    loaded_ctx: int = 0
    """The context that the model is loaded with there, if that is not what was asked for."""


class AttemptFailed(Event, frozen=True, tag="attempt_failed"):
    """A node failed a request before the first byte of an answer; it asks for another node."""

    request_id: RequestId
    model: str
    node_id: NodeId
    lease: Lease
    phase: Phase
    status: int = 0
    error: str = ""
    elapsed_s: float = 0.0


class StreamStarted(Event, frozen=True, tag="stream_started"):
    """The first byte of an answer reached herd; reported once the stream is a second old."""

    request_id: RequestId
    model: str
    node_id: NodeId
    lease: Lease
    ttft_s: float


class StreamsProgressed(Event, frozen=True, tag="streams_progressed"):
    """One front's live streams in the last second, and the tokens each has had so far."""

    progress: tuple[tuple[RequestId, int], ...]


class RequestCompleted(Event, frozen=True, tag="request_completed"):
    """The last byte of a whole answer was passed to the client."""

    request_id: RequestId
    model: str
    node_id: NodeId
    lease: Lease
    status: int = 200
    ttft_s: float = 0.0
    """Seconds from dispatch to the first byte of the answer."""
    service_s: float = 0.0
    """Seconds from dispatch to the last byte."""
    load_s: float = 0.0
    """Seconds the node says it spent loading the model."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usage_source: UsageSource = "none"
    finish: str = ""
    """The node's own word for why it stopped: stop, length, load, ..."""
    cached_tokens: int = 0
    """Of the prompt, those that the node says it did not have to take in again."""


class RequestFailed(Event, frozen=True, tag="request_failed"):
    """A request ended without a whole answer, and nobody will try again."""

    request_id: RequestId
    model: str
    phase: Phase
    fault: Fault
    status: int
    node_id: NodeId = NodeId("")
    lease: Lease = Lease("")
    error: str = ""
    ttft_s: float = 0.0
    service_s: float = 0.0
    completion_tokens: int = 0


class RequestCancelled(Event, frozen=True, tag="request_cancelled"):
    """The client went away before the end."""

    request_id: RequestId
    model: str
    phase: Phase
    node_id: NodeId = NodeId("")
    lease: Lease = Lease("")
    service_s: float = 0.0
    completion_tokens: int = 0


class ReapPlanned(Event, frozen=True, tag="reap_planned"):
    """A request made no progress for too long; its front is to end it, and says how it ended."""

    request_id: RequestId
    model: str
    node_id: NodeId
    lease: Lease
    idle_s: float


class RequestReaped(Event, frozen=True, tag="request_reaped"):
    """A request made no progress for too long; it is ended and its slot is free."""

    request_id: RequestId
    model: str
    node_id: NodeId
    lease: Lease
    idle_s: float


class RequestStalled(Event, frozen=True, tag="request_stalled"):
    """A node that should long have answered showed no sign of life; another one is to be asked."""

    request_id: RequestId
    model: str
    node_id: NodeId
    lease: Lease
    idle_s: float


class RequestInterrupted(Event, frozen=True, tag="request_interrupted"):
    """A request was lost with the process that held it."""

    request_id: RequestId
    model: str
    reason: Literal["front_lost", "unknown_to_front", "herd_stopped"]
    node_id: NodeId = NodeId("")
    lease: Lease = Lease("")


class LeaseVoided(Event, frozen=True, tag="lease_voided"):
    """A grant never reached its front: the request is queued again at its old place."""

    request_id: RequestId
    model: str
    node_id: NodeId
    lease: Lease


class LeaseAdopted(Event, frozen=True, tag="lease_adopted"):
    """A stream that a front carries, unknown to this log, was given a slot after the fact."""

    request_id: RequestId
    model: str
    node_id: NodeId
    lease: Lease
    front_src: Source
    """The front that carries it."""
