"""One line of `herd.jsonl` a request, made from the event that ended it.

Made here, behind the log of events, so that it costs the requests nothing.
"""

from collections.abc import Iterable

import msgspec

from herd.logs import LogFile, log_time

_END = '"k":"request_'
_KIND_AT = len('"k":"')
_ENDED_AS = {
    "request_completed": "completed",
    "request_failed": "failed",
    "request_cancelled": "cancelled by the client",
    "request_rejected": "rejected",
    "request_reaped": "ended for want of progress",
    "request_interrupted": "interrupted",
}


class _End(msgspec.Struct, gc=False):
    """The event that ended a request, whatever its kind."""

    recorded_at: int
    k: str
    request_id: str
    model: str
    node_id: str = ""
    status: int = 0
    phase: str = ""
    reason: str = ""
    error: str = ""
    ttft_s: float = 0.0
    service_s: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Line(msgspec.Struct, omit_defaults=True, gc=False):
    """The line made of it: the fields every line has, then the event's."""

    ts: str
    level: str
    logger: str
    msg: str
    process: str
    request_id: str
    model: str
    node_id: str = ""
    status: int = 0
    phase: str = ""
    reason: str = ""
    error: str = ""
    ttft_s: float = 0.0
    service_s: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0


_decoder = msgspec.json.Decoder(_End)
_encoder = msgspec.json.Encoder()


def write_request_lines(file: LogFile, journal_lines: Iterable[str]) -> None:
    """Append one line for each request that ended."""
    lines = [_line(_decoder.decode(line)) for line in journal_lines if _ends(line)]
    if lines:
        file.append(_encoder.encode_lines(lines))


def _ends(line: str) -> bool:
    at = line.find(_END) + _KIND_AT
    return at >= _KIND_AT and line[at : line.index('"', at)] in _ENDED_AS


def _line(end: _End) -> _Line:
    where = f" on {end.node_id}" if end.node_id else ""
    took = f" after {end.service_s:.2f} s" if end.service_s else ""
    why = end.error or end.reason
    return _Line(
        log_time(end.recorded_at / 1e6),
        "INFO",
        "herd.request",
        f"{end.model}{where}: {_ENDED_AS[end.k]}{took}{why and ': '}{why}",
        "logd",
        end.request_id,
        end.model,
        end.node_id,
        end.status,
        end.phase,
        end.reason,
        end.error,
        end.ttft_s,
        end.service_s,
        end.prompt_tokens,
        end.completion_tokens,
    )
