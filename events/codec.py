"""Events to journal lines and back.

A line is one JSON object: envelope and event in one, so that `grep`, `jq` and DuckDB read it by
name. What this version does not know, a kind or a newer version of one, is kept as it is
(`Unknown`), never dropped.
"""

from collections.abc import Mapping
from typing import TypeAlias, Union, cast, get_args

import msgspec

from events.base import CONTROL, Event, Recorded, Source
from events.benchmarks import BenchmarkCancelled, BenchmarkEnded, BenchmarkStarted
from events.joining import NodeKnocked, NodePinned, NodeRevoked
from events.keys import KeyAdded, KeyRevoked
from events.models import (
    ModelCopied,
    ModelCreated,
    ModelDeleted,
    ModelPinned,
    ModelPushed,
    ModelUnloaded,
    ModelUnpinned,
    PullEnded,
    PullProgressed,
    PullStarted,
)
from events.nodes import (
    CircuitClosed,
    CircuitHalfOpened,
    CircuitOpened,
    DrainRequested,
    HeartbeatReceived,
    LoadFinished,
    LoadPlanned,
    NodeBecameHealthy,
    NodeConfigured,
    NodeDegraded,
    NodeDiscovered,
    NodeDrained,
    NodeForgotten,
    NodeMoved,
    NodePaused,
    NodeProbed,
    NodeResumed,
    NodeSilent,
    NodeSlept,
    NodeUndrained,
    NodeWentOffline,
    RoomPromised,
    SlotsChanged,
    WakePlanned,
    WakeRequested,
)
from events.requests import (
    AttemptFailed,
    LeaseAdopted,
    LeaseVoided,
    ModelSubstituted,
    ReapPlanned,
    RequestCancelled,
    RequestCompleted,
    RequestDispatched,
    RequestFailed,
    RequestInterrupted,
    RequestQueued,
    RequestReaped,
    RequestReceived,
    RequestRejected,
    RequestStalled,
    StreamsProgressed,
    StreamStarted,
)
from events.system import (
    ActorFailed,
    ConfigurationLoaded,
    ControlStarted,
    ControlStopped,
    FrontConnected,
    FrontLost,
    RecordingResumed,
    RecoveryEnded,
    SettingsChanged,
    StateSnapshotted,
    TimerFired,
)
from events.upcast import newest, upcast

AnyEvent: TypeAlias = Union[  # noqa: UP007 (one name a line reads better than a chain of bars)
    ActorFailed,
    AttemptFailed,
    BenchmarkCancelled,
    BenchmarkEnded,
    BenchmarkStarted,
    CircuitClosed,
    CircuitHalfOpened,
    CircuitOpened,
    ConfigurationLoaded,
    ControlStarted,
    ControlStopped,
    DrainRequested,
    FrontConnected,
    FrontLost,
    HeartbeatReceived,
    KeyAdded,
    KeyRevoked,
    LeaseAdopted,
    LeaseVoided,
    LoadFinished,
    LoadPlanned,
    ModelSubstituted,
    ModelCopied,
    ModelCreated,
    ModelDeleted,
    ModelPinned,
    ModelPushed,
    ModelUnloaded,
    ModelUnpinned,
    NodeBecameHealthy,
    NodeConfigured,
    NodeDegraded,
    NodeDiscovered,
    NodeDrained,
    NodeForgotten,
    NodeKnocked,
    NodeMoved,
    NodePaused,
    NodePinned,
    NodeProbed,
    NodeResumed,
    NodeRevoked,
    NodeSilent,
    NodeSlept,
    NodeUndrained,
    NodeWentOffline,
    PullEnded,
    PullProgressed,
    PullStarted,
    RecordingResumed,
    RecoveryEnded,
    RequestCancelled,
    RequestCompleted,
    RequestDispatched,
    RequestFailed,
    RequestInterrupted,
    RequestQueued,
    ReapPlanned,
    RequestReaped,
    RequestReceived,
    RequestRejected,
    RequestStalled,
    RoomPromised,
    SettingsChanged,
    SlotsChanged,
    StateSnapshotted,
    StreamStarted,
    StreamsProgressed,
    TimerFired,
    WakePlanned,
    WakeRequested,
]

KINDS: dict[str, type[Event]] = {
    cast("str", kind.__struct_config__.tag): kind
    for kind in cast("tuple[type[Event], ...]", get_args(AnyEvent))
}
"""Every kind of event by its stored name."""

VERSIONS: dict[str, int] = {kind: newest(kind) for kind in KINDS}
"""The version of each kind that this code writes."""


class Unknown(Event, frozen=True, tag="unknown"):
    """An event of a kind, or of a version of it, that this code does not know; as it was read."""

    kind: str
    line: bytes


class _Envelope(msgspec.Struct, frozen=True, gc=False):
    seq: int
    recorded_at: int
    k: str
    v: int = 1
    src: Source = CONTROL
    n: int = 0
    cause: int = 0


def marks(versions: Mapping[str, int]) -> dict[type[Event], bytes]:
    """Return what a line says of its version: nothing for a first version."""
    return {KINDS[kind]: b'"v":%d,' % number for kind, number in versions.items() if number > 1}


_MARKS = marks(VERSIONS)

_encoder = msgspec.json.Encoder()
_envelope_decoder = msgspec.json.Decoder(_Envelope)
_event_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)


def encode(record: Recorded) -> bytes:
    """Return the record as one line of JSON, with its line break."""
    event = record.event
    if isinstance(event, Unknown):
        return event.line
    body = _encoder.encode(event)
    return b'{"seq":%d,"recorded_at":%d,"src":"%s","n":%d,"cause":%d,%s%s\n' % (
        record.seq,
        record.recorded_at,
        record.src.encode(),
        record.n,
        record.cause,
        _MARKS.get(type(event), b""),
        body[1:],
    )


def decode(line: bytes) -> Recorded:
    """Return the record that `encode` wrote, whatever version wrote it.

    Raises `msgspec.DecodeError` for a torn or foreign line.
    """
    head = _envelope_decoder.decode(line)
    kind = KINDS.get(head.k)
    event: Event
    if kind is None or head.v > VERSIONS[head.k]:
        event = Unknown(kind=head.k, line=line if line.endswith(b"\n") else line + b"\n")
    else:
        newer = upcast(head.k, head.v, line)
        event = _event_decoder.decode(line if newer is None else newer)
    return Recorded(head.seq, head.recorded_at, event, head.src, head.n, head.cause)
