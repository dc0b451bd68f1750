"""What travels on the link: msgpack lists, one list per loop tick and direction.

Front to control: `Hello`, then `Fact`s. Control to front: `Welcome`, `Ack`, `Grant`, `Refuse`,
`Cancel`, `View`. Array-like, so the order of the fields is the wire format: both ends belong to
one running herd, and `PROTOCOL` guards against two versions meeting.
"""

from typing import TypeAlias

import msgspec

from actors.core.commands import Cancel, Grant, Refuse
from events import (
    AnyEvent,
    Gpu,
    Limits,
    ModelFacts,
    NodeFacts,
    NodeId,
    Priority,
    ResidentModel,
    Source,
)

__all__ = [
    "PROTOCOL",
    "Ack",
    "BenchView",
    "Cancel",
    "Fact",
    "FromControl",
    "FromFront",
    "Grant",
    "Hello",
    "KeyView",
    "KnockView",
    "Leave",
    "NodeView",
    "PinView",
    "PullView",
    "Refuse",
    "SlotView",
    "View",
    "Welcome",
]

PROTOCOL = 6


class Hello(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=1):
    """A front's first message on a fresh link."""

    src: Source
    front: int
    protocol: int = PROTOCOL
    lost: int = 0
    """Facts that the last control could not record before it died."""


class Fact(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=2):
    """Something that happened at a front; kept there until it is acknowledged."""

    n: int
    event: AnyEvent


class Leave(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=9):
    """A front's last message, if it ends as it was told to."""


class Welcome(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=3):
    """Control's answer to `Hello`: what it has already written of this front's facts."""

    epoch: int
    last_n: int


class Ack(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=4):
    """All facts up to `n` are done with: in the journal, if they changed anything."""

    n: int
    recorded: bool = True
    """False while the journal cannot be written."""
    lost: int = 0
    """How many of those since the last one would have been recorded."""


class SlotView(msgspec.Struct, frozen=True, gc=False):
    """One model on one node: its slots and its past."""

    slots: int
    in_flight: int
    sent: int = 0
    cold: int = 0
    """Of those sent, that found it not in memory."""
    completed: int = 0
    failed: int = 0
    service_s: float = 0.0
    """Mean seconds of a completed request; 0 if none."""
    prompt_tokens: float = 0.0
    completion_tokens: float = 0.0
    used_s: float = 0.0
    """When it was last at work here, in seconds since the epoch; 0 if never."""


class PullView(msgspec.Struct, frozen=True, gc=False):
    """A model on its way to a node."""

    model: str
    completed_bytes: int = 0
    total_bytes: int = 0
    automatic: bool = False
    pull_id: str = ""


class NodeView(msgspec.Struct, frozen=True, gc=False):
    """A node as fronts and operators see it."""

    node_id: NodeId
    url: str
    status: str
    """online, degraded, offline or sleeping."""
    origin: str
    draining: bool
    facts: NodeFacts
    resident: tuple[ResidentModel, ...]
    models: tuple[ModelFacts, ...]
    slots: dict[str, SlotView]
    pulls: tuple[PullView, ...] = ()
    limits: Limits = Limits()
    """What its owner allows."""
    paused: str = ""
    """Why its owner keeps it to himself now; empty while it takes work."""
    waking: int = 0
    """How often packets were sent to wake it, since it sleeps."""
    wakes: bool = False
    """It does not answer, and may be woken."""
    gpus: tuple[Gpu, ...] = ()
    """How its cards are, as of its last heartbeat; not from the log."""

    @property
    def answers(self) -> bool:
        """Whether it was heard of of late: it is neither offline nor asleep."""
        return self.status in {"online", "degraded"}


class BenchView(msgspec.Struct, frozen=True, gc=False):
    """A benchmark under way, or the last one of this life of control."""

    run_id: str
    mode: str
    status: str
    """pulling, warming_up, running, complete, cancelled or error."""
    duration_s: float
    phase: str = ""
    elapsed_s: float = 0.0
    completed: int = 0
    failed: int = 0
    tokens_per_s: float = 0.0
    models: tuple[str, ...] = ()
    error: str = ""
    pulled: tuple[str, ...] = ()
    """Models that were pulled for it, and are there."""
    completed_bytes: int = 0
    """Of the one that is being pulled."""
    total_bytes: int = 0

    @property
    def runs(self) -> bool:
        """Whether it is under way."""
        return self.status in {"pulling", "warming_up", "running"}


class KeyView(msgspec.Struct, frozen=True, gc=False):
    """A key as fronts and operators know it: by its digest."""

    key_name: str
    digest: str
    models: tuple[str, ...] = ()
    per_minute: int = 0
    tokens_a_day: int = 0
    priority: Priority = "normal"
    added_s: float = 0.0
    requests: int = 0
    tokens: int = 0
    day: int = 0
    """The day that `tokens_today` are of, in days since 1970, UTC."""
    tokens_today: int = 0


class PinView(msgspec.Struct, frozen=True, gc=False):
    """The key that speaks for a node; of one that is revoked, nobody's."""

    node_key: str
    revoked: bool = False


class KnockView(msgspec.Struct, frozen=True, gc=False):
    """An agent that waits for an operator's word."""

    node_key: str
    url: str
    by: str
    at_s: float


class View(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=8):
    """The fleet as control sees it: what a front answers from by itself."""

    nodes: tuple[NodeView, ...] = ()
    waiting: dict[str, int] = {}
    """Requests waiting, per model."""
    settled: bool = False
    """Every `--node` has answered or failed once, so an unknown model is a 404."""
    recording: bool = True
    """False while the journal cannot be written."""
    predicted_wait_s: dict[str, float] = {}
    """Of one who comes last now, per model that somebody waits for; left out where nobody knows."""
    settings: dict[str, bool | int | float | str] = {}
    """The settings that can change while herd runs, with their values in force."""
    benchmark: BenchView | None = None
    keys: tuple[KeyView, ...] = ()
    pins: dict[NodeId, PinView] = {}
    knocks: dict[NodeId, KnockView] = {}
    challenge: str = ""
    """What agents sign along, as long as this control runs: nothing of before counts."""
    pinned: dict[NodeId, tuple[str, ...]] = {}
    """The models that are to stay in a node's memory."""
    rejected: dict[str, int] = {}
    """Requests that got no node, per model; by no name, those of models that nobody ever had."""


FromFront: TypeAlias = Hello | Fact | Leave
FromControl: TypeAlias = Welcome | Ack | Grant | Refuse | Cancel | View
