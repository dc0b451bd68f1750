"""A herd's place: its data directory and its port, and how another herd takes it over.

`herd run --replace` starts a herd beside the one that runs. All of its processes stand by: they
have imported, and read the log as far as it goes. Then, in this order (R runs, S succeeds it):

1. R's fronts lend the sockets that they listen on. These never close, so nobody is refused, and
   what waits in them is accepted by whoever has them.
2. R's control ends as ever and gives up the log; R's fronts go on, and answer what they have begun.
3. S's control takes the log, and finds R's fronts as after any restart: they connect again and say
   what they carry. S's fronts begin.
4. R's fronts accept nothing more, answer what they have with `Connection: close`, and end.

If S ends before 4, R starts its control again, and it was as if control had been restarted. Fronts
and control of two versions may not understand each other (`PROTOCOL`): then R's fronts end before
its control does, within the time of a stop, while S's fronts already accept and hold what comes.
"""

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from subprocess import Popen
from typing import Final, TypeAlias

from herd.errors import HerdError
from herd.link.messages import PROTOCOL
from herd.paths import DataDir
from herd.platform import HAS_UNIX_SOCKETS, FileLock
from herd.processes import renewing
from herd.processes.child import LEAVE, LEND, REST, RESTED, receive_sockets
from herd.processes.lives import Child, how_it_ended
from herd.processes.port import Claim
from herd.processes.supervisor import Other, Supervisor
from herd.processes.talk import (
    ANEW,
    DONE,
    HERE,
    LET_GO,
    LOGD_ENDED,
    REFUSED,
    RELOAD,
    REPLACE,
    SOCKETS,
    TOLD,
    YOURS,
    Talk,
    Word,
)
from herd.unix_sockets import bind_unix
from herd.version import version

LEND_S: Final = 1.0
"""For a front to lend its sockets; one that is stopped does not, and then it is late anyway."""
ON_THE_WAY_S: Final = 2.0
"""For requests on connections that are open, where fronts end before control does."""
REST_S: Final = 4.0
"""For control to give up the log."""
LOOK_S: Final = 0.2
"""Between two looks at a herd that was started, and may have ended."""
BACK_S: Final = 15.0
"""For a successor that failed to give the data directory back."""

Reload: TypeAlias = Callable[[], Word]
"""Reads the settings again."""


class Place:
    """What a running herd holds, and gives to who comes to replace it."""

    def __init__(
        self,
        directory: DataDir,
        claim: Claim,
        host: str,
        lock: FileLock,
        say: Callable[[str], None],
    ) -> None:
        """Hold nothing yet but the port."""
        self._directory = directory
        self._claim = claim
        self._host = host
        self._lock = lock
        self._say = say
        self._door: Other | None = None
        self._talks: dict[Talk, Other] = {}
        self._heir: Talk | None = None
        self._who = Word(REPLACE)
        """What the heir said of itself."""
        self._asker: Talk | None = None
        """Who wants a herd started that takes this one's place."""
        self._finishes = False
        self.reload: Reload | None = None
        self.environment: Mapping[str, str] = os.environ
        """What a herd that this one starts begins with."""
        self.before_is_gone: Callable[[], bool] = _always
        """Whether the herd whose place this one took has ended."""
        self.supervisor: Supervisor | None = None
        self.held = False
        """Whether the data directory is this herd's."""

    @property
    def _runs(self) -> Supervisor:
        if self.supervisor is None:
            raise RuntimeError("nothing runs yet")
        return self.supervisor

    def hold(self) -> bool:
        """Take the data directory; return whether it is ours."""
        self.held = self.held or self._lock.take()
        return self.held

    def open(self) -> None:
        """Listen to who comes."""
        if not HAS_UNIX_SOCKETS or self._door is not None:
            return
        try:
            door = bind_unix(self._directory.door)
            door.listen(8)
            door.settimeout(0)  # who knocked may be gone
        except OSError as error:
            self._say(f"{self._directory.door} cannot be made: {error.strerror}")
            return
        self._door = Other(door, self._knocked)
        self._runs.others.append(self._door)

    def accept_no_more(self) -> None:
        """Let nobody wait for fronts that are about to end, nor an heir keep the port open."""
        if self._heir is not None and self.held:
            self._hang_up(self._heir)
            self._heir = None
        self._claim.accept_no_more()

    def release(self) -> None:
        """Give everything back that is ours."""
        self._close_door()
        for talk in list(self._talks):
            self._hang_up(talk)
        if self.held:
            self._directory.door.unlink(missing_ok=True)
            self._lock.release()
            self.held = False
        self._claim.release()

    def read_again(self) -> None:
        """Read the settings again, at a signal."""
        if self.reload is not None:
            self.reload()

    # Who comes

    def _knocked(self) -> None:
        if self._door is None:
            return
        try:
            connection, _ = self._door.source.accept()
        except OSError:
            return
        talk = Talk(connection)
        other = Other(connection, partial(self._said, talk))
        self._talks[talk] = other
        self._runs.others.append(other)

    def _said(self, talk: Talk) -> None:
        if talk not in self._talks:
            return
        try:
            word, sockets = talk.hear()
            for each in sockets:
                each.close()
            self._answer(talk, word)
        except OSError:
            self._gone(talk)

    def _answer(self, talk: Talk, word: Word) -> None:
        if word.word == RELOAD and self.reload is not None:
            talk.say(self.reload())
        elif word.word == REPLACE:
            self._show(talk, word)
        elif word.word == ANEW:
            self._start_heir(talk)
        elif word.word == LET_GO and talk is self._heir and self.held:
            self._let_go(talk)
        elif word.word == DONE and talk is self._heir and not self.held:
            self._leave()
        else:
            talk.say(Word(REFUSED, why=f"it does not understand {word.word!r} now"))

    def _show(self, talk: Talk, word: Word) -> None:
        if not self._runs.settled or self._heir is not None:
            why = "it is just starting or ending" if self._heir is None else "another replaces it"
            talk.say(Word(REFUSED, why=why))
            return
        self._heir = talk
        self._who = word
        here = Word(HERE, version(), os.getpid(), PROTOCOL, self._host, self._claim.port)
        talk.say(here, self._claim.held)

    def _start_heir(self, asker: Talk) -> None:
        why = "" if self._runs.settled else "it is just starting or ending"
        if self._heir is not None or self._asker is not None:
            why = "another replaces it"
        if why := why or renewing.why_not():
            asker.say(Word(REFUSED, why=why))
            return
        try:
            started = renewing.start(self.environment)
        except OSError as error:
            asker.say(Word(REFUSED, why=f"another cannot be started: {error.strerror}"))
            return
        self._say(f"another herd is started, and takes this one's place: pid {started.pid}")
        self._asker = asker
        self._look_after(started)

    def _look_after(self, started: "Popen[bytes]") -> None:
        """See whether the started one has ended before it took the place."""
        code = started.poll()
        if self._runs.leaves:
            return
        if code is None:
            self._runs.later(LOOK_S, partial(self._look_after, started))
        else:
            why = f"the new one ended ({how_it_ended(code)}); what it said is among what herd says"
            self._tell_asker(Word(REFUSED, why=why))

    def _tell_asker(self, word: Word) -> None:
        asker, self._asker = self._asker, None
        if asker is not None and asker in self._talks:
            with suppress(OSError):
                asker.say(word)

    def _let_go(self, talk: Talk) -> None:
        """Give the sockets, then the log."""
        if not self._runs.settled:
            talk.say(Word(REFUSED, why="it is ending"))
            return
        fronts = self._of(listens=True)
        lent = [each for front in fronts for each in self._lent_by(front)]
        try:
            talk.say(Word(SOCKETS), lent)
        finally:
            for each in lent:
                each.close()
        self._close_door()
        self._rest(understood=self._who.protocol == PROTOCOL)
        if talk is not self._heir:  # it has gone meanwhile
            self._go_on()
            return
        self._lock.release()
        self.held = False
        talk.say(Word(YOURS))
        if not any(child.spec.name == "logd" for child in self._runs.children()):
            self.ended("logd")

    def _rest(self, *, understood: bool) -> None:
        """Have the log closed. Fronts that the other's control does not understand end before."""
        deciders, fronts = self._of(decides=True), self._of(listens=True)
        if not understood:
            for front in fronts:
                self._runs.rest(front, LEAVE)
            self._runs.wait_for(lambda: not self._of(listens=True), ON_THE_WAY_S)
            self._end(fronts)
        for child in deciders:
            self._runs.rest(child, REST)
        if not self._runs.wait_for(lambda: all(map(_rested, deciders)), REST_S):
            self._end(deciders)
        for child in self._runs.children():
            if child not in fronts:
                self._runs.rest(child)

    def _end(self, children: Sequence[Child]) -> None:
        for child in children:
            self._runs.rest(child)
        grace_s = max((child.spec.grace_s for child in children), default=0.0)
        self._runs.wait_for(lambda: not any(child.life for child in children), grace_s)
        for child in children:
            if child.life is not None:
                child.life.process.kill()
        self._runs.wait_for(lambda: not any(child.life for child in children), REST_S)

    def ended(self, name: str) -> None:
        """Hear that a child has ended."""
        if name == "logd" and self._heir is not None and not self.held:
            try:
                self._heir.say(Word(LOGD_ENDED))
            except OSError:
                self._gone(self._heir)

    def _leave(self) -> None:
        self._say("another herd has taken this one's place; what runs here is finished")
        self._tell_asker(Word(TOLD, self._who.version, self._who.pid))
        for front in self._of(listens=True):
            self._runs.rest(front, LEAVE)
        self._claim.release()
        self._runs.leave(self._all_left)

    def _all_left(self) -> bool:
        others = not self.before_is_gone() or bool(self._of(listens=True))
        return self._finishes or not others

    def _gone(self, talk: Talk) -> None:
        """Forget who has hung up; go on in place of an heir that could not."""
        self._hang_up(talk)
        if talk is not self._heir:
            return
        if self._runs.leaves:
            self._finishes = True
            return
        self._heir = None
        if self.held:
            self._say("the herd that was to replace this one has gone before it took the place")
            return
        if self._runs.ends:
            return
        if not self._runs.wait_for(self.hold, BACK_S):
            self._runs.fail(
                HerdError("another herd has taken the data directory, and not the port")
            )
            return
        self._go_on()

    def _go_on(self) -> None:
        self._say("the herd that was to replace this one has failed; this one goes on")
        self.open()
        for child in self._runs.children(living=False):
            self._runs.wake(child)

    def _hang_up(self, talk: Talk) -> None:
        if (other := self._talks.pop(talk, None)) is not None and other in self._runs.others:
            self._runs.others.remove(other)
        talk.close()

    def _close_door(self) -> None:
        if self._door is not None:
            if self._door in self._runs.others:
                self._runs.others.remove(self._door)
            self._door.source.close()
            self._door = None

    def _of(self, *, listens: bool = False, decides: bool = False) -> list[Child]:
        living = self._runs.children()
        return [
            child
            for child in living
            if (listens and child.spec.listens) or (decides and child.spec.decides)
        ]

    def _lent_by(self, front: Child) -> list[socket.socket]:
        if front.life is None:
            return []
        try:
            front.life.alive.send_bytes(LEND)
            return receive_sockets(front.life.alive) if front.life.alive.poll(LEND_S) else []
        except (OSError, EOFError):
            return []


def _rested(child: Child) -> bool:
    if child.life is None:
        return True
    try:
        return child.life.alive.poll() and child.life.alive.recv_bytes() == RESTED
    except (OSError, EOFError):
        return False


def _always() -> bool:
    return True
