"""Keying: which keys there are, what they have used, and whom that turns away.

* The Scheduler folds the keys, and at the end of a request its tokens: the request that crosses the
  bound of a day is answered, the next one is turned away until midnight, UTC.
* The Queue counts a request against its key's rate at its admission, and turns it away there.
* A key may ask for a model by its name, or by an alias of it. Where herd chooses another model, or
  the body names some, only those count that the key allows. For a `claude-*` that no node has, any
  does: who allows that name means whatever stands for it.
"""

from actors.core.aliases import meant
from actors.core.commands import Command
from actors.core.estimates import demand, prompt_tokens
from actors.core.keys import Bar, Key
from actors.core.refusing import reject
from actors.core.state import US, Request, State
from events import (
    Event,
    KeyAdded,
    KeyRevoked,
    Recorded,
    RequestCancelled,
    RequestCompleted,
    RequestFailed,
)

_AGAIN_LATER = 429


def evolve(state: State, record: Recorded) -> None:
    """Fold the making and the end of a key."""
    match record.event:
        case KeyAdded() as added:
            state.keys[added.key_name] = Key(
                key_name=added.key_name,
                digest=added.digest,
                models=added.models,
                per_minute=added.per_minute,
                tokens_a_day=added.tokens_a_day,
                priority=added.priority,
                added_us=record.recorded_at,
            )
        case KeyRevoked(key_name=key_name):
            state.keys.pop(key_name, None)
        case _:
            pass


def matters(state: State, event: KeyAdded | KeyRevoked) -> bool:
    """Whether it changes anything: a name is given to one key only."""
    return (event.key_name in state.keys) == isinstance(event, KeyRevoked)


def spent(state: State, request: Request, event: Event, now_us: int) -> None:
    """Count the tokens of a request that ended with this event."""
    key = state.keys.get(request.key_name)
    if key is None:
        return
    tokens = 0
    if isinstance(event, RequestCompleted):
        tokens = event.prompt_tokens + event.completion_tokens
    elif isinstance(event, RequestFailed | RequestCancelled):
        tokens = event.completion_tokens
        if event.phase == "stream":  # nobody told how long the prompt was that it was made from
            tokens += int(prompt_tokens(demand(state, request.model), request))
    key.spend(tokens, now_us)


def admitted(state: State, request: Request) -> Bar:
    """Count a request against its key's rate; return what stands in its way, if anything does."""
    key = state.keys.get(request.key_name)
    if key is None:
        return "key_unknown"  # it was revoked on the way here
    if not _may_ask(state, key, request.model):
        return "key_model"
    if key.day_left_us(state.recorded_at):
        return "key_tokens"
    return "" if key.asks(state.recorded_at) else "key_rate"


def turned_away(state: State, request: Request) -> list[Command]:
    """Reject a request that its key does not allow, with the time at which it would."""
    bar = request.bar
    if bar == "key_unknown":
        return reject(state, request, 401, bar)
    if bar == "key_model":
        return reject(state, request, 403, bar)
    key, now_us = state.keys[request.key_name], state.recorded_at
    if bar == "key_rate":
        return reject(state, request, _AGAIN_LATER, "key_rate", -(-key.wait_us(now_us) // US))
    return reject(state, request, _AGAIN_LATER, "key_tokens", -(-key.day_left_us(now_us) // US))


def allowed(state: State, request: Request, model: str) -> bool:
    """Whether a model may serve a request in the place of the one asked for."""
    if not request.key_name:
        return True
    key = state.keys.get(request.key_name)
    return key is not None and key.allows(model)


def _may_ask(state: State, key: Key, model: str) -> bool:
    aliases = state.settings.model_aliases
    return key.allows(model) or (
        bool(aliases) and key.allows(meant(aliases, model, state.catalogue))
    )
