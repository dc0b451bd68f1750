"""What a log shows: each run of a request on a node, each request, each fact about the fleet."""

from collections.abc import Callable, Collection, Iterable

import msgspec

from actors.core.slots import START
from actors.core.state import US, Node, State, dump, load
from events import (
    AttemptFailed,
    ConfigurationLoaded,
    DrainRequested,
    Event,
    HeartbeatReceived,
    Lease,
    LeaseVoided,
    NodeConfigured,
    NodeId,
    NodeProbed,
    NodeSilent,
    Recorded,
    RecordingResumed,
    RequestCancelled,
    RequestCompleted,
    RequestDispatched,
    RequestFailed,
    RequestId,
    RequestInterrupted,
    RequestReaped,
    RequestReceived,
    RequestRejected,
    ResidentModel,
    SettingsChanged,
    SlotsChanged,
    StreamStarted,
)
from herd.control.restore import apply
from herd.virtual.script import Happening, Outcome
from herd.whatif.seen import Seen

CLIENT_ERROR = 400
FLEET = (
    ConfigurationLoaded,
    DrainRequested,
    HeartbeatReceived,
    NodeConfigured,
    NodeProbed,
    NodeSilent,
    SettingsChanged,
)
"""Facts that are played again as they were."""

_ENDS = (
    RequestCompleted,
    RequestFailed,
    RequestCancelled,
    RequestRejected,
    RequestReaped,
    RequestInterrupted,
)


class Run(msgspec.Struct, gc=False):
    """One request on one node, from its dispatch on."""

    request_id: RequestId
    node_id: NodeId
    model: str
    begun_us: int
    cold: bool
    stream: bool
    ended_us: int = 0
    first_us: int = 0
    """The first byte came; 0 if that is not known."""
    load_s: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    whole: bool = False
    """It was answered to its end."""


class Asked(msgspec.Struct, gc=False):
    """A request as it came, and how it ended."""

    received: RequestReceived
    at_us: int
    ended_us: int = 0
    how: str = ""
    """completed, failed, cancelled, rejected or interrupted; empty if the log ends before it."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    """Of one that was cancelled: those it had until then."""
    known: bool = False
    """Its tokens are."""
    turned_down: bool = False
    """A node answered that it cannot be done."""
    run: Run | None = None
    """The last."""


class Evidence(msgspec.Struct):
    """Everything that a re-run rests on."""

    start: State
    """As it was when the log begins."""
    end: State
    start_us: int = 0
    end_us: int = 0
    runs: list[Run] = []
    asked: list[Asked] = []
    happenings: list[Happening] = []
    sizes: dict[tuple[NodeId, str], int] = {}
    """The memory that a model was seen to take on a node, in bytes."""
    together: dict[NodeId, int] = {}
    """The most that was seen in a node's video memory at once, in bytes."""
    nodes: dict[NodeId, Seen] = {}
    """Every node of which the log knows."""
    proven: dict[tuple[NodeId, str], int] = {}
    """The most slots that proved good to herd, by node and model, where nobody told them."""
    attempts_failed: int = 0
    interrupted: int = 0
    not_recorded: int = 0
    """Events that were lost while the log could not be written."""

    def outcomes(self) -> list[Outcome]:
        """Return what became of the requests whose end the log has, as it was."""
        return [_outcome(each) for each in self.asked if each.how and each.how != "interrupted"]


def gather(
    start: State,
    records: Iterable[Recorded],
    progress: Callable[[int], None] = lambda _seq: None,
) -> Evidence:
    """Read a log that begins after the state `start`."""
    found = Evidence(start=load(dump(start)), end=start, start_us=start.recorded_at)
    gatherer = _Gatherer(found)
    for node in start.nodes.values():
        gatherer.begin(node, start.recorded_at)
    for record in records:
        apply(found.end, record)
        found.end_us = record.recorded_at
        found.start_us = found.start_us or record.recorded_at
        gatherer.take(record)
        progress(record.seq)
    return found


class _Gatherer:
    """The requests that have not ended yet, while reading."""

    def __init__(self, found: Evidence) -> None:
        self._found = found
        self._asked: dict[RequestId, Asked] = {}
        self._runs: dict[Lease, Run] = {}
        self._limits: dict[tuple[NodeId, str], int] = {}

    def take(self, record: Recorded) -> None:
        """Take one record."""
        event, at_us = record.event, record.recorded_at
        match event:
            case RequestReceived():
                self._asked[event.request_id] = asked = Asked(event, at_us)
                self._found.asked.append(asked)
            case RequestDispatched():
                self._dispatched(event, at_us)
            case StreamStarted(lease=lease, ttft_s=ttft_s) if lease in self._runs:
                run = self._runs[lease]
                run.first_us = run.begun_us + round(ttft_s * US)
            case AttemptFailed(lease=lease) | LeaseVoided(lease=lease):
                self._found.attempts_failed += isinstance(event, AttemptFailed)
                if lease in self._runs:
                    self._runs.pop(lease).ended_us = at_us
            case _ if isinstance(event, _ENDS):
                self._ended(event, at_us)
            case _ if isinstance(event, FLEET):
                self._found.happenings.append(Happening(at_us=at_us, fact=event))
                if isinstance(event, NodeProbed | HeartbeatReceived):
                    self._memory(event.node_id, event.resident or ())
                if (node_id := getattr(event, "node_id", None)) is not None:
                    self.look(node_id, at_us)
            case _:
                self._other(event)

    def _other(self, event: Event) -> None:
        match event:
            case RecordingResumed(lost_events=lost):
                self._found.not_recorded += lost
            case SlotsChanged(node_id=node_id, model=model, slots=slots, reason=reason):
                before = self._limits.get((node_id, model), START)
                self._limits[node_id, model] = slots
                if reason == "trial" and slots > before:
                    good = max(before, self._found.proven.get((node_id, model), 0))
                    self._found.proven[node_id, model] = good
            case _:
                pass

    def begin(self, node: Node, at_us: int) -> None:
        """Take what is known of a node before the first record."""
        self.look(node.node_id, at_us)
        self._memory(node.node_id, node.resident.values())
        for model, slots in node.slots.items():
            if not slots.told:
                self._limits[node.node_id, model] = slots.limit
                self._found.proven[node.node_id, model] = slots.held

    def look(self, node_id: NodeId, at_us: int) -> None:
        """Take note of how a node stands."""
        if (node := self._found.end.nodes.get(node_id)) is not None:
            self._found.nodes.setdefault(node_id, Seen(node_id)).look(node, at_us)

    def _dispatched(self, event: RequestDispatched, at_us: int) -> None:
        asked = self._asked.get(event.request_id)
        run = Run(
            event.request_id,
            event.node_id,
            event.model,
            at_us,
            event.cold,
            asked is None or asked.received.stream,
        )
        self._runs[event.lease] = run
        self._found.runs.append(run)
        if asked is not None:
            asked.run = run

    def _ended(self, event: Event, at_us: int) -> None:
        lease: Lease = getattr(event, "lease", Lease(""))
        run = self._runs.pop(lease) if lease in self._runs else None
        if run is not None:
            run.ended_us = at_us
        if run is not None and isinstance(event, RequestCompleted):
            self._whole(run, event)
        request_id: RequestId = getattr(event, "request_id", RequestId(""))
        if request_id not in self._asked:
            return
        asked = self._asked.pop(request_id)
        asked.ended_us = at_us
        asked.how = _how(event)
        self._found.interrupted += asked.how == "interrupted"
        if isinstance(event, RequestCompleted) and event.usage_source != "none":
            asked.prompt_tokens = event.prompt_tokens
            asked.completion_tokens = event.completion_tokens
            asked.known = True
        elif isinstance(event, RequestCompleted):
            asked.turned_down = event.status >= CLIENT_ERROR
        elif isinstance(event, RequestCancelled):
            asked.completion_tokens = event.completion_tokens

    def _whole(self, run: Run, event: RequestCompleted) -> None:
        run.ended_us = run.begun_us + round(event.service_s * US)
        if run.stream:
            run.first_us = run.begun_us + round(event.ttft_s * US)
        run.load_s = event.load_s
        run.prompt_tokens = event.prompt_tokens
        run.completion_tokens = event.completion_tokens
        run.whole = event.status < CLIENT_ERROR and event.usage_source != "none"

    def _memory(self, node_id: NodeId, resident: Collection[ResidentModel]) -> None:
        """Take note of what a node has in its memory."""
        found = self._found
        for model in resident:
            found.sizes[node_id, model.name] = model.size_bytes
        total = sum(model.size_vram_bytes for model in resident)
        found.together[node_id] = max(found.together.get(node_id, 0), total)


def _how(event: Event) -> str:
    match event:
        case RequestCompleted():
            return "completed"
        case RequestCancelled():
            return "cancelled"
        case RequestRejected():
            return "rejected"
        case RequestInterrupted():
            return "interrupted"
        case _:
            return "failed"


def _outcome(asked: Asked) -> Outcome:
    run = asked.run
    begun_us = asked.ended_us if run is None else run.begun_us
    first_us = 0 if run is None else run.first_us or (run.ended_us if run.whole else 0)
    return Outcome(
        request_id=asked.received.request_id,
        model=asked.received.model if run is None else run.model,
        node_id="" if run is None else run.node_id,
        at_us=asked.at_us,
        how=asked.how,
        wait_s=(begun_us - asked.at_us) / US,
        ttft_s=(first_us - asked.at_us) / US if first_us else 0.0,
        total_s=(asked.ended_us - asked.at_us) / US,
        cold=run is not None and run.cold,
    )
