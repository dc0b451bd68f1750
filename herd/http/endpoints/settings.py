"""`/dashboard/api/settings`: every setting, and how those change that can while herd runs.

A change is a fact that control records and answers by its next view: it holds at once on every
front, and after a restart. All changes of one request are checked before the first is told.
"""

import ast
import asyncio
import inspect
import socket
from collections.abc import Mapping
from functools import cache
from typing import Final

import msgspec
from msgspec import inspect as types

from events import Event, SettingsChanged
from herd import config
from herd.config import CHANGEABLE, FIELDS, Value
from herd.errors import HerdError
from herd.http.exchange import Exchange
from herd.http.problems import JSON_UTF8
from herd.link.client import Control, LinkFullError
from herd.link.messages import View
from herd.tasks import spawn
from herd.version import version

PATH: Final = "/dashboard/api/settings"
SEEN_WITHIN_S: Final = 2.0
_LOOK_S: Final = 0.02
_UNITS: Final = {"_s": "s", "_bytes": "bytes", "_days": "days"}


class RefusedError(Exception):
    """A change that cannot be made: a status, and why."""

    def __init__(self, status: int, text: str) -> None:
        """Keep both."""
        super().__init__(text)
        self.status = status


class SettingsPage:
    """Shows and changes the settings."""

    def __init__(self, control: Control, settings: config.Settings) -> None:
        """Know the settings of the start; control's view has what changed since."""
        self._control = control
        self._settings = settings

    def again(self, settings: config.Settings) -> None:
        """Know settings that were read again."""
        self._settings = settings

    def show(self, exchange: Exchange) -> None:
        """Answer 200 with all settings."""
        _say(exchange, 200, told(self._settings, self._control.view))

    def change(self, exchange: Exchange) -> None:
        """Answer 200 once the changes hold; 400, 409 or 503 if there is none at all."""
        try:
            asked = _asked(exchange)
            values = in_force(self._settings, self._control.view)
            changes = checked(self._settings, values, asked)
            self._must_hold()
            for key, new in changes.items():
                old = values[key]
                fact: Event = SettingsChanged(key=key, old=old, new=new, by=exchange.peer)
                self._control.tell(fact)
        except RefusedError as error:
            _say(exchange, error.status, {"error": str(error)})
        except LinkFullError as error:
            _say(exchange, 503, {"error": f"{error.what}; try again in a moment"})
        else:
            spawn(self._seen(exchange, changes), name="settings")

    def _must_hold(self) -> None:
        if not self._control.connected:
            raise RefusedError(503, "control is away, and should be back soon; try again")
        if not self._control.view.recording:
            raise RefusedError(
                503, "the log cannot be written, so no change would be kept; make room on the disk"
            )

    async def _seen(self, exchange: Exchange, changes: Mapping[str, Value]) -> None:
        """Answer once control's view has the new values."""
        loop = asyncio.get_running_loop()
        until = loop.time() + SEEN_WITHIN_S
        while not changes.items() <= in_force(self._settings, self._control.view).items():
            if loop.time() > until:
                text = "control has not confirmed the change yet; look again with GET"
                _say(exchange, 503, {"error": text})
                return
            await asyncio.sleep(_LOOK_S)
        if changes:
            answer: dict[str, object] = {"status": "updated", "updated": dict(changes)}
            answer["not_persisted"] = answer["restart_required"] = ()  # never, as it stands
            _say(exchange, 200, answer)
        else:
            _say(exchange, 200, {"status": "no_change", "message": "all had these values already"})


def in_force(settings: config.Settings, view: View) -> dict[str, Value]:
    """Return every value in force: that of the start, unless control's view tells another."""
    return settings.flat() | {k: v for k, v in view.settings.items() if k in CHANGEABLE}


def checked(
    settings: config.Settings, values: Mapping[str, Value], asked: Mapping[str, object]
) -> dict[str, Value]:
    """Return the changes that are any. Raises `RefusedError` naming the key."""
    changes: dict[str, Value] = {}
    for key, value in asked.items():
        if key not in FIELDS:
            raise RefusedError(400, f"there is no setting {key!r}; GET {PATH} shows all")
        if key in settings.fixed:
            by = settings.fixed[key]
            raise RefusedError(409, f"{key} is fixed by {by}: start herd without it to change it")
        if key not in CHANGEABLE:
            how = config.variable(key)
            raise RefusedError(409, f"{key} cannot change while herd runs: start it with {how}")
        try:
            new: Value = config.check(key, value, named=key)
        except HerdError as error:
            step = "write true or false" if isinstance(values[key], bool) else error.next_step
            text = f"{error.what}; {step}" if step else error.what
            raise RefusedError(400, text) from error
        if new != values[key]:
            changes[key] = new
    then = {**values, **changes}
    if float(then["degraded_after_s"]) > float(then["offline_after_s"]):
        text = "degraded_after_s must not be above offline_after_s: silence degrades a node first"
        raise RefusedError(400, text)
    return changes


def told(settings: config.Settings, view: View) -> dict[str, object]:
    """Return the answer to GET."""
    values = in_force(settings, view)
    return {
        "router_version": version(),
        "router_hostname": socket.gethostname(),
        "config": {
            "toggles": {key: values[key] for key in FIELDS if isinstance(values[key], bool)},
            "server": {key: values[key] for key in ("host", "port", "data_dir", "max_retries")},
            "heartbeat": {
                "heartbeat_timeout": values["degraded_after_s"],
                "heartbeat_offline": values["offline_after_s"],
            },
            "reaper": {"stale_timeout": values["stale_timeout_s"]},
            "context": {"context_protection": values["context_protection"]},
            "context_protection": {"context_protection": values["context_protection"]},
            "auto_pull_config": {"auto_pull_timeout": values["auto_pull_timeout_s"]},
        },
        "nodes": [
            {
                "node_id": node.node_id,
                "status": node.status,
                "agent_version": node.facts.agent_version,
                "ip": node.url,
                "models_loaded_count": len(node.resident),
            }
            for node in view.nodes
        ],
        "settings": [
            {
                "key": key,
                "value": values[key],
                "default": default,
                "changeable": key in CHANGEABLE and key not in settings.fixed,
                "fixed_by": settings.fixed.get(key, ""),
                "help": _helps()[key],
                **_kinds()[key],
            }
            for key, default in config.Settings().flat().items()
        ],
    }


def _asked(exchange: Exchange) -> dict[str, object]:
    try:
        asked = msgspec.json.decode(exchange.request.body, type=dict[str, object])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RefusedError(400, f'write {{"SETTING": VALUE}}: {error}') from error
    if not asked:
        raise RefusedError(400, 'write {"SETTING": VALUE}: there is no setting in it')
    return asked


@cache
def _helps() -> dict[str, str]:
    """Return what stands below each field of `Settings` in its source."""
    tree = ast.parse(inspect.getsource(config.Settings))
    [found] = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    helps: dict[str, str] = dict.fromkeys(FIELDS, "")
    for field, sentence in zip(found.body, found.body[1:], strict=False):
        match field, sentence:
            case ast.AnnAssign(target=ast.Name(id=key)), ast.Expr(
                value=ast.Constant(value=str(said))
            ):
                helps[key] = " ".join(said.split())
            case _:
                pass
    return helps


@cache
def _kinds() -> dict[str, dict[str, object]]:
    """Return the type of each field, its bounds, its words and its unit, where it has them."""
    told_type = types.type_info(config.Settings)
    if not isinstance(told_type, types.StructType):
        raise TypeError(told_type)
    kinds = {field.name: _kind(field.type) for field in told_type.fields}
    for key, kind in kinds.items():
        for ending, unit in _UNITS.items():
            if key.endswith(ending):
                kind["unit"] = unit
    return kinds


def _kind(kind: types.Type) -> dict[str, object]:
    match kind:
        case types.BoolType():
            return {"type": "bool"}
        case types.LiteralType(values=words):
            return {"type": "choice", "choices": list(words)}
        case types.IntType() | types.FloatType():
            name = "int" if isinstance(kind, types.IntType) else "float"
            least, most = kind.ge if kind.ge is not None else kind.gt, kind.le
            bounds = {"least": least, "most": most}
            return {"type": name, **{k: v for k, v in bounds.items() if v is not None}}
        case _:
            return {"type": "str"}


def _say(exchange: Exchange, status: int, answer: object) -> None:
    exchange.respond(status, (JSON_UTF8,), msgspec.json.encode(answer))
