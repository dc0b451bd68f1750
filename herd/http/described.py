"""What each route is for, and what it takes: the words of `/openapi.json`.

The routes themselves are those that a front answers (`herd.http.front`); this table says the rest
of them, by method and path. `tests/herd/http/test_openapi.py` fails if one has no line here, or a
line no route.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias

Schema: TypeAlias = dict[str, Any]

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
SSE: Final = "text/event-stream"
TEXT: Final = "text/plain"
HTML: Final = "text/html"
BYTES: Final = "application/octet-stream"
FORM: Final = "multipart/form-data"

NAMES: Final = {
    "/v1/models/": "model",
    "/fleet/pin/": "model",
    "/dashboard/api/requests/": "request_id",
    "/dashboard/api/benchmarks/": "run_id",
    "/api/blobs/": "digest",
}
"""What stands behind a beginning of a path."""
UNNAMED: Final = re.compile(r"/dashboard/(static/.*)?")
"""The paths of the dashboard's own files."""


class Operation(NamedTuple):
    """A route."""

    summary: str
    query: Mapping[str, Schema] = MappingProxyType({})
    body: Schema | None = None
    answers: tuple[str, ...] = (JSON,)
    """Media types of an answer that is well."""
    takes: str = JSON
    admin: bool = False
    """From another machine it needs the admin token."""


_TEXT: Final[Schema] = {"type": "string"}
_FLAG: Final[Schema] = {"type": "boolean"}
_INSTANT: Final[Schema] = {
    "type": "number",
    "minimum": 0,
    "exclusiveMaximum": 1 << 34,
    "description": "Seconds since 1970, UTC.",
}


def _object(*required: str, **properties: Schema) -> Schema:
    found: Schema = {"type": "object", "properties": properties}
    return found | ({"required": list(required)} if required else {})


def _whole(least: int, most: int, default: int | None = None) -> Schema:
    found: Schema = {"type": "integer", "minimum": least, "maximum": most}
    return found if default is None else found | {"default": default}


_SEQ: Final = _whole(1, (1 << 53) - 1) | {
    "description": "A place in the log, as an answer told it."
}
_DAYS: Final = {"days": _whole(1, 366, 7), "start_ts": _INSTANT, "end_ts": _INSTANT}
_MODEL: Final = _TEXT | {"description": "A model's name, as in /api/tags."}
_MESSAGES: Final[Schema] = {"type": "array", "items": {"type": "object"}}
_STREAMED: Final = (JSON, NDJSON)
_EVENTS: Final = (JSON, SSE)
_ORDER: Final = _object("model", model=_MODEL, node_id=_TEXT, stream=_FLAG)
_CHAT: Final = _object("model", model=_MODEL, messages=_MESSAGES, stream=_FLAG)
_PROMPT: Final = _object("model", model=_MODEL, prompt=_TEXT, stream=_FLAG)
_PIN: Final = _object(
    "model",
    model=_MODEL,
    node_id=_TEXT,
    wait=_FLAG | {"description": "Answer once it is in memory."},
    timeout_s={"type": "number", "minimum": 0, "maximum": 600},
    force=_FLAG | {"description": "Also if pinned models take most of the node's memory."},
)
_UNPIN: Final = _object("model", model=_MODEL, node_id=_TEXT)
_PLACED: Final = _object("model", "node_id", model=_MODEL, node_id=_TEXT)

OPERATIONS: Final[dict[str, Operation]] = {
    "GET /": Operation("Say that this is here; a browser is led to the dashboard", answers=(TEXT,)),
    # Ollama's API
    "POST /api/chat": Operation("Answer a conversation", body=_CHAT, answers=_STREAMED),
    "POST /api/generate": Operation("Complete a prompt", body=_PROMPT, answers=_STREAMED),
    "POST /api/embed": Operation("Embed texts", body=_object("model", model=_MODEL, input={})),
    "POST /api/embeddings": Operation("Embed a text", body=_PROMPT),
    "GET /api/tags": Operation("List the models on the nodes' disks, each once"),
    "GET /api/ps": Operation("List the models in memory, on each node"),
    "POST /api/show": Operation("Describe a model", body=_object("model", model=_MODEL)),
    "GET /api/version": Operation("Say which version of Ollama, and of herd"),
    "POST /api/pull": Operation(
        "Pull a model onto a node's disk", body=_ORDER, answers=_STREAMED, admin=True
    ),
    "POST /api/push": Operation(
        "Push a model to a registry", body=_ORDER, answers=_STREAMED, admin=True
    ),
    "POST /api/create": Operation(
        "Make a model from another", body=_ORDER, answers=_STREAMED, admin=True
    ),
    "POST /api/copy": Operation(
        "Give a model a second name, wherever it is",
        body=_object("source", "destination", source=_TEXT, destination=_TEXT, node_id=_TEXT),
        admin=True,
    ),
    "DELETE /api/delete": Operation("Delete a model, wherever it is", body=_ORDER, admin=True),
    "POST /api/delete": Operation("Delete a model, wherever it is", body=_ORDER, admin=True),
    "HEAD /api/blobs/{digest}": Operation("Say whether a node has a blob", admin=True),
    "POST /api/blobs/{digest}": Operation(
        "Give a node a blob", body=_TEXT | {"format": "binary"}, takes=BYTES, admin=True
    ),
    # OpenAI's API
    "POST /v1/chat/completions": Operation("Answer a conversation", body=_CHAT, answers=_EVENTS),
    "POST /v1/completions": Operation("Complete a prompt", body=_PROMPT, answers=_EVENTS),
    "POST /v1/embeddings": Operation(
        "Embed texts", body=_object("model", "input", model=_MODEL, input={})
    ),
    "POST /v1/audio/transcriptions": Operation(
        "Write down what a recording says",
        body=_object("model", "file", model=_MODEL, file=_TEXT | {"format": "binary"}),
        answers=(JSON, TEXT, SSE),
        takes=FORM,
    ),
    "POST /v1/responses": Operation(
        "Answer a conversation", body=_object("model", model=_MODEL, input={}), answers=_EVENTS
    ),
    "GET /v1/models": Operation("List the models"),
    "GET /v1/models/{model}": Operation("Describe a model"),
    # Anthropic's API
    "POST /v1/messages": Operation("Answer a conversation", body=_CHAT, answers=_EVENTS),
    "POST /v1/messages/count_tokens": Operation("Estimate the tokens of a prompt", body=_CHAT),
    # The fleet
    "GET /fleet/status": Operation("Show nodes, models and queues"),
    "GET /fleet/queue": Operation("Show what waits and what runs"),
    "GET /fleet/limits": Operation("Show how many models the nodes keep in memory"),
    "POST /fleet/drain": Operation(
        "Send a node no new work, or work again",
        body=_object("node_id", node_id=_TEXT, draining=_FLAG),
        admin=True,
    ),
    "POST /fleet/wake": Operation(
        "Wake a node that sleeps", body=_object("node_id", node_id=_TEXT), admin=True
    ),
    "GET /fleet/pin": Operation("List the models that stay in memory, and where"),
    "POST /fleet/pin": Operation(
        "Keep a model in a node's memory; without a node where it suits", body=_PIN, admin=True
    ),
    "DELETE /fleet/pin": Operation("Keep a model in memory no longer", body=_UNPIN, admin=True),
    "DELETE /fleet/pin/{model}": Operation(
        "Keep a model in memory no longer", {"node_id": _TEXT}, admin=True
    ),
    "GET /fleet/nodes": Operation("List who speaks for the nodes, and who waits to", admin=True),
    "POST /fleet/nodes/approve": Operation(
        "Let a node in that waits", body=_object("node_id", node_id=_TEXT), admin=True
    ),
    "POST /fleet/nodes/revoke": Operation(
        "Let nobody speak for a node any more",
        body=_object("node_id", node_id=_TEXT),
        admin=True,
    ),
    "GET /fleet/keys": Operation("List the API keys, and what each has used", admin=True),
    "POST /fleet/keys": Operation(
        "Make an API key known, by its digest",
        body=_object(
            "name",
            "digest",
            name=_TEXT,
            digest=_TEXT | {"pattern": "^[0-9a-f]{64}$"},
            models={"type": "array", "items": _TEXT},
            requests_per_minute=_whole(0, 1_000_000),
            tokens_per_day=_whole(0, (1 << 53) - 1),
            priority={"enum": ["interactive", "normal", "batch"]},
        ),
        admin=True,
    ),
    "DELETE /fleet/keys": Operation(
        "Revoke an API key", body=_object("name", name=_TEXT), admin=True
    ),
    "POST /agent/relay": Operation(
        "Open a connection on which an agent relays for its node; it is answered with a challenge "
        "to sign, then with 101",
        body=_object("node_id", node_id=_TEXT),
    ),
    "POST /heartbeat": Operation(
        "Take what an agent says of its node", body=_object("node_id", node_id=_TEXT)
    ),
    "GET /healthz": Operation("Say that this process answers"),
    "GET /readyz": Operation("Say whether herd can serve: 503 while control is away"),
    "GET /metrics": Operation("Count, for Prometheus", answers=(TEXT,)),
    "GET /openapi.json": Operation("Describe all routes: this document"),
    # The dashboard
    "GET /dashboard": Operation("Show the dashboard", answers=(HTML,)),
    "GET /dashboard/login": Operation(
        "Sign a browser in by a link of `herd dashboard`", {"code": _TEXT}, answers=(HTML,)
    ),
    "POST /dashboard/api/login": Operation("Sign a browser in", admin=True),
    "GET /dashboard/api/events": Operation(
        "Tell the fleet as it changes, as Server-Sent Events", {"last": _TEXT}, answers=(SSE,)
    ),
    "GET /dashboard/api/overview": Operation("Count everything, ever"),
    "GET /dashboard/api/usage": Operation("Count by day, node and model", _DAYS),
    "GET /dashboard/api/trends": Operation(
        "Count by hour",
        {"hours": _whole(1, 2160, 72), "start_ts": _INSTANT, "end_ts": _INSTANT},
    ),
    "GET /dashboard/api/models": Operation("Count by model", _DAYS),
    "GET /dashboard/api/apps": Operation("Count by application", _DAYS),
    "GET /dashboard/api/apps/daily": Operation("Count by application and day", _DAYS),
    "GET /dashboard/api/tags": Operation("Count by tag: a request under each of its tags", _DAYS),
    "GET /dashboard/api/tags/daily": Operation("Count by tag and day", _DAYS),
    "GET /dashboard/api/context-usage": Operation("Show how much context was needed", _DAYS),
    "GET /dashboard/api/traces": Operation(
        "List requests and attempts, the newest first",
        {
            "limit": _whole(1, 200, 50),
            "before": _SEQ,
            "after": _SEQ,
            "status": _TEXT,
            "model": _TEXT | {"maxLength": 200},
            "node": _TEXT | {"maxLength": 200},
        },
    ),
    "GET /dashboard/api/decisions": Operation(
        "List the last placements, and why", {"limit": _whole(1, 200, 20)}
    ),
    "GET /dashboard/api/requests/{request_id}": Operation("Tell the story of a request"),
    "GET /dashboard/api/explain": Operation(
        "Explain each decision about a request: the log is folded to it", {"request_id": _TEXT}
    ),
    "GET /dashboard/api/past": Operation(
        "Show the fleet as it was after an event; without one, the events that there are",
        {"seq": _SEQ},
    ),
    "GET /dashboard/api/health": Operation("Say what is wrong, and what to do"),
    "GET /dashboard/api/recommendations": Operation("Say which models would suit which node"),
    "GET /dashboard/api/settings": Operation("Show every setting, and where it comes from"),
    "POST /dashboard/api/settings": Operation(
        "Change settings, at once and for good", body={"type": "object"}, admin=True
    ),
    "GET /dashboard/api/model-management": Operation("Show what is on each disk, and its use"),
    "GET /dashboard/api/pinned-models": Operation("List the models that stay in memory"),
    "POST /dashboard/api/pinned-models": Operation(
        "Keep a model in a node's memory, or no longer (`pinned` false)",
        body=_PIN | {"properties": {**_PIN["properties"], "pinned": _FLAG}},
        admin=True,
    ),
    "DELETE /dashboard/api/pinned-models": Operation(
        "Keep a model in memory no longer", body=_UNPIN, admin=True
    ),
    "GET /dashboard/api/pull": Operation("Show the pulls under way"),
    "POST /dashboard/api/pull": Operation("Begin a pull", body=_ORDER, admin=True),
    "POST /dashboard/api/delete": Operation(
        "Delete a model from a node's disk", body=_PLACED, admin=True
    ),
    "GET /dashboard/api/benchmarks": Operation(
        "List benchmarks, the newest first", {"limit": _whole(1, 200, 50), "before": _SEQ}
    ),
    "GET /dashboard/api/benchmarks/{run_id}": Operation("Show a benchmark"),
    "GET /dashboard/api/benchmarks/compare": Operation(
        "Show two benchmarks side by side", {"before": _TEXT, "after": _TEXT}
    ),
    "GET /dashboard/api/benchmarks/proposal": Operation(
        "Say what a smart benchmark would pull", {"model_type": {"enum": ["llm", "embed"]}}
    ),
    "GET /dashboard/api/benchmarks/progress": Operation("Show how far a benchmark is"),
    "POST /dashboard/api/benchmarks/start": Operation(
        "Measure the live fleet",
        body=_object(
            mode={"enum": ["default", "smart"]},
            duration={"type": "number", "minimum": 1, "maximum": 3600},
            model_types={"type": "array", "items": {"enum": ["llm", "embed"]}, "minItems": 1},
            models={"type": "array", "items": _MODEL, "maxItems": 16},
            pulls={
                "type": "array",
                "items": _object("model", "node_id", model=_MODEL, node_id=_TEXT),
                "maxItems": 8,
                "description": "Pulled first; nothing is pulled that does not stand here.",
            },
            remove_pulled=_FLAG | {"description": "Delete them again at the end."},
        ),
        admin=True,
    ),
    "POST /dashboard/api/benchmarks/cancel": Operation("Stop a benchmark", admin=True),
}
"""By method and path."""
