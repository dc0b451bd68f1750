"""The settings file: `FLEET_` variables that can be read again while herd runs.

`herd-balancer.env` in the data directory, one `NAME=VALUE` or `NAME="VALUE"` a line, and `#` before
a remark: as systemd reads it. `herd run install` writes it, and so may you. What the environment of
the process itself says comes before it.
"""

import re
from collections.abc import Mapping, MutableMapping
from typing import Final

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
