"""An Ollama on this machine is the first node: it does not advertise itself, so we ask."""

import asyncio

import msgspec

from herd.config import Settings
from herd.http.client import FetchError, fetch
from herd.node_address import OLLAMA_PORT, NodeAddress

LOCAL_URL = f"http://localhost:{OLLAMA_PORT}"
PATIENCE_S = 0.3
_LOCAL_URLS = {LOCAL_URL, f"http://127.0.0.1:{OLLAMA_PORT}", f"http://[::1]:{OLLAMA_PORT}"}


class _Version(msgspec.Struct):
    version: str


def find_local_ollama(url: str = LOCAL_URL) -> str | None:
    """Return the address if an Ollama answers there at once."""
    try:
        answer = asyncio.run(fetch("GET", f"{url}/api/version", timeout_s=PATIENCE_S))
        msgspec.json.decode(answer.body, type=_Version)
    except (FetchError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return url if answer.status == 200 else None  # noqa: PLR2004 (HTTP's own number)


def with_local_ollama(settings: Settings, url: str = LOCAL_URL) -> Settings:
    """Add this machine's Ollama to the nodes, unless it is there, unwanted, or herd itself."""
    named = any(node.url in {url, *_LOCAL_URLS} for node in settings.nodes)
    if named or not settings.local_ollama or url.endswith(f":{settings.port}"):
        return settings
    found = find_local_ollama(url)
    if found is None:
        return settings
    nodes = (NodeAddress(found, origin="local"), *settings.nodes)
    return msgspec.structs.replace(settings, nodes=nodes)
