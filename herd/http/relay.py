"""One attempt: a request to a node, and the node's answer to the client.

Rules
1. Nothing goes to the client before the first byte of the body, or the end of a whole bodiless
   answer: until then any failure leaves the request free for another node.
2. Body bytes are passed on as they are; chunk boundaries are herd's own. Nothing is kept back once
   the answer has begun. What had no length from the node has none for the client, also when all of
   it was read at once: clients choose by the framing how to read.
3. An answer that breaks off after that ends with the family's own error, and never cleanly.
4. The slower side sets the pace: a client that does not read pauses the node's connection.
5. An answer that speaks of the node alone (`refusals`) is a failure while another may be asked.
6. Exactly one word to the outcome: `completed`, `attempt_failed` or `broken`; none after `stop`. If
   herd itself fails with an answer, `failed` follows, whatever was said before.
"""

from typing import Final, Protocol

from events import Phase
from herd.http import problems
from herd.http.exchange import Exchange
from herd.http.reading import Reading, reading_of, usage_of
from herd.http.refusals import MOST_BYTES, Refusal, may_speak_of_node, speaks_of_node
from herd.http.unpacking import unpacked
from herd.http.usage import Usage
from herd.http.ways import Carrier, Way

ERROR_BYTES: Final = 64 * 1024
_OK: Final = 200
_NODE_ERROR: Final = 500

_TEXTS: Final = (b"text/plain", b"text/vtt", b"application/x-subrip")


class Outcome(Protocol):
    """Who wants to know how the attempt ended."""

    def fleet_lines(self) -> bytes:
        """Return what herd says of this answer as of now: headers, in whole lines."""
        ...

    def first_byte(self) -> None:
        """Know that the answer begins; and again, if that was a comment, with its first event."""
        ...

    def completed(self, status: int, usage: Usage) -> None:
        """Know that the whole answer was passed on."""
        ...

    def elsewhere(self) -> bool:
        """Whether another node may be asked."""
        ...

    def attempt_failed(
        self, phase: Phase, status: int, error: str, said: str, refusal: Refusal | None = None
    ) -> None:
        """Know that nothing was passed on; `said` and `refusal` are for the client's eyes only."""
        ...

    def broken(self, status: int, error: str, tokens: int) -> None:
        """Know that the answer broke off, and that the client was told."""
        ...

    def failed(self) -> None:
        """Know that herd made a mistake: the client has to be told."""
        ...


class Attempt:
    """A request on its way to one node and back."""

    __slots__ = (
        "_body",
        "_commented",
        "_connection",
        "_dialing",
        "_exchange",
        "_fresh",
        "_head",
        "_outcome",
        "_said",
        "_started",
        "_status",
        "_stopped",
        "_way",
        "reading",
    )

    def __init__(
        self, exchange: Exchange, outcome: Outcome, way: Way, head: bytes, body: bytes
    ) -> None:
        """Send the request."""
        self._exchange = exchange
        self._outcome = outcome
        self._way = way
        self._head = head
        self._body = body
        self._said = b""
        self._status = 0
        self._fresh = False
        self._started = False
        self._stopped = False
        self._commented = False
        """Only comments of a stream have come: the node lives, its first token is not there."""
        self._connection: Carrier | None = None
        self.reading: Reading | None = None
        """What the answer says of itself, once it has begun."""
        self._dialing = way.ask(head, body, self)

    @property
    def phase(self) -> Phase:
        """How far it has come."""
        if self._started:
            return "stream"
        return "connect" if self._connection is None else "first_byte"

    @property
    def tokens(self) -> int:
        """Data events so far."""
        return 0 if self.reading is None else self.reading.tokens

    def stop(self) -> None:
        """Give up at once, without a word to anybody."""
        self._stopped = True
        if self._dialing is not None:
            self._dialing.cancel()
        connection = self._detach()
        if connection is not None:
            connection.abort()

    def over(self) -> bool:
        """End a stream whose last event has come, though not the end of its framing.

        OpenAI's clients leave at `[DONE]`, and who has had all of an answer cancels nothing.
        """
        if self.reading is None or (usage := self.reading.last_event()) is None:
            return False
        self.stop()
        self._finish(usage)
        return True

    def cut(self, text: str) -> None:
        """Tell the client in what has come of the answer why no more comes, and end it so."""
        request, reading = self._exchange.request, self.reading
        error = problems.last_event(request.target, text, request.id)
        self._exchange.cut(b"" if reading is None else reading.last_words(*error))

    # What the pool and the connection tell

    def connected(self, connection: Carrier) -> None:
        """Wait for the answer."""
        if self._stopped:
            connection.abort()
            return
        self._dialing = None
        self._connection = connection

    def unreachable(self, error: str) -> None:
        """Let another node try."""
        self._dialing = None
        if not self._stopped:
            self._outcome.attempt_failed("connect", 0, error, error)

    def heard(self, body: bytes, *, ended: bool) -> None:
        """Pass a piece of the body on."""
        if not self._started:
            if body or ended:
                self._first(body, ended=ended)
            return
        if body:
            reading = self.reading
            if reading is not None:
                reading.feed(body)
                if self._commented and reading.tokens > 0:
                    self._commented = False
                    self._outcome.first_byte()
            if not ended:
                self._exchange.write(body)
        if ended:
            self._end(body)

    def lost(self, error: str) -> None:
        """Ask again, let another node try, or tell the client."""
        connection = self._detach()
        if self._stopped:  # by what came before the end, in the same read
            return
        if self._started:
            self._break(error)
        elif connection is not None and connection.reused and connection.silent and not self._fresh:
            self._fresh = True
            self._dialing = self._way.dial(self._head, self._body, self)
        else:
            status = 0 if connection is None else connection.status
            refused = status >= _NODE_ERROR
            self._fail(status if refused else 0, "" if refused else error)

    def failed(self) -> None:
        """Let nobody try again: the mistake would be the same."""
        self._outcome.failed()

    # Inside

    def _first(self, body: bytes, *, ended: bool) -> None:
        connection = self._connection
        if connection is None:
            return
        status = self._status = connection.status
        if status >= _NODE_ERROR:
            self._refused(connection, body, ended=ended)
            return
        if self._said or self._may_refuse(status):
            body = self._said = self._said + body
            if self._kept_back(connection, ended=ended):
                return
        coded = bool(connection.coding) or self._is_transcript(connection.content_type)
        if status == _OK and not coded and not _may_begin(connection.content_type, body):
            self._detach()
            if not ended:
                connection.abort()
            self._fail(0, "answered no JSON")
            return
        if not ended:
            reading = self.reading = reading_of(connection.content_type, coded=coded)
            reading.feed(body)
            self._exchange.on_blocked = connection.pause
            self._exchange.on_writable = connection.resume
            self._started = True
            self._commented = body[:1] == b":" and not reading.tokens
            self._outcome.first_byte()
            lines = connection.lines() + self._outcome.fleet_lines()
            self._exchange.start(status, (), connection.length, body, lines)
            if self._exchange.blocked:  # by the answer before, or by this much
                connection.pause()
            return
        self._connection = None
        usage = usage_of(connection.content_type, body, coded=coded)
        if status == _OK and not usage.whole and not usage.failed:
            self._fail(0, "answer without an end" if body else "empty answer")
            return
        self._started = True
        self._outcome.first_byte()
        lines = connection.lines() + self._outcome.fleet_lines()
        self._exchange.respond(status, (), body, lines, chunked=connection.length is None)
        self._finish(usage)

    def _end(self, body: bytes) -> None:
        self._detach()
        reading = self.reading
        if reading is None:
            return
        usage = reading.usage()
        if usage.whole or usage.failed or self._status != _OK:
            self._exchange.finish(body)
            self._finish(usage)
        else:
            self._exchange.write(body)
            self._break("answer without an end")

    def _finish(self, usage: Usage) -> None:
        self._stopped = True
        if usage.failed:
            self._outcome.broken(self._status, "the node ended it with an error", self.tokens)
        else:
            self._outcome.completed(self._status, usage)

    def _break(self, error: str) -> None:
        self._stopped = True
        self.cut(f"node failed: {error}, after the answer had begun")
        self._outcome.broken(self._status, error, self.tokens)

    def _is_transcript(self, content_type: bytes) -> bool:
        """Whether it is what a recording says, in plain text: only to a form is that an answer."""
        if content_type.partition(b";")[0].strip().lower() not in _TEXTS:
            return False
        return self._exchange.request.header(b"content-type").lower().startswith(b"multipart/")

    def _refused(self, connection: Carrier, body: bytes, *, ended: bool) -> None:
        """Read what a node says of its failure, as far as it is worth it."""
        self._said += body
        if not ended and len(self._said) < ERROR_BYTES:
            return
        self._detach()
        if not ended:
            connection.abort()
        self._said = unpacked(connection.coding, self._said, ERROR_BYTES) or b""
        self._fail(self._status, "")

    def _may_refuse(self, status: int) -> bool:
        asked = self._exchange.request
        return may_speak_of_node(status, asked) and self._outcome.elsewhere()

    def _kept_back(self, connection: Carrier, *, ended: bool) -> bool:
        """Keep an answer until it is known what it speaks of; False if it passes."""
        if len(self._said) >= MOST_BYTES:
            return False
        readable = unpacked(connection.coding, self._said, MOST_BYTES) or b""
        if ended and not speaks_of_node(self._status, readable):
            return False
        if ended:
            self._connection = None
            lines, chunked = connection.lines(), connection.length is None
            refusal = Refusal(self._status, lines, self._said, chunked)
            self._fail(self._status, "", refusal)
        return True

    def _fail(self, status: int, error: str, refusal: Refusal | None = None) -> None:
        self._stopped = True
        short = error or problems.short_error(status, self._said)
        said = error or problems.whole_error(status, self._said)
        self._outcome.attempt_failed("first_byte", status, short, said, refusal)

    def _detach(self) -> Carrier | None:
        connection, self._connection = self._connection, None
        self._exchange.on_blocked = None
        self._exchange.on_writable = None
        return connection


def _may_begin(content_type: bytes, body: bytes) -> bool:
    """Whether an answer may begin so: JSON, or an event; not the page of some proxy."""
    events = content_type.lower().startswith(b"text/event-stream")
    return body.lstrip()[:1] in (b"deir:" if events else b"{[")
