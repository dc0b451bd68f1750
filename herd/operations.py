"""What OpenTelemetry calls the operation behind each route, for metrics and traces."""

from typing import Final

_OPERATIONS: Final = {
    "/api/generate": "text_completion",
    "/v1/completions": "text_completion",
    "/api/embed": "embeddings",
    "/api/embeddings": "embeddings",
    "/v1/embeddings": "embeddings",
}


def operation(route: str) -> str:
    """Return `gen_ai.operation.name` of a route."""
    return _OPERATIONS.get(route, "chat")
