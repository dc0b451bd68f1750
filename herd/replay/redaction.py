"""Redaction: who asked, and where herd lives on the disk, taken out of the lines of a log.

* A client's address is `client-1`, `client-2`, ... in the order of their first appearance; the same
  address is the same name in the whole file. So is what an application calls itself: `app-1`, and
  the hash of a prompt's beginning: who has the text could tell by it that it was sent. Of API keys
  the digests go, and the names are `key-1`. Hardware addresses are `card-1`.
* Text in the settings goes, except what a decision may rest on.
* Nothing that a decision rests on changes: whoever writes redacted lines checks that.

A line in which nothing has to go is returned as it was, byte for byte.
"""

import re
from typing import Any, cast

import msgspec

from actors.core.health import AGENT
from actors.core.settings import Settings

CLIENTS = ("client", "app", "tags", "by", "key_name", "macs", "drained_by")
"""Fields that say who asked, or which machine, in events and in the stored state; `tags` and `macs`
are lists."""

HASHES = ("prefixes", "caches")
"""Fields that hold hashes of prompts: in lists of pairs with a size, in lists by model."""

KEYS = "keys"
"""The field of the stored state that holds API keys by their names."""

APPS = "apps"
"""The field of the stored state that holds what was learned of applications by their names."""

GONE = "redacted"

_PREFIXES = {"app": "app", "tags": "app", "prefixes": "prompt", "key_name": "key", "macs": "card"}
_TEXT_THAT_STAYS = frozenset({*Settings.__struct_fields__, "nodes", "log_level"})
"""Settings that decisions rest on, the fleet, and a plain word."""

_WHO = (
    r'"(?:client|app|by|drained_by|key_name)":"[^"]|"tags":\["|"macs":\["|"prefixes":\[\[|"caches":\{"|"apps":\{"'
    r'|"keys":\{"'
)
_WHERE = r'"k":"(?:configuration_loaded|settings_changed|recording_resumed)"'
_CLIENTS_AND_PATHS = re.compile(f"{_WHO}|{_WHERE}".encode())
_PATHS = re.compile(_WHERE.encode())


class Redaction:
    """The names that one file gives to those who asked."""

    def __init__(self, *, keep_clients: bool = False) -> None:
        """Take out paths, and clients unless they are to be kept."""
        self._keep_clients = keep_clients
        self._touches = _PATHS if keep_clients else _CLIENTS_AND_PATHS
        self._names: dict[str, str] = {}
        self._made: dict[str, int] = {}

    @property
    def fields(self) -> tuple[str, ...]:
        """What is taken out, for people."""
        return ("settings",) if self._keep_clients else (*CLIENTS[:-1], HASHES[0], "settings")

    def line(self, line: bytes) -> bytes:
        """Return a line of the log without what has to go."""
        if self._touches.search(line) is None:
            return line
        event: dict[str, Any] = msgspec.json.decode(line)
        match event.get("k"):
            case "configuration_loaded":
                settings = event.get("settings", {})
                event["settings"] = {key: _setting(key, settings[key]) for key in settings}
            case "settings_changed":
                event |= {side: _setting(event["key"], event[side]) for side in ("old", "new")}
            case "recording_resumed" if "error" in event:
                event["error"] = _without_path(event["error"])
            case "key_added" if not self._keep_clients:
                event["digest"] = GONE
            case _:
                pass
        if not self._keep_clients:
            self._rename(event)
        return msgspec.json.encode(event)

    def _rename(self, value: object) -> None:
        """Give those who asked their names, in place, however deep they stand."""
        if isinstance(value, dict):
            fields = cast("dict[str, object]", value)
            for key, inner in fields.items():
                if key in CLIENTS and isinstance(inner, str):
                    fields[key] = self._name(key, inner)
                elif key in CLIENTS and isinstance(inner, list):
                    names = cast("list[str]", inner)
                    fields[key] = [self._name(key, name) for name in names]
                elif key == KEYS and isinstance(inner, dict):
                    fields[key] = self._keys(cast("dict[str, dict[str, object]]", inner))
                elif key == APPS and isinstance(inner, dict):
                    by_app = cast("dict[str, object]", inner)
                    fields[key] = {self._name("app", name): by_app[name] for name in by_app}
                elif key in HASHES:
                    fields[key] = self._hashes(inner)
                else:
                    self._rename(inner)
        elif isinstance(value, list):
            for inner in cast("list[object]", value):
                self._rename(inner)

    def _keys(self, keys: dict[str, dict[str, object]]) -> object:
        """Rename the keys of the stored state, by their names."""
        for key in keys.values():
            key |= {"digest": GONE, "key_name": self._name("key_name", str(key["key_name"]))}
        return {self._name("key_name", name): key for name, key in keys.items()}

    def _hashes(self, value: object) -> object:
        if isinstance(value, dict):
            by_model = cast("dict[str, object]", value)
            return {model: self._hashes(inner) for model, inner in by_model.items()}
        if isinstance(value, list):
            return [self._hashes(inner) for inner in cast("list[object]", value)]
        return self._name(HASHES[0], value) if isinstance(value, str) else value

    def _name(self, key: str, value: str) -> str:
        if value in {"", AGENT}:
            return value
        if value not in self._names:
            prefix = _PREFIXES.get(key, "client")
            self._made[prefix] = self._made.get(prefix, 0) + 1
            self._names[value] = f"{prefix}-{self._made[prefix]}"
        return self._names[value]


def _setting(key: str, value: object) -> object:
    plain = not isinstance(value, str) or not value or key in _TEXT_THAT_STAYS
    return value if plain else GONE


def _without_path(error: str) -> str:
    """Return why the log could not be written: `cannot write the journal in PATH: why`."""
    _, colon, why = error.rpartition(": ")
    return why if colon and "/" not in why and "\\" not in why else GONE
