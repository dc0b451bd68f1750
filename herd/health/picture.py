"""What the checks look at: the fleet as control shows it, and the last day of the log in figures.

Counts are of the last 24 hours, those marked `recent` of the last one alone. `seqs` are the newest
events that a figure stands on, five at most. Beside there is of each node the newest event of those
that say how it is, whenever that was: `heartbeat_received`, `node_paused` and their like.
"""

import msgspec

from herd.link.messages import NodeView, View


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong in one way, at one place."""

    recent: bool
    kind: str
    node_id: str = ""
    model: str = ""
    phase: str = ""
    """How far a request had come; the reason, of what has no phase."""
    fault: str = ""
    status: int = 0
    events: int = 1
    quick: int = 0
    """Errors of a node that came back within a second."""
    seqs: list[int] = []


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What a node did with a model."""

    recent: bool
    node_id: str
    model: str
    completed: int = 0
    cold: int = 0
    ttft_s: float = 0.0
    """Total, as the next."""
    queue_s: float = 0.0
    decoded_tokens: int = 0
    """Of whole answers, after their first byte."""
    decode_s: float = 0.0
    again: int = 0
    """Loads of a model that had answered there a moment before; of the last hour alone."""
    again_seqs: list[int] | None = None
    abandoned: int = 0
    """Loads whose client left before a byte."""
    abandoned_seqs: list[int] | None = None
    seqs: list[int] | None = None


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What an application asked of a context, and got."""

    model: str
    app: str
    num_ctx: int
    """Tokens; 0 where it was left to the node."""
    node_id: str
    requests: int
    cold: int = 0
    most_body_bytes: int = 0
    prompt_tokens: int = 0
    """What the node read of the largest."""
    seqs: list[int] = []


class LogState(msgspec.Struct, frozen=True, kw_only=True):
    """How the log itself is."""

    away: bool = False
    """logd does not answer, so that nothing is known of what happened."""
    missing_events: int = 0
    quarantined_lines: int = 0
    lag_s: float = 0.0
    """Age of the oldest event that logd has not taken in; 0 if there is none."""
    ahead_s: float = 0.0
    """How far the newest event is in the future of this machine's clock."""
    free_bytes: int | None = None
    """On the disk of the data directory."""


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """Everything."""

    view: View
    version: str = ""
    """Of this balancer."""
    troubles: tuple[Trouble, ...] = ()
    work: tuple[Work, ...] = ()
    contexts: tuple[Context, ...] = ()
    log: LogState = LogState()

    def nodes_online(self) -> list[NodeView]:
        """Return the nodes that answer."""
        return [node for node in self.view.nodes if node.answers]

    def node(self, node_id: str) -> NodeView | None:
        """Return one of the fleet; None if it is none of it."""
        return next((node for node in self.view.nodes if node.node_id == node_id), None)

    def happened(self, *kinds: str) -> list[Trouble]:
        """Return the troubles of some kinds."""
        return [trouble for trouble in self.troubles if trouble.kind in kinds]

    def at_node(self, node_id: str, *kinds: str) -> list[Trouble]:
        """Return those of one node."""
        return [trouble for trouble in self.happened(*kinds) if trouble.node_id == node_id]

    def memory_seqs(self, node_id: str) -> tuple[int, ...]:
        """Return the event that says what a node has in its memory, as control shows it."""
        told = self.at_node(node_id, "heartbeat_received", "node_probed")
        return newest(*(each.seqs for each in told))[:1]

    def retries(self) -> int:
        """Return how many attempts failed and were not the last ones of their requests."""
        given_up = sum(each.events for each in self.happened("request_given_up"))
        return sum(each.events for each in self.happened("attempt_failed")) - given_up

    def completed(self, node_id: str = "") -> int:
        """Return how many answers came whole, in all or from one node."""
        return sum(work.completed for work in self.work if node_id in {"", work.node_id})


def newest(*lists: list[int] | None) -> tuple[int, ...]:
    """Return the newest of several lists of events."""
    return tuple(sorted({seq for each in lists for seq in each or ()}, reverse=True)[:5])
