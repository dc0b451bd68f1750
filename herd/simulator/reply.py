"""One inference request at a simulated node, from its job to the last byte of its answer.

- The head goes out with the first token, so that until then every failure is a status.
- A stream is one write for each token; an answer in one piece is sent when it is whole.
- When the client goes, the job is dropped at once.
"""

from typing import Literal, Protocol, TypeAlias

import msgspec

from herd.http.server import Exchange
from herd.simulator.ollama_bodies import Ending
from herd.simulator.physics import Job, Timings


class Whole(Protocol):
    """How an answer in one piece, or an error, is written down in some API."""

    @property
    def whole_type(self) -> bytes:
        """Its Content-Type."""
        ...

    def whole(self, text: str, ending: Ending, thought: str = "") -> bytes:
        """Write an answer, and what was thought before it."""
        ...

    def error(self, status: int, text: str) -> bytes:
        """Write an error."""
        ...


class Stream(Protocol):
    """How an answer is written down token by token."""

    @property
    def stream_type(self) -> bytes:
        """Its Content-Type."""
        ...

    def chunk(self, text: str) -> bytes:
        """Write one token."""
        ...

    def thought(self, text: str) -> bytes:
        """Write one token of a thought."""
        ...

    def end(self, ending: Ending) -> bytes:
        """Write the end."""
        ...


class Plan(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A request that can be served, with the whole answer known beforehand."""

    job: Job
    whole: Whole
    stream: Stream | None = None
    """None: in one piece."""
    pieces: tuple[str, ...] = ()
    """The tokens of the answer, after those of a thought."""
    thoughts: int = 0
    """How many of them are the thought's."""
    reason: str = "stop"


End: TypeAlias = Literal["served", "cancelled", "refused", "failed"]
"""cancelled: by its client; refused: by the machine; failed: hit by a fault."""


class Node(Protocol):
    """What a reply needs of its node."""

    @property
    def rate(self) -> float:
        """Simulated seconds in a real one."""
        ...

    def dies(self, tokens: int) -> bool:
        """Return whether an answer with so many tokens is cut off now."""
        ...

    def ended(self, reply: "Reply", how: End) -> None:
        """Take note that a reply is over."""
        ...


class Reply:
    """A request under way."""

    def __init__(self, node: Node, exchange: Exchange, plan: Plan) -> None:
        """Begin with nothing sent."""
        self.plan = plan
        self._node = node
        self._exchange = exchange
        self._made = 0
        exchange.on_gone = self._gone

    # The engine calls these.

    def tokens(self, count: int) -> None:
        """Send further tokens, unless the answer is in one piece or is to be cut off."""
        stream, pieces = self.plan.stream, self.plan.pieces
        for _ in range(count):
            if self._exchange.ended or self._dies():
                return
            if stream is not None:
                thinks = self._made < self.plan.thoughts
                write = stream.thought if thinks else stream.chunk
                self._send(stream.stream_type, write(pieces[self._made]))
            self._made += 1

    def finished(self, timings: Timings) -> None:
        """Send the end, or the whole."""
        if self._exchange.ended or self._dies():
            return
        plan, ending = self.plan, self._ending(timings)
        if plan.stream is not None and plan.pieces:
            self._exchange.finish(plan.stream.end(ending))
        else:
            thought = "".join(plan.pieces[: plan.thoughts])
            said = "".join(plan.pieces[plan.thoughts :])
            whole = plan.whole.whole(said, ending, thought)
            self._exchange.respond(200, ((b"Content-Type", plan.whole.whole_type),), whole)
        self._node.ended(self, "served")

    def refused(self, status: int, error: str) -> None:
        """Send an error in place of an answer."""
        whole = self.plan.whole
        headers = ((b"Content-Type", whole.whole_type),)
        self._exchange.respond(status, headers, whole.error(status, error))
        self._node.ended(self, "refused")

    # Inside.

    def _gone(self) -> None:
        self._node.ended(self, "cancelled")

    def _dies(self) -> bool:
        if not self._node.dies(self._made):
            return False
        self._exchange.abort()
        self._node.ended(self, "failed")
        return True

    def _send(self, kind: bytes, data: bytes) -> None:
        if self._exchange.started:
            self._exchange.write(data)
        else:
            self._exchange.start(200, ((b"Content-Type", kind),), None, data)

    def _ending(self, timings: Timings) -> Ending:
        def real_ns(seconds: float) -> int:
            return int(seconds / self._node.rate * 1e9)

        return Ending(
            reason=self.plan.reason,
            prompt_tokens=self.plan.job.prompt_tokens,
            output_tokens=len(self.plan.pieces),
            total_ns=real_ns(timings.total_s),
            load_ns=max(real_ns(timings.load_s), 1),  # a server takes time to see that it is there
            prefill_ns=real_ns(timings.prefill_s),
            decode_ns=real_ns(timings.decode_s),
        )
