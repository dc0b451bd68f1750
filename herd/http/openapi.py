"""`/openapi.json`: the routes that a front answers, in the words of `herd.http.described`, pure."""

from collections.abc import Iterable, Iterator

from herd.http.described import JSON, NAMES, OPERATIONS, TEXT, UNNAMED, Operation, Schema
from herd.http.routes import Methods

PATH = "/openapi.json"

_TAGS = (
    ("/dashboard", "dashboard"),
    ("/fleet", "fleet"),
    ("/api", "Ollama"),
    ("/v1/messages", "Anthropic"),
    ("/v1", "OpenAI"),
)
_ERROR: Schema = {
    "description": "What is wrong, and what to do; in the shape of the API that was asked.",
    "content": {JSON: {"schema": {"type": "object"}}, TEXT: {"schema": {"type": "string"}}},
}
_INTRODUCTION = (
    "One address for all the Ollama servers on a network. What changes the fleet may be asked from "
    "the balancer's own machine, or with its admin token."
)


def document(routes: Iterable[tuple[str, Methods]], version: str) -> Schema:
    """Return the document of these routes, each with its methods."""
    paths: dict[str, Schema] = {}
    for path, method in keys(routes):
        operation = OPERATIONS[f"{method} {path}"]
        paths.setdefault(path, {})[method.lower()] = _described(path, method, operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "herd", "version": version, "description": _INTRODUCTION},
        "paths": dict(sorted(paths.items())),
        "components": {
            "securitySchemes": {
                "token": {"type": "apiKey", "in": "header", "name": "X-Herd-Admin-Token"},
                "bearer": {"type": "http", "scheme": "bearer"},
            }
        },
    }


def keys(routes: Iterable[tuple[str, Methods]]) -> Iterator[tuple[str, str]]:
    """Yield path and method of all that is described; HEAD only where there is no GET."""
    for path, methods in routes:
        if UNNAMED.fullmatch(path):
            continue
        whole = f"{path}{{{NAMES[path]}}}" if path in NAMES else path
        for method in methods:
            if method != b"HEAD" or b"GET" not in methods:
                yield whole, method.decode()


def _described(path: str, method: str, operation: Operation) -> Schema:
    found: Schema = {
        "summary": operation.summary,
        "operationId": f"{method.lower()} {path}",
        "tags": [next((tag for start, tag in _TAGS if path.startswith(start)), "herd")],
        "responses": {"200": _well(method, operation), "default": _ERROR},
    }
    if parameters := [*_named(path), *_asked(operation)]:
        found["parameters"] = parameters
    if operation.body is not None:
        found["requestBody"] = {"content": {operation.takes: {"schema": operation.body}}}
    if operation.admin:
        found["security"] = [{}, {"token": []}, {"bearer": []}]
    return found


def _well(method: str, operation: Operation) -> Schema:
    if method == "HEAD":
        return {"description": "Yes."}
    return {
        "description": "Well.",
        "content": {
            media: {"schema": {"type": "object"} if media == JSON else {"type": "string"}}
            for media in operation.answers
        },
    }


def _named(path: str) -> Iterator[Schema]:
    for name in NAMES.values():
        if path.endswith(f"{{{name}}}"):
            yield {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _asked(operation: Operation) -> Iterator[Schema]:
    for name, schema in operation.query.items():
        yield {"name": name, "in": "query", "schema": schema}
