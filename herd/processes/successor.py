"""A herd that takes another's place: what it says and hears. The order is `herd.processes.place`'s.

What can fail is done before the other lets go: settings, imports, the log's format. So a version
that cannot run costs nothing.
"""

import os
import socket
from collections.abc import Callable, Sequence
from typing import Final

from herd import platform
from herd.config import Settings
from herd.errors import HerdError
from herd.link.messages import PROTOCOL
from herd.paths import DataDir
from herd.processes import port as ports
from herd.processes.lives import Child
from herd.processes.place import Place
from herd.processes.renewing import tell_systemd
from herd.processes.supervisor import Errand, Other, Supervisor
from herd.processes.talk import (
    DONE,
    HERE,
    LET_GO,
    LOGD_ENDED,
    REFUSED,
    REPLACE,
    SOCKETS,
    YOURS,
    Talk,
    Word,
)
from herd.unix_sockets import connect_unix
from herd.version import version

STAND_BY_S: Final = 120.0
"""For everything to stand by, and for the other to let go."""
LOGD_S: Final = 8.0
"""For the logd of before to end; after that ours waits for the database by itself."""


class Predecessor:
    """The herd that runs, as the one that takes its place sees it."""

    def __init__(self, talk: Talk, here: Word, held: Sequence[socket.socket]) -> None:
        """Know what it says of itself; use `knock`."""
        self._talk = talk
        self._here = here
        self._held = tuple(held)
        self._sockets: list[socket.socket] = []
        self._claimed: ports.Listeners = ()
        """What a single front inherits, and is not given twice."""
        self._other: Other | None = None
        self._supervisor: Supervisor | None = None
        self._place: Place | None = None
        self._say: Callable[[str], None] = print
        self._same_place = False
        self._done = False
        self.gone = False

    @classmethod
    def knock(cls, directory: DataDir) -> "Predecessor | None":
        """Ask the herd that runs there for its place; None if none does.

        Raises `HerdError` if it cannot give it.
        """
        if not platform.HAS_UNIX_SOCKETS:
            raise HerdError(
                "on this system no herd can take another's place",
                "stop the one that runs, then start this one; clients are refused meanwhile",
            )
        try:
            talk = Talk(connect_unix(directory.door, timeout_s=2.0))
        except OSError:
            return None
        try:
            talk.say(Word(REPLACE, version(), os.getpid(), PROTOCOL))
            here, held = talk.hear()
        except OSError as error:
            raise HerdError(f"the herd that runs does not answer: {error}", "stop it") from error
        if here.word != HERE:
            raise HerdError(f"the herd that runs stays: {here.why}", "try again in a moment")
        return cls(talk, here, held)

    def claim(self, settings: Settings) -> ports.Claim:
        """Return the port: the same sockets, if the settings want the same place."""
        here = self._here
        workers = settings.workers
        inherits = ports.inherits(workers)
        self._same_place = settings.host == here.host and settings.port in {0, here.port}
        if self._same_place and all(map(ports.listens, self._held)) == inherits:
            self._claimed = self._held if inherits else ()
            return ports.Claim(here.port, self._held, self._claimed)
        for each in self._held:
            each.close()
        if not self._same_place:
            return ports.claim(settings.host, settings.port, workers)
        claim = ports.claim(settings.host, here.port, workers, shared=True)
        self._claimed = claim.listeners
        return claim

    def follow(self, supervisor: Supervisor, place: Place, say: Callable[[str], None]) -> None:
        """Hear what it says from now on."""
        self._supervisor, self._place, self._say = supervisor, place, say
        self._other = Other(self._talk.sock, self._came)
        supervisor.others.append(self._other)

    @property
    def errands(self) -> tuple[Errand, ...]:
        """What is to be looked at later."""
        return (Errand(STAND_BY_S, self._too_late),)

    # What the children come to

    def all_stand_by(self) -> None:
        """Ask for the log."""
        self._tell(LET_GO)

    def ready(self, name: str) -> None:
        """Have the fronts begin, once there is somebody who decides."""
        if any(child.spec.name == name and child.spec.decides for child in self._children()):
            self._begin_fronts()

    def all_ready(self) -> None:
        """Tell it to leave."""
        self._done = True
        tell_systemd()
        self._tell(DONE)

    def stopping(self) -> None:
        """Hear that this herd ends: then the one before shall not go on alone either."""
        if self._done:
            self.close()

    def close(self) -> None:
        """Hang up."""
        self.gone = True
        if self._supervisor is not None:
            others = self._supervisor.others
            others[:] = [each for each in others if each is not self._other]
        self._talk.close()
        for each in self._sockets:
            each.close()
        self._sockets = []

    # What it says

    def _came(self) -> None:
        if self.gone or self._supervisor is None or self._place is None:
            return
        try:
            word, sockets = self._talk.hear()
        except OSError:
            self._ended()
            return
        if word.word == SOCKETS:
            self._sockets = sockets
            if self._here.protocol != PROTOCOL:
                self._begin_fronts()  # its own end now
        elif word.word == YOURS:
            self._take_over(self._supervisor, self._place)
        elif word.word == LOGD_ENDED:
            self._begin_logd()
        elif word.word == REFUSED:
            self._supervisor.fail(HerdError(f"the herd that runs stays: {word.why}"))

    def _take_over(self, supervisor: Supervisor, place: Place) -> None:
        if not place.hold():
            supervisor.fail(HerdError("the data directory was given to somebody else"))
            return
        supervisor.tell_pids()
        place.open()
        for child in self._children():
            if child.spec.decides:
                self._begin(child, self._share(child) if child.spec.listens else ())
        supervisor.later(LOGD_S, self._begin_logd)

    def _begin_logd(self) -> None:
        for child in self._children():
            if child.stands_by and not child.spec.decides and not child.spec.listens:
                self._begin(child)

    def _begin_fronts(self) -> None:
        for child in self._children():
            if child.stands_by and child.spec.listens and not child.spec.decides:
                self._begin(child, self._share(child))

    def _begin(self, child: Child, sockets: Sequence[socket.socket] = ()) -> None:
        if self._supervisor is not None:
            self._supervisor.begin(child, sockets)
            for each in sockets:
                each.close()

    def _share(self, child: Child) -> list[socket.socket]:
        """Return the lent sockets that a front gets: as many of each address as the others."""
        if not self._same_place:
            return []
        fronts = [each.spec.name for each in self._children() if each.spec.listens]
        at = fronts.index(child.spec.name)
        by_address: dict[int, list[socket.socket]] = {}
        for each in self._sockets:
            if not any(ports.same(each, own) for own in self._claimed):
                by_address.setdefault(each.family, []).append(each)
        return [each for some in by_address.values() for each in some[at :: len(fronts)]]

    def _ended(self) -> None:
        self.close()
        if self._supervisor is not None and self._place is not None and not self._place.held:
            failure = HerdError("the herd that ran has ended meanwhile", "start this one again")
            self._supervisor.fail(failure)

    def _too_late(self) -> None:
        if self._supervisor is not None and self._place is not None and not self._place.held:
            failure = HerdError(f"the place was not given within {STAND_BY_S:g} s")
            self._supervisor.fail(failure)

    def _tell(self, word: str) -> None:
        try:
            self._talk.say(Word(word))
        except OSError:
            self._ended()

    def _children(self) -> list[Child]:
        return [] if self._supervisor is None else self._supervisor.children()
