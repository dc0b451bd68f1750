"""One inference request, from its admission to the one fact that ends it.

Rules
1. `RequestReceived`, then grants and failed attempts, then exactly one of `RequestCompleted`,
   `RequestFailed`, `RequestCancelled`; none of them where control ended it (`Refuse`, `Cancel`),
   since control has recorded that already.
2. The client leaves at any moment, and then the node's connection closes at once. Who leaves at
   the last event of a stream has had all of it: that is no cancellation.
3. Durations are measured here; instants are control's business.
"""

from typing import Final

from events import (
    AttemptFailed,
    CarriedRequest,
    Phase,
    RequestCancelled,
    RequestCompleted,
    RequestFailed,
    RequestId,
    StreamStarted,
)
from herd.http import problems, wire
from herd.http.asked import Asked
from herd.http.client import FetchError
from herd.http.crossing import Crossing
from herd.http.exchange import Exchange
from herd.http.granted import body_for, lines_before, lines_of, named
from herd.http.problems import Family
from herd.http.refusals import Refusal, may_speak_of_node
from herd.http.relay import Attempt
from herd.http.tower import Tower
from herd.http.translations import Translation
from herd.http.usage import Usage
from herd.http.ways import Way
from herd.http.wire import Header
from herd.link.messages import Cancel, Grant, Refuse

STARTED_AFTER_S: Final = 1.0
"""A stream of that age is worth a fact."""

_SAY_AGAIN: Final = (429, 503)


class Flight:
    """A request, who asked for it, and what has become of it so far."""

    __slots__ = (
        "_dispatched_s",
        "_exchange",
        "_family",
        "_first_s",
        "_node_said",
        "_received_s",
        "_refusal",
        "_told_start",
        "_told_tokens",
        "_tower",
        "_translation",
        "_waits_since_s",
        "asked",
        "attempt",
        "deadline_s",
        "ended",
        "grant",
        "model",
        "path",
        "request_id",
        "tries",
    )

    def __init__(  # noqa: PLR0913 (what is known of a request at its admission)
        self,
        tower: Tower,
        exchange: Exchange,
        request_id: RequestId,
        *,
        path: bytes,
        family: Family,
        asked: Asked,
        model: str,
        deadline_s: float,
        translation: Translation | None = None,
    ) -> None:
        """Wait for a grant."""
        self._tower = tower
        self._exchange = exchange
        self._translation = translation
        """For nodes that lack the route."""
        self._family: Family = family
        self._received_s = tower.now_s()
        self._waits_since_s = self._received_s
        self._dispatched_s = 0.0
        self._first_s = 0.0
        self._node_said = ""
        self._refusal: Refusal | None = None
        """What the last node answered, if that spoke of the node alone."""
        self._told_start = False
        self._told_tokens = 0
        self.request_id = request_id
        self.path = path
        """The node's own route, of the same name."""
        self.asked = asked
        self.model = model
        """The name as the fleet spells it; once there is a grant, of the model that serves it."""
        self.deadline_s = deadline_s
        self.tries = 0
        """Grants so far."""
        self.grant: Grant | None = None
        """The last one."""
        self.attempt: Attempt | None = None
        """Under way now; None while it waits for a node."""
        self.ended = False
        exchange.on_gone = self.gone

    def age_s(self, now_s: float) -> float:
        """Return the time since it came."""
        return now_s - self._received_s

    def waited_s(self, now_s: float) -> float:
        """Return how long it has waited for a node: since it came, or since the last one failed."""
        return now_s - self._waits_since_s

    def carried(self) -> CarriedRequest | None:
        """Return what control must know if it has forgotten; None while it waits."""
        if self.grant is None or self.attempt is None:
            return None
        return CarriedRequest(self.request_id, self.model, self.grant.node_id, self.grant.lease)

    # What control decides

    def dispatch(self, grant: Grant) -> None:
        """Send the request to a node."""
        self.grant = grant
        self.model = grant.model or self.model
        self.tries += 1
        self._dispatched_s = self._tower.now_s()
        self._first_s = 0.0
        self._told_start = False
        try:
            pool = self._tower.pool(grant.url)
        except FetchError as error:
            self.attempt_failed("connect", 0, "not an address", error.text)
            return
        asked = self._exchange.request
        target, hops = pool.prefix + self.path, wire.hops(asked.connection)
        native = self.path.startswith(b"/api/")
        body = body_for(grant, asked.body, self.asked, pool.known, native=native)
        head = wire.request_head(target, pool.host, asked.headers, hops, len(body))
        way: Way = pool
        other = self._translation
        if other is not None and (not pool.known.ollama or not other.native):
            model, now_s = named(grant, self.asked), self._tower.now_s
            way = Crossing(pool, self.path, other, asked, model, now_s).way()
        self.attempt = Attempt(self._exchange, self, way, head, body)

    def refuse(self, refuse: Refuse) -> None:
        """Tell the client that it gets no node (any more)."""
        self._stop()
        if self._refusal is not None and refuse.reason == "node_failed":
            self._close()
            self._refusal.pass_on(self._exchange, self.fleet_lines())
            return
        said = self._node_said or refuse.error
        self.answer(refuse.status, refuse.reason, said, refuse.retry_after_s)

    def cancel(self, cancel: Cancel) -> None:
        """End it because control says so; or leave a node that does not answer."""
        if cancel.reason == "stalled":
            if not self._first_s and self._stop() is not None:
                silent = f"no answer for {self._since(self._dispatched_s):.0f} s"
                self.attempt_failed("first_byte", 0, silent, silent)
            return
        attempt = self._stop()
        if not self._exchange.started:
            self.answer(problems.CANCELS.get(cancel.reason, 500), cancel.reason, "", 0)
            return
        text = problems.refusal(cancel.reason, model=self.asked.model, detail="", online=True)
        if attempt is None:
            self._exchange.cut()
        else:
            attempt.cut(text)
        self._close()

    def give_up(self, phase: Phase, status: int, reason: str) -> None:
        """End it in control's place."""
        self._report_failed(phase, status, reason, 0)
        self.answer(status, reason, "", 1)

    def answer(self, status: int, reason: str, detail: str, retry_after_s: int) -> None:
        """Answer with an error, in the shape of its family."""
        self._close()
        text = problems.refusal(
            reason, model=self.asked.model, detail=detail, online=self._tower.online
        )
        headers: list[Header] = []
        if retry_after_s or status in _SAY_AGAIN:
            headers.append((b"Retry-After", b"%d" % max(1, retry_after_s)))
        lines = self.fleet_lines()
        self._exchange.refuse(status, text, headers, lines, family=self._family, reason=reason)

    # What the client does

    def gone(self) -> None:
        """Stop everything: nobody wants the answer, or the rest of it."""
        attempt, grant = self.attempt, self.grant
        cancelled = RequestCancelled(request_id=self.request_id, model=self.model, phase="queue")
        if grant is not None and attempt is not None:
            if attempt.over():
                return
            cancelled = RequestCancelled(
                request_id=self.request_id,
                model=self.model,
                phase=attempt.phase,
                node_id=grant.node_id,
                lease=grant.lease,
                service_s=self._since(self._dispatched_s),
                completion_tokens=attempt.tokens,
            )
        self._stop()
        self._close()
        self._tower.report(cancelled)

    # What the attempt tells

    def fleet_lines(self) -> bytes:
        """Return what herd says of this answer as of now: headers, in whole lines."""
        grant, asked = self.grant, self.asked
        if grant is None:
            return lines_before(asked.model, self.request_id)
        return lines_of(grant, asked.model, asked.num_ctx, self.model, self.tries)

    def first_byte(self) -> None:
        """Note when the answer began; control waits for it where a slot is on trial."""
        self._first_s = self._tower.now_s()
        if self.grant is not None and self.grant.probing and not self._told_start:
            self._report_start(self.grant)

    def completed(self, status: int, usage: Usage) -> None:
        """Report the whole answer."""
        self._close()
        grant = self.grant
        if grant is not None:
            refused = may_speak_of_node(status, self._exchange.request)
            self._tower.answered(self.model, grant.url, refused=refused)
            self._tower.report(
                RequestCompleted(
                    request_id=self.request_id,
                    model=self.model,
                    node_id=grant.node_id,
                    lease=grant.lease,
                    status=status,
                    ttft_s=round(self._first_s - self._dispatched_s, 6),
                    service_s=self._since(self._dispatched_s),
                    load_s=usage.load_s,
                    prompt_tokens=usage.prompt_tokens,
                    completion_tokens=usage.completion_tokens,
                    usage_source=usage.source,
                    finish=usage.finish,
                    cached_tokens=usage.cached_tokens,
                )
            )

    def elsewhere(self) -> bool:
        """Whether another node may be asked."""
        grant = self.grant
        return grant is not None and self._tower.elsewhere(self.model, grant.url)

    def attempt_failed(
        self, phase: Phase, status: int, error: str, said: str, refusal: Refusal | None = None
    ) -> None:
        """Ask control for another node."""
        grant, self.attempt = self.grant, None
        self._refusal = refusal
        if grant is None:
            return
        if refusal is not None:
            self._tower.answered(self.model, grant.url, refused=True)
        self._node_said = f"{grant.node_id}: {said}"
        self._waits_since_s = self._tower.now_s()
        told = self._tower.report(
            AttemptFailed(
                request_id=self.request_id,
                model=self.model,
                node_id=grant.node_id,
                lease=grant.lease,
                phase=phase,
                status=status,
                error=error,
                elapsed_s=self._since(self._dispatched_s),
            )
        )
        if not told:
            self.answer(502, "node_failed", self._node_said, 0)

    def broken(self, status: int, error: str, tokens: int) -> None:
        """Report an answer that broke off."""
        self._close()
        self._report_failed("stream", status, error, tokens)

    def failed(self) -> None:
        """End it after a mistake of herd's own: 500, or a broken answer; the slot is free again."""
        attempt, grant, ended = self._stop(), self.grant, self.ended
        self._close()
        if grant is not None and not ended:
            self._tower.report(
                RequestFailed(
                    request_id=self.request_id,
                    model=self.model,
                    phase="stream" if self._exchange.started else "first_byte",
                    fault="herd",
                    status=500,
                    node_id=grant.node_id,
                    lease=grant.lease,
                    error="internal error",
                    service_s=self._since(self._dispatched_s),
                    completion_tokens=0 if attempt is None else attempt.tokens,
                )
            )
        self._exchange.fail()

    # Once a second

    def progress(self, now_s: float) -> tuple[RequestId, int] | None:
        """Return the tokens so far of a stream that went on; tell of its start when it is due."""
        attempt, grant = self.attempt, self.grant
        if attempt is None or grant is None or not self._first_s:
            return None
        if not self._told_start:
            if now_s - self._first_s < STARTED_AFTER_S:
                return None
            self._report_start(grant)
        tokens = attempt.tokens
        if tokens == self._told_tokens:
            return None
        self._told_tokens = tokens
        return self.request_id, tokens

    # Inside

    def _close(self) -> None:
        """Leave nothing behind that only the garbage collector could find."""
        self._exchange.on_gone = None
        self.attempt = None
        self.ended = True
        self._tower.ended(self)

    def _stop(self) -> Attempt | None:
        attempt, self.attempt = self.attempt, None
        if attempt is not None:
            attempt.stop()
        return attempt

    def _report_start(self, grant: Grant) -> None:
        self._told_start = True
        self._tower.report(
            StreamStarted(
                request_id=self.request_id,
                model=self.model,
                node_id=grant.node_id,
                lease=grant.lease,
                ttft_s=round(self._first_s - self._dispatched_s, 6),
            )
        )

    def _report_failed(self, phase: Phase, status: int, error: str, tokens: int) -> None:
        grant = self.grant if phase == "stream" else None
        if grant is None:
            failed = RequestFailed(
                request_id=self.request_id,
                model=self.model,
                phase=phase,
                fault="herd",
                status=status,
                error=error,
            )
        else:
            failed = RequestFailed(
                request_id=self.request_id,
                model=self.model,
                phase=phase,
                fault="node",
                status=status,
                node_id=grant.node_id,
                lease=grant.lease,
                error=error,
                ttft_s=round(self._first_s - self._dispatched_s, 6),
                service_s=self._since(self._dispatched_s),
                completion_tokens=tokens,
            )
        self._tower.report(failed)

    def _since(self, then_s: float) -> float:
        return round(self._tower.now_s() - then_s, 6)
