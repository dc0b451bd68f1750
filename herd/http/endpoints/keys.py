"""`/fleet/keys`: which API keys there are, what they have used; how one is made, and revoked.

Who makes a key sends its digest, never the key. A change is a fact that control records; it is
answered once control's view has it.
"""

import asyncio
import re
from collections.abc import Callable
from typing import Annotated, Final, TypeAlias

import msgspec

from events import KeyAdded, KeyRevoked, Priority
from herd.clock import wall_s
from herd.http.exchange import Exchange
from herd.http.problems import JSON_UTF8
from herd.http.routes import Methods
from herd.link.client import Control, LinkFullError
from herd.link.messages import KeyView
from herd.tasks import spawn

PATH: Final = "/fleet/keys"
SEEN_WITHIN_S: Final = 2.0
MOST_KEYS: Final = 1_000
_LOOK_S: Final = 0.02
_DAY_S: Final = 86_400
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

_Pattern: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[^\s,]{1,256}$")]
_Bound: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
_Tokens: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]


class _Added(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    digest: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    models: Annotated[tuple[_Pattern, ...], msgspec.Meta(max_length=64)] = ()
    requests_per_minute: _Bound = 0
    tokens_per_day: _Tokens = 0
    priority: Priority = "normal"


class _Revoked(msgspec.Struct, forbid_unknown_fields=True):
    name: str


class KeysPage:
    """Shows and changes the keys."""

    def __init__(self, control: Control) -> None:
        """Answer from control's view."""
        self._control = control

    def methods(self) -> Methods:
        """Return what answers each method; all of them are an admin's."""
        return {b"GET": self._show, b"POST": self._add, b"DELETE": self._revoke}

    def _show(self, exchange: Exchange) -> None:
        _say(exchange, 200, {"keys": [told(key, wall_s()) for key in self._control.view.keys]})

    def _add(self, exchange: Exchange) -> None:
        try:
            asked = msgspec.json.decode(exchange.request.body, type=_Added)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            _say(exchange, 400, {"error": f'write {{"name": NAME, "digest": SHA256}}: {error}'})
            return
        if not _NAME.fullmatch(asked.name):
            text = "a key's name has 1 to 64 letters, digits, '.', '_', '-'"
            _say(exchange, 400, {"error": text})
        elif self._key(asked.name) is not None:
            text = f"a key is called '{asked.name}' already: revoke it first, or choose another"
            _say(exchange, 409, {"error": text})
        elif len(self._control.view.keys) >= MOST_KEYS:
            _say(exchange, 409, {"error": f"there are {MOST_KEYS} keys, and may be no more"})
        else:
            fact = KeyAdded(
                key_name=asked.name,
                digest=asked.digest,
                models=asked.models,
                per_minute=asked.requests_per_minute,
                tokens_a_day=asked.tokens_per_day,
                priority=asked.priority,
                by=exchange.peer,
            )

            def added() -> bool:
                key = self._key(asked.name)
                return key is not None and key.digest == asked.digest

            self._tell(exchange, fact, added)

    def _revoke(self, exchange: Exchange) -> None:
        try:
            asked = msgspec.json.decode(exchange.request.body, type=_Revoked)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            _say(exchange, 400, {"error": f'write {{"name": NAME}}: {error}'})
            return
        if self._key(asked.name) is None:
            names = ", ".join(key.key_name for key in self._control.view.keys) or "none"
            _say(exchange, 404, {"error": f"no key is called '{asked.name}'; there are: {names}"})
        else:
            fact = KeyRevoked(key_name=asked.name, by=exchange.peer)
            self._tell(exchange, fact, lambda: self._key(asked.name) is None)

    def _key(self, name: str) -> KeyView | None:
        return next((key for key in self._control.view.keys if key.key_name == name), None)

    def _tell(
        self, exchange: Exchange, fact: KeyAdded | KeyRevoked, seen: Callable[[], bool]
    ) -> None:
        if not self._control.connected:
            _say(exchange, 503, {"error": "control is away, and should be back soon; try again"})
            return
        if not self._control.view.recording:
            text = "the log cannot be written, so no key would be kept; make room on the disk"
            _say(exchange, 503, {"error": text})
            return
        try:
            self._control.tell(fact)
        except LinkFullError as error:
            _say(exchange, 503, {"error": f"{error.what}; try again in a moment"})
        else:
            spawn(self._seen(exchange, fact.key_name, seen), name="keys")

    async def _seen(self, exchange: Exchange, name: str, seen: Callable[[], bool]) -> None:
        """Answer once control's view shows the change."""
        loop = asyncio.get_running_loop()
        until = loop.time() + SEEN_WITHIN_S
        while not seen():
            if loop.time() > until:
                text = "control has not confirmed it; see what there is: herd key list"
                _say(exchange, 503, {"error": text})
                return
            await asyncio.sleep(_LOOK_S)
        left = len(self._control.view.keys)
        _say(exchange, 200, {"name": name, "keys": left})


def told(key: KeyView, now_s: float) -> dict[str, object]:
    """Return a key as operators see it; neither it nor its digest can be told."""
    today = key.tokens_today if key.day == int(now_s) // _DAY_S else 0
    return {
        "name": key.key_name,
        "models": key.models,
        "requests_per_minute": key.per_minute,
        "tokens_per_day": key.tokens_a_day,
        "priority": key.priority,
        "added_at": key.added_s,
        "requests": key.requests,
        "tokens": key.tokens,
        "tokens_today": today,
    }


def _say(exchange: Exchange, status: int, answer: object) -> None:
    exchange.respond(status, (JSON_UTF8,), msgspec.json.encode(answer))
