"""What happened to the models on the disks of nodes, and who wanted it."""

from typing import Literal

from events.base import Event, NodeId

PullOutcome = Literal["done", "failed", "cancelled", "too_large", "lost"]
"""`cancelled`: its client left. `too_large`: herd stopped it, since it would not fit. `lost`: the
process of herd that watched it has ended, so nobody knows."""


class PullStarted(Event, frozen=True, tag="pull_started"):
    """A node was told to pull a model; two that pull the same there share one download."""

    pull_id: str
    """Unique; what follows names it."""
    model: str
    node_id: NodeId
    automatic: bool = False
    """herd pulls it by itself, for a request whose model no node had (`auto_pull`)."""
    by: str = ""
    """Who asked for it: an address; `request` where a request was the reason."""


class PullProgressed(Event, frozen=True, tag="pull_progressed"):
    """How far a pull has come; recorded when its size is known, then now and then."""

    pull_id: str
    model: str
    node_id: NodeId
    completed_bytes: int
    total_bytes: int
    """As far as the node has told; it learns of one layer after the other."""


class PullEnded(Event, frozen=True, tag="pull_ended"):
    """A pull came to its end, and the model is there; or it did not."""

    pull_id: str
    model: str
    node_id: NodeId
    outcome: PullOutcome
    error: str = ""
    completed_bytes: int = 0
    total_bytes: int = 0
    took_s: float = 0.0


class ModelPinned(Event, frozen=True, tag="model_pinned"):
    """Somebody wanted a model to stay in a node's memory."""

    node_id: NodeId
    model: str
    by: str = ""


class ModelUnpinned(Event, frozen=True, tag="model_unpinned"):
    """A model need not stay in a node's memory any more."""

    node_id: NodeId
    model: str
    by: str = ""


class ModelUnloaded(Event, frozen=True, tag="model_unloaded"):
    """A model was let go from a node's memory, because somebody asked for that."""

    node_id: NodeId
    model: str
    by: str = ""


class ModelDeleted(Event, frozen=True, tag="model_deleted"):
    """A model was deleted from a node's disk."""

    node_id: NodeId
    model: str
    by: str = ""


class ModelCopied(Event, frozen=True, tag="model_copied"):
    """A model got a second name on a node."""

    node_id: NodeId
    model: str
    destination: str
    """The second name."""
    by: str = ""


class ModelCreated(Event, frozen=True, tag="model_created"):
    """A model was made on a node."""

    node_id: NodeId
    model: str
    by: str = ""


class ModelPushed(Event, frozen=True, tag="model_pushed"):
    """A node sent a model to a registry."""

    node_id: NodeId
    model: str
    by: str = ""
