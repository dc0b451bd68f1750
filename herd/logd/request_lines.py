"""One line of `herd.jsonl` a request, made from the event that ended it.

Made here, behind the log of events, so that it costs the requests nothing.
"""

from collections.abc import Iterable

import msgspec

from herd.logs import LogFile, log_line

_END = '"k":"request_'
_ENDED_AS = {
    "request_completed": "completed",
    "request_failed": "failed",
    "request_cancelled": "cancelled by the client",
    "request_rejected": "rejected",
    "request_reaped": "ended for want of progress",
    "request_interrupted": "interrupted",
}
_LOGGER = "herd.request"


class _End(msgspec.Struct):
    """The fields of the ends of requests that a line shows."""

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


_decoder = msgspec.json.Decoder(_End)


def write_request_lines(file: LogFile, journal_lines: Iterable[str]) -> None:
    """Append one line for each request that ended."""
    lines = [_line(_decoder.decode(line)) for line in journal_lines if _ends(line)]
    if lines:
        file.append(b"".join(lines))


def _ends(line: str) -> bool:
    at = line.find(_END)
    return at >= 0 and line[at + 5 : line.index('"', at + 5)] in _ENDED_AS


def _line(end: _End) -> bytes:
    where = f" on {end.node_id}" if end.node_id else ""
    why = end.error or end.reason
    msg = f"{end.model}{where}: {_ENDED_AS[end.k]}"
    if end.service_s:
        msg += f" after {end.service_s:.2f} s"
    if why:
        msg += f": {why}"
    fields = {name: getattr(end, name) for name in _SHOWN if getattr(end, name)}
    return log_line(end.recorded_at / 1e6, "INFO", _LOGGER, msg, {"process": "logd"} | fields)


_SHOWN = tuple(name for name in _End.__struct_fields__ if name not in {"recorded_at", "k"})
