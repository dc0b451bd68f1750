"""A front and its clients in virtual time: it does what the link contract says of a front."""

from collections.abc import Callable, Mapping
from functools import partial
from itertools import count
from typing import Literal

from actors.core.commands import Cancel, Grant, Refuse
from actors.core.state import US
from events import (
    AttemptFailed,
    Event,
    Lease,
    NodeId,
    RequestCancelled,
    RequestCompleted,
    RequestFailed,
    RequestId,
    RequestReaped,
    StreamsProgressed,
    StreamStarted,
)
from herd.simulator.physics import Finished, Job, Output, Refused, Tokens
from herd.virtual.agenda import Agenda
from herd.virtual.node import VirtualNode
from herd.virtual.script import NEVER, Arrival, Outcome

TOLD_AFTER_S = 1.0
"""The age from which a stream's progress is reported, each second."""

_NO_ANSWER = "connection refused"
_BAD_GATEWAY = 502


class _Request:
    """A request at its front."""

    __slots__ = ("arrival", "dispatched_us", "ended", "first_us", "grant", "job", "tokens", "told")

    def __init__(self, arrival: Arrival) -> None:
        self.arrival = arrival
        self.grant: Grant | None = None
        self.job = 0
        self.dispatched_us = 0
        self.first_us = 0
        self.tokens = 0
        self.told = False
        """Its first byte was reported."""
        self.ended = False

    @property
    def model(self) -> str:
        """The one that serves it, as far as it was told; else the one asked for."""
        granted = "" if self.grant is None else self.grant.model
        return granted or self.arrival.request.model


class VirtualFront:
    """All requests that have not ended, and what became of those that have."""

    def __init__(
        self,
        nodes: Mapping[NodeId, VirtualNode],
        agenda: Agenda,
        *,
        tell: Callable[[Event], None],
    ) -> None:
        """`tell` is told the front's facts."""
        self.outcomes: list[Outcome] = []
        self.cold: set[RequestId] = set()
        """Requests whose last dispatch began a load."""
        self._nodes = nodes
        self._agenda = agenda
        self._tell = tell
        self._requests: dict[RequestId, _Request] = {}
        self._jobs: dict[int, _Request] = {}
        self._numbers = count(1)

    @property
    def busy(self) -> bool:
        """Whether any client waits for an answer, or for its end."""
        return bool(self._requests)

    # From clients.

    def receive(self, arrival: Arrival) -> None:
        """Take a request."""
        request = _Request(arrival)
        self._requests[arrival.request.request_id] = request
        if arrival.patience_s < NEVER:
            leaves_us = arrival.at_us + int(arrival.patience_s * US)
            self._agenda.at(leaves_us, partial(self._leave, request))
        self._tell(arrival.request)

    def _leave(self, request: _Request) -> None:
        """Let a client go that has no answer yet."""
        if request.ended:
            return
        grant = request.grant
        self._take_off(request)
        self._end(request, "cancelled")
        received = request.arrival.request
        self._tell(
            RequestCancelled(
                request_id=received.request_id,
                model=request.model,
                phase="queue" if grant is None else "stream" if request.first_us else "first_byte",
                node_id=NodeId("") if grant is None else grant.node_id,
                lease=Lease("") if grant is None else grant.lease,
                service_s=0.0 if grant is None else self._since(request.dispatched_us),
                completion_tokens=request.tokens,
            )
        )

    # From control.

    def hear(self, message: Grant | Refuse | Cancel) -> None:
        """Do what control says."""
        request = self._requests.get(message.request_id)
        if request is None:
            return
        match message:
            case Grant():
                self._send(request, message)
            case Refuse():
                self._end(request, "rejected")
            case Cancel(reason="stalled"):
                if request.grant is not None and not request.first_us:
                    self._take_off(request)
                    silent = f"silent for {message.idle_s:.0f} s"
                    self._failed(request, request.grant, 0, silent, phase="first_byte")
            case Cancel(reason="stale"):
                self._reap(request, message)
            case Cancel():
                self._take_off(request)
                self._end(request, "failed")

    def _reap(self, request: _Request, cancel: Cancel) -> None:
        grant = request.grant
        if grant is None:  # it told that this attempt failed: another may be granted
            return
        self._take_off(request)
        self._tell(
            RequestReaped(
                request_id=cancel.request_id,
                model=request.model,
                node_id=grant.node_id,
                lease=cancel.lease,
                idle_s=cancel.idle_s,
            )
        )
        self._end(request, "failed")

    def _send(self, request: _Request, grant: Grant) -> None:
        request.grant = grant
        request.dispatched_us = self._agenda.now_us
        request.first_us = request.tokens = 0
        request.told = False
        node = self._nodes.get(grant.node_id)
        if node is None or node.down:
            refused = partial(self._failed, request, grant, 0, _NO_ANSWER)
            self._agenda.at(self._agenda.now_us, refused)
            return
        request.job = next(self._numbers)
        self._jobs[request.job] = request
        arrival = request.arrival
        node.submit(
            Job(
                id=request.job,
                model=request.model,
                prompt_tokens=max(1, arrival.prompt_tokens),
                output_tokens=arrival.output_tokens,
                num_ctx=grant.context[1] or arrival.request.num_ctx or None,
                prefixes=_prefixes(arrival),
            )
        )

    # From nodes.

    def output(self, output: Output) -> None:
        """Take what comes of a job."""
        match output:
            case Tokens(job=job, at_s=at_s, count=tokens) if job in self._jobs:
                self._streamed(self._jobs[job], at_s, tokens)
            case Finished(job=job) if job in self._jobs:
                self._completed(self._jobs.pop(job), output)
            case Refused(job=job, status=status, error=error) if job in self._jobs:
                request = self._jobs.pop(job)
                if request.grant is not None:
                    self._failed(request, request.grant, status, error)
            case _:
                pass

    def broke(self, node: VirtualNode) -> None:
        """Lose the connections to a node."""
        for request in list(self._jobs.values()):
            grant = request.grant
            if grant is not None and grant.node_id == node.node_id:
                self._take_off(request)
                self._failed(request, grant, 0, _NO_ANSWER)

    def report_streams(self) -> None:
        """Tell of the streams that are a second old; once a second."""
        streams = [
            request
            for request in self._jobs.values()
            if request.first_us
            and request.arrival.request.stream
            and self._since(request.dispatched_us) >= TOLD_AFTER_S
        ]
        for request in streams:
            self._tell_start(request)
        if streams:
            told = ((each.arrival.request.request_id, each.tokens) for each in streams)
            self._tell(StreamsProgressed(progress=tuple(told)))

    def _streamed(self, request: _Request, at_s: float, tokens: int) -> None:
        request.tokens += tokens
        if not request.first_us:
            request.first_us = self._agenda.instant(at_s)
            if request.grant is not None and request.grant.probing:
                self._tell_start(request)

    def _tell_start(self, request: _Request) -> None:
        grant = request.grant
        if request.told or grant is None:
            return
        request.told = True
        self._tell(
            StreamStarted(
                request_id=grant.request_id,
                model=request.model,
                node_id=grant.node_id,
                lease=grant.lease,
                ttft_s=(request.first_us - request.dispatched_us) / US,
            )
        )

    def _completed(self, request: _Request, output: Finished) -> None:
        grant = request.grant
        if grant is None:
            return
        arrival = request.arrival
        if not (request.first_us and arrival.request.stream):
            request.first_us = self._agenda.now_us
        self._end(request, "completed")
        self._tell(
            RequestCompleted(
                request_id=grant.request_id,
                model=request.model,
                node_id=grant.node_id,
                lease=grant.lease,
                ttft_s=(request.first_us - request.dispatched_us) / US,
                service_s=self._since(request.dispatched_us),
                load_s=round(output.timings.load_s, 6),
                prompt_tokens=arrival.prompt_tokens,
                completion_tokens=arrival.output_tokens,
                usage_source="reported",
                finish="stop",
            )
        )

    def _failed(
        self,
        request: _Request,
        grant: Grant,
        status: int,
        error: str,
        phase: Literal["connect", "first_byte"] = "connect",
    ) -> None:
        if request.ended or request.grant is not grant:
            return
        model = request.model
        if request.first_us:
            self._end(request, "failed")
            self._tell(
                RequestFailed(
                    request_id=grant.request_id,
                    model=model,
                    phase="stream",
                    fault="node",
                    status=_BAD_GATEWAY,
                    node_id=grant.node_id,
                    lease=grant.lease,
                    error=error,
                )
            )
            return
        request.grant = None
        self._tell(
            AttemptFailed(
                request_id=grant.request_id,
                model=model,
                node_id=grant.node_id,
                lease=grant.lease,
                phase="first_byte" if status else phase,
                status=status,
                error=error,
                elapsed_s=self._since(request.dispatched_us),
            )
        )

    def _take_off(self, request: _Request) -> None:
        grant = request.grant
        if grant is not None and self._jobs.pop(request.job, None) is not None:
            self._nodes[grant.node_id].cancel(request.job)

    def _end(self, request: _Request, how: str) -> None:
        """Close a request, and remember what became of it."""
        request.ended = True
        arrival = request.arrival
        request_id = arrival.request.request_id
        del self._requests[request_id]
        came_us = arrival.at_us
        begun_us = request.dispatched_us or self._agenda.now_us
        self.outcomes.append(
            Outcome(
                request_id=request_id,
                model=request.model,
                node_id="" if request.grant is None else request.grant.node_id,
                at_us=came_us,
                how=how,
                wait_s=(begun_us - came_us) / US,
                ttft_s=(request.first_us - came_us) / US if request.first_us else 0.0,
                total_s=self._since(came_us),
                cold=request_id in self.cold,
            )
        )

    def _since(self, at_us: int) -> float:
        return (self._agenda.now_us - at_us) / US


def _prefixes(arrival: Arrival) -> tuple[tuple[str, int], ...]:
    """Return the beginnings of a prompt in tokens: as long as they are of its body."""
    tokens, size = arrival.prompt_tokens, max(1, arrival.request.body_bytes)
    return tuple(
        (prefix.hash, tokens * prefix.size_bytes // size) for prefix in arrival.request.prefixes
    )
