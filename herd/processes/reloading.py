"""`herd reload`, and SIGHUP: the settings are read again, and hold as far as they can change.

What can change goes to who decides, to the fronts, and into what a child that is started again
begins with; the others are named, since they need another start. A file with a mistake changes
nothing.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

import msgspec
from msgspec.structs import replace

from herd.config import CHANGEABLE, FIELDS, Changes, Settings, Value
from herd.errors import HerdError
from herd.processes.child import CHANGE, CHANGED, ChildSpec
from herd.processes.lives import Child
from herd.processes.supervisor import Supervisor
from herd.processes.talk import REFUSED, TOLD, Word

ANSWER_S: Final = 3.0
"""For who decides, to say what has changed."""
RELOADABLE: Final = CHANGEABLE | {"nodes"}
"""Settings that a reload can change."""

Read: TypeAlias = Callable[[], Settings]
"""Reads the settings as at the start. Raises `HerdError` for what cannot be."""


class Source(NamedTuple):
    """Where the settings come from."""

    settings: Settings
    """What was asked for at the start; not yet which port was free."""
    read: Read
    """Reads them again."""
    environment: Mapping[str, str] = os.environ
    """Without what is in the settings file."""
    remarks: Callable[[], Sequence[str]] = tuple
    """What is to be said of what was read last, besides."""


class Reloading:
    """The settings in force, as the supervisor knows them."""

    def __init__(
        self,
        source: Source,
        in_force: Settings,
        specs: Callable[[Settings], Sequence[ChildSpec]],
        supervisor: Supervisor,
        say: Callable[[str], None],
    ) -> None:
        """Know what was asked for, and what became of it."""
        self._asked, self._read, self._remarks = source.settings, source.read, source.remarks
        self._in_force = in_force
        self._specs = specs
        self._supervisor = supervisor
        self._say = say
        self._busy = False

    def again(self) -> Word:
        """Read them again, and return what has become of it."""
        if self._busy or not self._supervisor.settled:
            return self._told(Word(REFUSED, why="it is just starting, ending or reading them"))
        self._busy = True
        try:
            wanted = self._read()
        except HerdError as error:
            step = f" ({error.next_step})" if error.next_step else ""
            return self._told(Word(REFUSED, why=f"{error.what}{step}"))
        else:
            return self._told(self._take(wanted))
        finally:
            self._busy = False

    def _take(self, wanted: Settings) -> Word:
        settings = self._in_force = _merged(self._in_force, wanted)
        specs = {spec.name: spec for spec in self._specs(settings)}
        for child in self._supervisor.children(living=False):
            child.spec = specs[child.spec.name]
        word = CHANGE + msgspec.json.encode(settings)
        changed: Changes = {}
        away = True
        for child in self._supervisor.children():
            if child.spec.decides:
                found = self._answer(child, word)
                away = found is None
                changed = found or {}
            elif child.spec.listens:
                _send(child, word)
        waiting = {
            name: value
            for name, value in wanted.flat().items()
            if name not in RELOADABLE and value != self._asked.flat()[name]
        }
        besides = ["control is away, and takes them when it is back"] if away else []
        why = "; ".join([*besides, *self._remarks()])
        return Word(TOLD, changed=changed, waiting=waiting, why=why)

    def _answer(self, child: Child, word: bytes) -> Changes | None:
        """Tell who decides; return what has changed, None if it does not say so in time."""
        while _heard(child) is not None:  # said too late the last time
            pass
        _send(child, word)
        answers: list[bytes] = []

        def answered() -> bool:
            if (said := _heard(child)) is not None:
                answers.append(said)
            return bool(answers) or child.life is None

        self._supervisor.wait_for(answered, ANSWER_S)
        if not answers or not answers[0].startswith(CHANGED):
            return None
        return msgspec.json.decode(answers[0].removeprefix(CHANGED), type=Changes)

    def _told(self, word: Word) -> Word:
        for line in lines(word):
            self._say(line)
        return word


def lines(word: Word) -> list[str]:
    """Write what has become of the settings."""
    if word.word == REFUSED:
        return [f"the settings stay as they are: {word.why}"]
    said = [
        f"{name} is {_shown(new)} now; it was {_shown(old)}"
        for name, (old, new) in word.changed.items()
    ]
    said += [
        f"{name} {_shown(value)} needs another start: herd reload --anew"
        for name, value in word.waiting.items()
    ]
    said += [word.why] if word.why else []
    return said or ["the settings are as they were"]


def _shown(value: Value) -> str:
    return msgspec.json.encode(value).decode() if value != "" else "empty"


def _merged(before: Settings, wanted: Settings) -> Settings:
    """Return the settings from now on: what cannot change stays, and so does who decided it."""
    local = tuple(node for node in before.nodes if node.origin == "local")
    named = {node.url for node in wanted.nodes}
    nodes = (*(node for node in local if node.url not in named), *wanted.nodes)
    fixed = {
        name: by
        for name in FIELDS
        if (by := (wanted if name in RELOADABLE else before).fixed.get(name))
    }
    changes = {name: getattr(wanted, name) for name in CHANGEABLE}
    return replace(before, **changes, nodes=nodes, fixed=fixed)


def _send(child: Child, word: bytes) -> None:
    if child.life is not None:
        try:
            child.life.alive.send_bytes(word)
        except OSError:  # its end is heard of elsewhere
            return


def _heard(child: Child) -> bytes | None:
    try:
        if child.life is None or not child.life.alive.poll():
            return None
        return child.life.alive.recv_bytes()
    except (OSError, EOFError):
        return None
