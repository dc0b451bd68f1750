"""What somebody wants done with models: the bodies of pull, push, create, copy and delete, pure.

Read as Go reads them: a key matches in any case, the last one of several counts, null is as good
as absent, and what is of the wrong type is told in Go's words. `node_id` and `all` are herd's own,
and are taken out before the body goes on; a body without them goes on byte for byte.
"""

from typing import Any, Final, TypeAlias, cast

import msgspec

from herd.http import unmarshal
from herd.http.exchange import Request
from herd.http.members import malformed
from herd.http.opening import open_any
from herd.http.problems import BadRequestError

Pairs: TypeAlias = dict[str, Any]

NODE_HEADER: Final = b"x-herd-node"
_OWN: Final = frozenset({"node_id", "all"})
_TYPES: Final = {
    **dict.fromkeys(("model", "name", "source", "destination", "from", "node_id"), "string"),
    **dict.fromkeys(("files", "adapters"), "map[string]string"),
    "stream": "bool",
}
"""Go's, of the fields that are read here."""


class Order(msgspec.Struct, frozen=True, gc=False):
    """One wish."""

    model: str = ""
    source: str = ""
    destination: str = ""
    base: str = ""
    """Of a new model: the one it is made from (`from`)."""
    digests: tuple[str, ...] = ()
    """Of a new model: the blobs that it is made of."""
    stream: bool = True
    node_id: str = ""
    """Where; empty leaves it to herd."""
    body: bytes = b""
    """As the node gets it."""


class _Fields(msgspec.Struct, gc=False):
    model: str | None = None
    name: str | None = None
    source: str | None = None
    destination: str | None = None
    base: str | None = msgspec.field(default=None, name="from")
    files: dict[str, str] | None = None
    adapters: dict[str, str] | None = None
    stream: bool | None = None
    node_id: str | None = None


def read(request: Request) -> Order:
    """Return what a request wants; `BadRequestError` if that cannot be told."""
    open_any(request)
    body = request.body
    if not body.strip():
        raise BadRequestError("missing request body")
    try:
        pairs = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        lowered = {name.casefold(): value for name, value in pairs.items()}
        found = msgspec.json.decode(msgspec.json.encode(lowered), type=_Fields)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise (_mistaken(request) or _unread(body, error)) from error
    if _OWN & lowered.keys():
        kept = {name: value for name, value in pairs.items() if name.casefold() not in _OWN}
        body = msgspec.json.encode(kept)
    blobs = (found.files or {}, found.adapters or {})
    return Order(
        model=(found.model or found.name or "").strip(),
        source=(found.source or "").strip(),
        destination=(found.destination or "").strip(),
        base=(found.base or "").strip(),
        digests=tuple(dict.fromkeys(digest for some in blobs for digest in some.values())),
        stream=found.stream is not False,
        node_id=(found.node_id or "").strip() or wanted_node(request),
        body=body,
    )


def _mistaken(request: Request) -> BadRequestError | None:
    """Say what of a body that is JSON is of the wrong type."""
    action = request.path.rpartition("/")[2]
    kind = f"api.{action.capitalize()}Request"
    try:
        said: object = msgspec.json.decode(request.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(said, dict):
        return unmarshal.no_object(said, kind)
    pairs = {str(name).casefold(): value for name, value in cast("Pairs", said).items()}
    return unmarshal.first_wrong(pairs, kind, _TYPES)


def _unread(body: bytes, error: Exception) -> BadRequestError:
    """Say why a body is not JSON, and where."""
    try:
        msgspec.json.decode(body, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError) as wrong:
        return malformed(wrong, body)
    why = "not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
    return BadRequestError(f"JSON is malformed: {why}")


def wanted_node(request: Request) -> str:
    """Return the node that the header names, or nothing."""
    return request.header(NODE_HEADER).decode("latin-1").strip()
