"""The supervisor: starts the children, watches them, starts them again, stops them in order.

Rules: no loop, no threads, nothing that could block or fail by itself. It waits in one place for
three things: a child that says something or ends, a signal, an instant at which something is due.
A signal handler does nothing; the signal's number comes through a socket to that one place.
"""

import multiprocessing
import signal
import socket
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from typing import NamedTuple

from herd import platform
from herd.errors import HerdError
from herd.processes.child import ChildSpec, child_main, heard, nothing, send_sockets
from herd.processes.lives import QUICK_DEATHS, SLOWEST_RESTART_S, Child, Life, how_it_ended

ONE_SIGNAL_S = 0.2
"""A Ctrl-C may arrive twice at once: from the terminal, and passed on by a wrapper."""
FINISH_S = 5.0
"""Beyond the time that requests have to end, for all ranks together; what one does not use is left
for the next."""
KILL_WAIT_S = 0.5
POLL_S = 0.02
"""Between two looks at what nothing tells of."""


def _unheard(_name: str) -> None:
    """Tell nobody."""


class Errand(NamedTuple):
    """Something to do once, some time after the start; short, since everything else waits."""

    after_s: float
    perform: Callable[[], None]


class Other(NamedTuple):
    """Something else that the supervisor waits for, beside its children and signals."""

    source: socket.socket
    came: Callable[[], None]


class Watch(NamedTuple):
    """What the supervisor tells the one who runs it."""

    say: Callable[[str], None]
    """A line for the person at the terminal."""
    pids_changed: Callable[[dict[str, int]], None]
    """The children that run now, by name."""
    all_ready: Callable[[], None]
    """Every child has said that it works, for the first time."""
    errands: tuple[Errand, ...] = ()
    all_stand_by: Callable[[], None] = nothing
    """Every child has rehearsed, in a herd that takes another's place."""
    ready: Callable[[str], None] = _unheard
    """A child of that name works."""
    ended: Callable[[str], None] = _unheard
    """A child of that name has ended."""
    stopping: Callable[[], None] = nothing
    """All are about to end."""
    read_again: Callable[[], None] = nothing
    """The settings are to be read again."""


class Supervisor:
    """Keeps a list of children running until a signal says stop."""

    def __init__(
        self,
        specs: Sequence[ChildSpec],
        watch: Watch,
        *,
        finish_s: float = FINISH_S,
        stand_by: bool = False,
    ) -> None:
        """Know the children; `run` starts them, or has them stand by first."""
        self._children = [Child(spec) for spec in specs]
        self._watch = watch
        self._finish_s = finish_s
        self._spawn = multiprocessing.get_context("spawn")
        self._signals, self._signal_writer = socket.socketpair()
        self._told_at: float | None = None
        self._told_twice = False
        self._all_ready = False
        self._failure: HerdError | None = None
        self._errands: list[tuple[float, Callable[[], None]]] = []
        self._has_terminal = platform.terminal_is_here()
        self.others: list[Other] = []
        self._stands_by = stand_by
        self._until_left: Callable[[], bool] | None = None

    def run(self) -> None:
        """Run to the end. Raises the `HerdError` of a child that could not even start."""
        with self._catching_signals():
            try:
                now = time.monotonic()
                self._errands += [(now + after, act) for after, act in self._watch.errands]
                for child in self._children:
                    self._start(child)
                while not self._over:
                    self._wait(self._next_due())
                    self._do_what_is_due()
                self._stop_in_order()
            finally:
                self._kill_all()
        if self._failure is not None:
            raise self._failure

    @property
    def _over(self) -> bool:
        if self._until_left is not None and self._until_left():
            return True
        return self.ends

    # What another herd has to do with it: `herd.processes.place`

    @property
    def settled(self) -> bool:
        """Whether every child works, and nothing is about to end."""
        return self._all_ready and not self._over and self._until_left is None

    @property
    def ends(self) -> bool:
        """Whether everything is about to end here."""
        return self._told_at is not None or self._failure is not None

    @property
    def leaves(self) -> bool:
        """Whether another herd is in its place."""
        return self._until_left is not None

    def later(self, after_s: float, act: Callable[[], None]) -> None:
        """Do something once, some time from now."""
        self._errands.append((time.monotonic() + after_s, act))

    def children(self, *, living: bool = True) -> list[Child]:
        """Return the children, or those of them that have a process."""
        return [child for child in self._children if child.life is not None or not living]

    def begin(self, child: Child, sockets: Sequence[socket.socket] = ()) -> None:
        """Have a child that stands by begin, with sockets to listen on."""
        child.stands_by = False
        if child.life is not None:
            with suppress(OSError):  # its end is heard of elsewhere
                send_sockets(child.life.alive, sockets)

    def rest(self, child: Child, word: bytes | None = None) -> None:
        """Have a child finish, or do so much of it as the word says; it is not started again."""
        child.rests = True
        child.due = None
        if child.life is None:
            return
        if word is None:
            child.life.alive.close()
        else:
            with suppress(OSError):
                child.life.alive.send_bytes(word)

    def wait_for(self, true: Callable[[], bool], within_s: float) -> bool:
        """Go on with everything until this holds, at most so long; return whether it does."""
        until = time.monotonic() + within_s
        while not (held := true()) and time.monotonic() < until:
            self._wait(min(until, time.monotonic() + POLL_S))
        return held

    def wake(self, child: Child) -> None:
        """Have a child that rested work again."""
        if child.rests:
            child.rests = False
            if child.life is None:
                self._start(child)
            else:
                self.begin(child)

    def leave(self, left: Callable[[], bool]) -> None:
        """Start nothing any more, and end once this holds, or at a signal."""
        self._until_left = left
        for child in self._children:
            child.rests = True
            child.due = None

    def fail(self, failure: HerdError) -> None:
        """End, for this reason."""
        self._failure = self._failure or failure

    # Waiting

    def _wait(self, until: float | None) -> None:
        """Wait for one of the three things, and take in what came."""
        lives = {child: child.life for child in self._children if child.life is not None}
        ended = {life.process.sentinel: child for child, life in lives.items()}
        spoke = {life.ready: child for child, life in lives.items() if not life.ready.closed}
        timeout = None if until is None else max(0.0, until - time.monotonic())
        others = {other.source: other.came for other in self.others}
        came = wait([self._signals, *ended, *spoke, *others], timeout)
        if self._signals in came:
            self._hear_signals()
        for connection, child in spoke.items():
            if connection in came:
                self._hear(child, connection)
        for sentinel, child in ended.items():
            if sentinel in came:
                self._bury(child)
        for source, act in others.items():
            if source in came:
                act()

    def _next_due(self) -> float | None:
        dues = [child.due for child in self._children if child.due is not None]
        return min([*dues, *(due for due, _ in self._errands)], default=None)

    def _do_what_is_due(self) -> None:
        now = time.monotonic()
        for child in self._children:
            if child.due is not None and child.due <= now:
                self._start(child)
        for errand in [errand for errand in self._errands if errand[0] <= now]:
            self._errands.remove(errand)
            errand[1]()

    # Children

    def _start(self, child: Child) -> None:
        child.due = None
        child.born = time.monotonic()
        child.gives_signs = False
        alive_here, alive_there = platform.pipe()
        ready_here, ready_there = platform.pipe(duplex=False)
        process = self._spawn.Process(
            target=child_main,
            name=child.spec.name,
            args=(
                child.spec.name,
                child.spec.start,
                alive_there,
                ready_there,
                child.spec.rehearse if self._stands_by else None,
            ),
        )
        try:
            process.start()
        except OSError as error:  # no memory, no process, no descriptor left
            self._watch.say(f"{child.spec.name} cannot be started now: {error.strerror}")
            child.due = time.monotonic() + child.delay_s(time.monotonic())
            alive_here.close()
            ready_here.close()
            return
        finally:
            alive_there.close()
            ready_there.close()
        child.life = Life(process, alive_here, ready_here)
        self.tell_pids()

    def _hear(self, child: Child, ready: Connection) -> None:
        try:
            said = heard(ready)
        except (EOFError, OSError):
            ready.close()
            return
        if said is None:
            child.gives_signs = True
            child.signs += 1
            return
        if said is False:
            child.stands_by = True
            if all(each.stands_by for each in self._children):
                self._stands_by = False
                self._watch.all_stand_by()
            return
        if said is True:
            child.was_ready = True
            self._watch.ready(child.spec.name)
            self._notice_all_ready()
        elif not child.was_ready:
            self.fail(said)
        else:
            self._watch.say(f"{child.spec.name}: {said.what}")

    def _notice_all_ready(self) -> None:
        if not self._all_ready and all(child.was_ready for child in self._children):
            self._all_ready = True
            self._watch.all_ready()

    def _bury(self, child: Child) -> None:
        if child.life is None:
            return
        while not child.life.ready.closed and child.life.ready.poll():
            self._hear(child, child.life.ready)
        child.life.process.join()
        how = how_it_ended(child.life.process.exitcode)
        child.life.end()
        child.life = None
        self.tell_pids()
        self._watch.ended(child.spec.name)
        if self._stands_by or child.stands_by:
            self.fail(HerdError(f"{child.spec.name} ended ({how}) before it began"))
        elif not child.rests and self._told_at is None and self._failure is None:
            now = time.monotonic()
            delay_s = child.delay_s(now)
            child.due = now + delay_s
            if delay_s < SLOWEST_RESTART_S:
                self._watch.say(f"{child.spec.name} ended ({how}); it is started again")
            else:
                self._watch.say(
                    f"{child.spec.name} ended ({how}), {QUICK_DEATHS} times in a minute; it is "
                    f"started again every {SLOWEST_RESTART_S:g} s: look into the log file for why"
                )

    def tell_pids(self) -> None:
        """Tell who runs."""
        pids = {
            child.spec.name: child.life.process.pid or 0
            for child in self._children
            if child.life is not None
        }
        self._watch.pids_changed(pids)

    # The end

    def _stop_in_order(self) -> None:
        """Let each rank finish before the next; what does not in time is killed."""
        self._watch.stopping()
        last = time.monotonic() + self._finish_s
        for rank in sorted({child.spec.stop_rank for child in self._children}):
            members = [child for child in self._children if child.spec.stop_rank == rank]
            grace_s = max(child.spec.grace_s for child in members)
            deadline = min(last, time.monotonic() + grace_s)
            for child in members:
                if child.life is not None:
                    child.life.alive.close()
            while any(child.life for child in members) and time.monotonic() < deadline:
                self._wait(deadline)
                if self._told_twice:
                    self._watch.say("told twice: ending at once")
                    return
            for child in members:
                if child.life is not None:
                    self._watch.say(f"{child.spec.name} did not finish in time; it is killed")
                    child.life.process.kill()

    def _kill_all(self) -> None:
        lives = [child.life for child in self._children if child.life is not None]
        for life in lives:
            life.process.kill()
        for life in lives:
            life.process.join(KILL_WAIT_S)
            life.end()
        for child in self._children:
            child.life = None
        platform.end_spawn_helper()

    # Signals

    @contextmanager
    def _catching_signals(self) -> Generator[None]:
        """Turn the stop signals into bytes; one that was ignored (nohup) stays ignored."""
        self._signal_writer.settimeout(0)
        caught = [s for s in platform.stop_signals() if signal.getsignal(s) != signal.SIG_IGN]
        handlers = {number: signal.signal(number, _do_nothing) for number in caught}
        wakeup = signal.set_wakeup_fd(self._signal_writer.fileno())
        try:
            yield
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, handler in handlers.items():
                signal.signal(number, handler)
            self._signals.close()
            self._signal_writer.close()

    def _hear_signals(self) -> None:
        came = set(self._signals.recv(64))
        stops = set(platform.stop_signals())
        closed = self._has_terminal and not platform.terminal_is_here()
        if not closed and came.intersection(platform.reload_signals()):
            stops -= set(platform.reload_signals())
            self.later(0.0, self._watch.read_again)
        if not stops.intersection(came):
            return
        now = time.monotonic()
        if self._told_at is None:
            self._told_at = now
            self._watch.say("finishing; a second signal ends it at once")
        elif now - self._told_at > ONE_SIGNAL_S:
            self._told_twice = True


def _do_nothing(_number: int, _frame: object) -> None:
    """Leave the signal to the byte that it puts into the wakeup socket."""
