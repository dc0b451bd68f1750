"""What herd expects of a pykka actor, whichever way it lives: on a loop's mailroom or a thread."""

import logging
import queue
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, TypeAlias

import pykka
import pytest

from actors.shell import LoopActor, Mailroom

WAIT_S = 5.0

Work: TypeAlias = Callable[[], object]


class Echo:
    """Does what it is asked, and keeps what it is told."""

    def __init__(self) -> None:
        self.seen: list[object] = []
        self.ends: list[str] = []

    def react(self, message: object) -> object:
        if isinstance(message, Exception):
            raise message
        if message == "who":
            return threading.get_ident()
        if message == "seen":
            return list(self.seen)
        if isinstance(message, threading.Event):
            assert message.wait(WAIT_S)
        self.seen.append(message)
        return message


class Threaded(pykka.ThreadingActor):
    def __init__(self, echo: Echo) -> None:
        super().__init__()
        self.echo = echo

    def on_receive(self, message: object) -> object:
        return self.echo.react(message)

    def on_stop(self) -> None:
        self.echo.ends.append("stopped")

    def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        del exception_type, exception_value, traceback
        self.echo.ends.append("failed")


class Looped(LoopActor):
    def __init__(self, mailroom: Mailroom, echo: Echo) -> None:
        super().__init__(mailroom)
        self.echo = echo

    def on_receive(self, message: object) -> object:
        return self.echo.react(message)

    def on_stop(self) -> None:
        self.echo.ends.append("stopped")

    def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        del exception_type, exception_value, traceback
        self.echo.ends.append("failed")


class Loop:
    """A thread that drains a mailroom whenever it is woken: a run queue without the queue."""

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._made: queue.SimpleQueue[Mailroom] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="loop")
        self._thread.start()
        self.mailroom = self._made.get(timeout=WAIT_S)

    def _run(self) -> None:
        mailroom = Mailroom(lambda: self._work.put(mailroom.drain))
        self._made.put(mailroom)
        while (work := self._work.get()) is not None:
            work()

    def run(self, work: Work) -> object:
        """Do something on the loop's thread, and return or raise what it gives."""
        answers: queue.SimpleQueue[object] = queue.SimpleQueue()

        def do() -> None:
            try:
                answers.put(work())
            except Exception as error:  # noqa: BLE001 (handed to the caller's thread)
                answers.put(error)

        self._work.put(do)
        answer = answers.get(timeout=WAIT_S)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def end(self) -> None:
        self._work.put(None)
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.end()


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture(params=["loop", "thread"])
def ref(request: pytest.FixtureRequest, loop: Loop, echo: Echo) -> Iterator[pykka.ActorRef[Any]]:
    ref: pykka.ActorRef[Any]
    ref = Looped.start(loop.mailroom, echo) if request.param == "loop" else Threaded.start(echo)
    yield ref
    ref.stop(timeout=WAIT_S)


@pytest.fixture
def looped(loop: Loop, echo: Echo) -> Iterator[pykka.ActorRef[Looped]]:
    ref = Looped.start(loop.mailroom, echo)
    yield ref
    ref.stop(timeout=WAIT_S)


def ask(ref: pykka.ActorRef[Any], message: object) -> Any:
    return ref.ask(message, timeout=WAIT_S)


def test_it_is_alive_and_registered_until_it_stops(ref: pykka.ActorRef[Any]) -> None:
    assert ref.is_alive()
    assert ref in pykka.ActorRegistry.get_all()
    assert ref.stop(timeout=WAIT_S)
    assert not ref.is_alive()
    assert ref not in pykka.ActorRegistry.get_all()
    assert not ref.stop(timeout=WAIT_S), "once"


def test_it_is_found_by_its_class_and_its_name(ref: pykka.ActorRef[Any]) -> None:
    assert pykka.ActorRegistry.get_by_urn(ref.actor_urn) == ref
    assert pykka.ActorRegistry.get_by_class(ref.actor_class) == [ref]


def test_it_hears_in_the_order_in_which_it_was_told(ref: pykka.ActorRef[Any]) -> None:
    for number in range(100):
        ref.tell(number)
    assert ask(ref, "seen") == list(range(100))


def test_it_answers_from_its_own_thread(ref: pykka.ActorRef[Any]) -> None:
    assert ask(ref, "hello") == "hello"
    assert ask(ref, "who") != threading.get_ident()


def test_an_answer_can_be_fetched_later(ref: pykka.ActorRef[Any]) -> None:
    future = ref.ask("later", block=False)
    assert future.get(timeout=WAIT_S) == "later"


def test_many_threads_may_ask_at_once(ref: pykka.ActorRef[Any]) -> None:
    answers: queue.SimpleQueue[tuple[int, object]] = queue.SimpleQueue()

    def put(number: int) -> None:
        answers.put((number, ask(ref, number)))

    threads = [threading.Thread(target=put, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    got = [answers.get(timeout=WAIT_S) for _ in threads]
    assert sorted(got) == [(n, n) for n in range(8)]


def test_a_raise_comes_to_who_asked_and_the_actor_lives_on(
    ref: pykka.ActorRef[Any], echo: Echo
) -> None:
    with pytest.raises(ZeroDivisionError, match="asked"):
        ask(ref, ZeroDivisionError("asked"))
    assert ask(ref, "still there") == "still there"
    assert echo.ends == []


def test_who_stands_behind_the_stop_is_told_that_the_actor_is_dead(
    ref: pykka.ActorRef[Any], echo: Echo
) -> None:
    gate = threading.Event()
    ref.tell(gate)
    before = ref.ask("before", block=False)
    stopped = ref.stop(block=False)
    behind = ref.ask("behind", block=False)
    ref.tell("never heard")
    gate.set()
    assert before.get(timeout=WAIT_S) == "before"
    assert stopped.get(timeout=WAIT_S)
    with pytest.raises(pykka.ActorDeadError):
        behind.get(timeout=WAIT_S)
    assert echo.seen == [gate, "before"]
    assert echo.ends == ["stopped"]


def test_the_dead_cannot_be_told(ref: pykka.ActorRef[Any]) -> None:
    ref.stop(timeout=WAIT_S)
    with pytest.raises(pykka.ActorDeadError):
        ref.tell("hello")
    with pytest.raises(pykka.ActorDeadError):
        ask(ref, "hello")


# What differs, and why there is a LoopActor


def test_a_raise_by_tell_kills_an_actor_on_a_thread(
    echo: Echo, caplog: pytest.LogCaptureFixture
) -> None:
    ref = Threaded.start(echo)
    with caplog.at_level(logging.CRITICAL, logger="pykka"):
        ref.tell(ZeroDivisionError("told"))
        stopped = ref.actor_class  # the registry forgets it once it is dead
        for _ in range(100):
            if not pykka.ActorRegistry.get_by_class(stopped):
                break
            threading.Event().wait(0.01)
    assert not ref.is_alive()
    assert echo.ends == ["failed"]


def test_a_raise_by_tell_is_reported_by_a_loop_actor_which_lives_on(
    looped: pykka.ActorRef[Looped], loop: Loop, echo: Echo
) -> None:
    looped.tell(ZeroDivisionError("told"))
    assert ask(looped, "still there") == "still there"
    assert echo.ends == ["failed"]
    with pytest.raises(ZeroDivisionError, match="told"):
        loop.run(loop.mailroom.check)
    loop.run(loop.mailroom.check)  # reported once


def test_a_loop_actor_lives_on_the_thread_that_drains(
    looped: pykka.ActorRef[Looped], loop: Loop
) -> None:
    assert ask(looped, "who") == loop.run(threading.get_ident)


def test_a_question_on_its_own_thread_is_refused(
    looped: pykka.ActorRef[Looped], loop: Loop, echo: Echo
) -> None:
    with pytest.raises(RuntimeError, match="would wait for ever"):
        loop.run(lambda: looped.ask("hello"))
    assert echo.seen == []


def test_a_loop_actor_can_be_told_and_stopped_on_its_own_thread(
    looped: pykka.ActorRef[Looped], loop: Loop, echo: Echo
) -> None:
    def tell_and_stop() -> None:
        looped.tell("hello")
        looped.stop(block=False)
        loop.mailroom.drain()

    loop.run(tell_and_stop)
    assert (echo.seen, echo.ends) == (["hello"], ["stopped"])
    assert not looped.is_alive()


def test_what_a_handler_tells_is_heard_after_it(loop: Loop, echo: Echo) -> None:
    class Chain(Looped):
        def on_receive(self, message: object) -> object:
            if message == "first":
                self.actor_ref.tell("second")
            return super().on_receive(message)

    ref = Chain.start(loop.mailroom, echo)

    def tell() -> None:
        ref.tell("first")
        assert echo.seen == ["first"]

    loop.run(tell)
    assert ask(ref, "seen") == ["first", "second"]
    ref.stop(timeout=WAIT_S)


def test_an_inbox_is_only_a_view(looped: pykka.ActorRef[Looped]) -> None:
    assert looped.actor_inbox.empty(), "pykka has nothing to clear away"
    with pytest.raises(RuntimeError, match="handed its mail"):
        looped.actor_inbox.get()
