"""Lines of `herd.jsonl` on what happens to nodes, made of their events as `request_lines` are."""

from collections.abc import Iterable

import msgspec

from herd.logs import LogFile, log_time

_TAG = '"k":"'
_SAID = {
    "node_became_healthy": "{node} is online",
    "node_degraded": "{node} is degraded",
    "node_went_offline": "{node} is offline",
    "node_slept": "{node} sleeps",
    "node_forgotten": "{node} left the fleet",
    "node_drained": "{node} takes no new work",
    "node_undrained": "{node} takes work again",
    "node_paused": "{node} is paused by its owner",
    "node_resumed": "{node} is lent again",
    "node_pinned": "{node} joined: a key speaks for it from now on",
    "node_knocked": "{node} asks to join: `herd nodes approve {node}` lets it in",
    "node_revoked": "{node} is turned away: no key speaks for it any more",
    "circuit_opened": "{node} failed {model} too often in a row: it gets no more of it for now",
    "circuit_closed": "{node} serves {model} again",
}
_SLOW = "{node} answers for {model} far more slowly than it used to: it is asked last"
_WARNINGS = {"node_degraded", "node_went_offline", "node_knocked", "circuit_opened"}


class _Event(msgspec.Struct, gc=False):
    """What happened, whatever its kind."""

    recorded_at: int
    k: str
    node_id: str
    model: str = ""
    reason: str = ""
    error: str = ""


class _Line(msgspec.Struct, omit_defaults=True, gc=False):
    """The line made of it."""

    ts: str
    level: str
    logger: str
    msg: str
    process: str
    node_id: str
    model: str = ""
    reason: str = ""


_decoder = msgspec.json.Decoder(_Event)
_encoder = msgspec.json.Encoder()


def write_fleet_lines(file: LogFile, journal_lines: Iterable[str]) -> None:
    """Append one line for each event of a node that its operator wants to know of."""
    lines = [_line(_decoder.decode(line)) for line in journal_lines if _kind(line) in _SAID]
    if lines:
        file.append(_encoder.encode_lines(lines))


def _kind(line: str) -> str:
    _, _, rest = line.partition(_TAG)
    return rest.partition('"')[0]


def _line(event: _Event) -> _Line:
    slow = event.k == "circuit_opened" and event.reason == "slow"
    why = event.error or ("" if slow else event.reason)
    said = (_SLOW if slow else _SAID[event.k]).format(node=event.node_id, model=event.model)
    return _Line(
        log_time(event.recorded_at / 1e6),
        "WARNING" if event.k in _WARNINGS else "INFO",
        "herd.fleet",
        f"{said}{why and ': '}{why}",
        "logd",
        event.node_id,
        event.model,
        event.reason,
    )
