"""The settings file: `FLEET_` variables that can be read again while herd runs.

`herd-balancer.env` in the data directory, one `NAME=VALUE` or `NAME="VALUE"` a line, and `#` before
a remark: as systemd reads it. `herd run install` writes it, and so may you. What the environment of
the process itself says comes before it.
"""

import difflib
import re
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Final

from herd import config
from herd.errors import HerdError
from herd.paths import DataDir

_LINE: Final = re.compile(
    r"""
    [ \t]*(?: (?P<name>[A-Z_][A-Z0-9_]*) =
        (?: "(?P<quoted>(?:[^"\\]|\\.)*)" | (?P<plain>[^"'\n][^\n]*?)? )
    | [#;][^\n]* )? [ \t\r]*(?:\n|\Z)
    """,
    re.VERBOSE | re.DOTALL,
)
_OTHERS: Final = {"FLEET_ADMIN_TOKEN", "FLEET_JOIN_TOKEN", "FLEET_LOOP"}
"""Variables of the balancer that are no settings."""
_TAKEN: Final = re.compile(r'["\\`$]')
_GIVEN: Final = re.compile(r'\\(["\\`$])')


def written(environment: Mapping[str, str]) -> str:
    """Write variables as systemd and `read` read them."""
    safe = {name: _TAKEN.sub(r"\\\g<0>", value) for name, value in environment.items()}
    return "".join(f'{name}="{value}"\n' for name, value in safe.items())


def read(text: str, *, named: str = "the settings file") -> dict[str, str]:
    """Read variables. Raises `HerdError` naming the first line that is none."""
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        line = _LINE.match(text, at)
        if line is None:
            number = text.count("\n", 0, at) + 1
            raise HerdError(f'{named}: line {number} is not NAME=VALUE or NAME="VALUE"')
        at = line.end()
        if name := line["name"]:
            quoted, plain = line["quoted"], line["plain"]
            found[name] = (plain or "") if quoted is None else _GIVEN.sub(r"\1", quoted)
    return found


def changed(text: str, environment: Mapping[str, str], *, named: str) -> str:
    """Return the text with these variables, and with all else that it says, remarks too, as it was.

    Raises `HerdError` naming the first line that is no variable.
    """
    told = read(text, named=named)
    new = {name: value for name, value in environment.items() if told.get(name) != value}
    lines: list[str] = []
    at = 0
    while at < len(text) and (line := _LINE.match(text, at)):
        if line["name"] not in new:
            lines.append(line[0])
        at = line.end()
    kept = "".join(lines)
    return kept + ("\n" if new and kept and not kept.endswith("\n") else "") + written(new)


class Variables:
    """What the environment and the settings file say together, now and later."""

    def __init__(self, directory: DataDir, environment: MutableMapping[str, str]) -> None:
        """Add what the file says to the environment, which children inherit.

        A variable that says what the file says may come from there (systemd and `start` do that),
        so it is the file's from now on.
        """
        self._directory = directory
        self.names: frozenset[str] = frozenset()
        """What the file names."""
        told = self._read()
        self.own = {name: value for name, value in environment.items() if told.get(name) != value}
        """What the environment said, without what is the file's."""
        for name, value in told.items():
            environment.setdefault(name, value)

    def overruled(self, flags: Iterable[str] = ()) -> list[str]:
        """Say which lines of the file mean nothing now; `flags` are variables that flags decide."""
        said = dict.fromkeys(self.own, "the environment") | dict.fromkeys(flags, "the command")
        return [
            f"{name} says nothing: {said[name]} of this herd comes first"
            for name in sorted(self.names & said.keys())
        ]

    def again(self) -> dict[str, str]:
        """Return what they say now. Raises `HerdError` if the file cannot be read."""
        return self._read() | self.own

    def _read(self) -> dict[str, str]:
        path = self._directory.settings_file
        try:
            told = read(path.read_text("utf-8"), named=str(path))
        except FileNotFoundError:
            told = {}
        except (OSError, UnicodeDecodeError) as error:
            raise HerdError(f"{path} cannot be read: {error}") from error
        told = {name: value for name, value in told.items() if not name.endswith("DATA_DIR")}
        self.names = frozenset(told)
        return told


def remarks(names: Iterable[str]) -> list[str]:
    """Say which of the balancer's variables mean nothing to it: somebody has mistyped a name."""
    known = {config.variable(field) for field in config.FIELDS} | _OTHERS
    said: list[str] = []
    for name in sorted(set(names) - known):
        if name.startswith("FLEET_") and not name.startswith("FLEET_NODE_"):
            near = difflib.get_close_matches(name, known, 1, cutoff=0.8)
            said.append(f"{name} is no setting" + (f"; {near[0]} is one" if near else ""))
    return said
