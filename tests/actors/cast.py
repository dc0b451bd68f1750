"""Who plays in the stories: nodes, requests, and the usual facts about them."""

from typing import Any

from actors.core.commands import Cancel, Grant, Refuse, Send
from events import (
    AttemptFailed,
    ConfigurationLoaded,
    ControlStarted,
    Event,
    FrontConnected,
    HeartbeatReceived,
    Lease,
    ModelFacts,
    NodeConfigured,
    NodeDialect,
    NodeFacts,
    NodeId,
    NodeProbed,
    RecoveryEnded,
    RequestCancelled,
    RequestCompleted,
    RequestDispatched,
    RequestFailed,
    RequestId,
    RequestQueued,
    RequestReceived,
    RequestRejected,
    ResidentModel,
    Source,
)
from tests.playbook import FRONT, OTHER_FRONT, Cue, Playbook, by, like

MODEL = "llama3.2:latest"
OTHER_MODEL = "qwen2.5:7b"
SIZE_BYTES = 4_000_000_000
LOAD_S = 4.0
"""What loading a model of `SIZE_BYTES` is expected to take."""

STARTED: tuple[Cue, ...] = (
    ControlStarted(epoch=1, version="test"),
    by(FRONT, FrontConnected(front=1)),
    by(OTHER_FRONT, FrontConnected(front=2)),
    RecoveryEnded(fronts=2),
)
"""A fresh log, and grants may begin."""


def settings(**values: float | str) -> ConfigurationLoaded:
    """Comes before the nodes: those of the command line that it does not name are forgotten."""
    return ConfigurationLoaded(settings=dict(values))


def book(*given: Cue | tuple[Cue, ...]) -> Playbook:
    """A playbook of a herd that has started, after these facts."""
    flat = [cue for each in given for cue in (each if isinstance(each, tuple) else (each,))]
    return Playbook(*STARTED, *flat)


def rid(name: str) -> RequestId:
    return RequestId(name)


def nid(name: str) -> NodeId:
    return NodeId(name)


def url(name: str) -> str:
    return f"http://{name}:11434"


def on_disk(*models: str) -> tuple[ModelFacts, ...]:
    return tuple(ModelFacts(name=model, size_bytes=SIZE_BYTES) for model in models)


def in_memory(*models: str) -> tuple[ResidentModel, ...]:
    return tuple(ResidentModel(name=model, size_bytes=SIZE_BYTES) for model in models)


def configured(name: str, slots: int = 0) -> NodeConfigured:
    return NodeConfigured(node_id=nid(name), url=url(name), slots=slots)


def probed(
    name: str,
    *models: str,
    resident: tuple[str, ...] = (),
    dialect: NodeDialect = "ollama",
) -> NodeProbed:
    """It answers: these on disk, these in memory."""
    return NodeProbed(
        node_id=nid(name),
        reachable=True,
        facts=NodeFacts(dialect=dialect),
        resident=in_memory(*resident),
        models=on_disk(*models),
    )


def unreachable(name: str, error: str = "no route to host") -> NodeProbed:
    return NodeProbed(node_id=nid(name), reachable=False, error=error)


def node(
    name: str, *models: str, slots: int = 0, resident: tuple[str, ...] | None = None
) -> tuple[Event, ...]:
    """A node of the command line, online; what it has is in its memory too, unless told."""
    had = models or (MODEL,)
    return (
        configured(name, slots),
        probed(name, *had, resident=had if resident is None else resident),
    )


def heartbeat(name: str, *models: str, **fields: Any) -> HeartbeatReceived:
    """The word of an agent."""
    told: dict[str, Any] = {
        "node_id": nid(name),
        "url": url(name),
        "facts": NodeFacts(version="0.9"),
        "models": on_disk(*models),
        "resident": in_memory(*models),
    }
    return HeartbeatReceived(**told | fields)


def received(name: str, model: str = MODEL, **fields: Any) -> RequestReceived:
    return RequestReceived(request_id=rid(name), model=model, **fields)


def completed(
    name: str, where: str, lease: str, model: str = MODEL, **fields: Any
) -> RequestCompleted:
    told: dict[str, Any] = {"service_s": 1.0, "completion_tokens": 100}
    return RequestCompleted(
        request_id=rid(name), model=model, node_id=nid(where), lease=Lease(lease), **told | fields
    )


def attempt_failed(
    name: str, where: str, lease: str, model: str = MODEL, **fields: Any
) -> AttemptFailed:
    told: dict[str, Any] = {"phase": "first_byte", "status": 500, "error": "boom"}
    return AttemptFailed(
        request_id=rid(name), model=model, node_id=nid(where), lease=Lease(lease), **told | fields
    )


def failed(name: str, where: str, lease: str, model: str = MODEL, **fields: Any) -> RequestFailed:
    """The answer broke off."""
    told: dict[str, Any] = {"phase": "stream", "fault": "node", "status": 200}
    return RequestFailed(
        request_id=rid(name), model=model, node_id=nid(where), lease=Lease(lease), **told | fields
    )


def cancelled(name: str, where: str = "", lease: str = "", model: str = MODEL) -> RequestCancelled:
    return RequestCancelled(
        request_id=rid(name),
        model=model,
        phase="stream" if lease else "queue",
        node_id=nid(where),
        lease=Lease(lease),
    )


def granted(name: str, where: str, lease: str, attempt: int = 1, **fields: Any) -> Send:
    """A grant to the first front; the score is 100 unless told."""
    told: dict[str, Any] = {
        "request_id": rid(name),
        "node_id": nid(where),
        "url": url(where),
        "lease": Lease(lease),
        "attempt": attempt,
        "score": 100.0,
    }
    return Send(FRONT, Grant(**told | fields))


def refused(name: str, status: int, reason: str, retry_after_s: int = 0, error: str = "") -> Send:
    return Send(FRONT, Refuse(rid(name), status, reason, retry_after_s, error))


def queued(name: str, position: int, reason: str = "slots", model: str = MODEL) -> like:
    return like(RequestQueued, request_id=name, model=model, position=position, reason=reason)


def rejected(name: str, status: int, reason: str, waited_s: float, retry_after_s: int = 0) -> like:
    return like(
        RequestRejected,
        request_id=name,
        status=status,
        reason=reason,
        waited_s=waited_s,
        retry_after_s=retry_after_s,
    )


def dispatched(name: str, node_id: str, lease: str, attempt: int = 1) -> like:
    return like(RequestDispatched, request_id=name, node_id=node_id, lease=lease, attempt=attempt)


def full(*more: str) -> Playbook:
    """One node with one slot, which r1 has; `more` wait for it."""
    return book(*node("studio", slots=1), received("r1"), *(received(name) for name in more))


def ended(name: str, lease: str, reason: str) -> Send:
    """Control ends a request that is in flight."""
    return Send(FRONT, Cancel(rid(name), Lease(lease), reason))


def from_front(src: Source, *facts: Event) -> tuple[by, ...]:
    return tuple(by(src, fact) for fact in facts)
