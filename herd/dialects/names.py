"""Model names as Ollama reads them: `[host/][namespace/]model[:tag]`.

The shortest spelling is the normalised one: the default host and namespace go, the tag is always
there. Upper and lower case stay as they are spelled, since the spelling on disk is the one that is
shown; names are the same if their `key` is.
"""

DEFAULT_HOST = "registry.ollama.ai/"
DEFAULT_NAMESPACE = "library/"
DEFAULT_TAG = "latest"


def normalise(name: str) -> str:
    """Return the name as `/api/tags` would show it: `llama3.2:latest` for `llama3.2`."""
    short = name.strip()
    if short.lower().startswith(DEFAULT_HOST):
        short = short[len(DEFAULT_HOST) :]
    if short.lower().startswith(DEFAULT_NAMESPACE) and short.count("/") == 1:
        short = short[len(DEFAULT_NAMESPACE) :]
    model, colon, tag = short.rpartition(":")
    if not colon or "/" in tag:
        return f"{short}:{DEFAULT_TAG}"
    return f"{model}:{tag or DEFAULT_TAG}"


def key(name: str) -> str:
    """Return what two spellings of one model have in common."""
    return normalise(name).lower()
