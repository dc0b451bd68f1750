"""Nodes that sleep, and may be woken."""

from actors.core.waking import DID_NOT_WAKE
from events import (
    HeartbeatReceived,
    Limits,
    NodeBecameHealthy,
    NodeSilent,
    NodeSlept,
    NodeWentOffline,
    WakePlanned,
    WakeRequested,
)
from tests.actors.cast import MODEL, heartbeat, nid, settings
from tests.playbook import Cue, like

MACS = ("3c:7c:3f:00:00:01",)
ON = settings(wake_on_lan=True)
SILENCE = "silent for 31 s"


def agent(name: str, *models: str, **fields: object) -> HeartbeatReceived:
    """The word of an agent whose owner lets its machine be woken."""
    return heartbeat(name, *(models or (MODEL,)), **{"limits": Limits(macs=MACS), **fields})


def silent(name: str, silent_s: float = 31.0) -> NodeSilent:
    return NodeSilent(node_id=nid(name), silent_s=silent_s)


def asleep(*names: str) -> tuple[Cue, ...]:
    """Nodes that have the model, and sleep."""
    return (ON, *(agent(name) for name in names), *(silent(name) for name in names))


def woken(name: str, reason: str, attempt: int = 1, **fields: object) -> like:
    return like(WakePlanned, node_id=name, reason=reason, attempt=attempt, **fields)


def asked(name: str) -> WakeRequested:
    return WakeRequested(node_id=nid(name), by="ada")


def gone(name: str, reason: str = DID_NOT_WAKE) -> NodeWentOffline:
    return NodeWentOffline(node_id=nid(name), reason=reason)


def slept(name: str, reason: str = SILENCE) -> NodeSlept:
    return NodeSlept(node_id=nid(name), reason=reason)


def up(name: str) -> NodeBecameHealthy:
    return NodeBecameHealthy(node_id=nid(name))
