"""The Ollama of this machine: whether it answers, who reaches it, and how it is set."""

from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit

import psutil

from herd.agent.facts import is_loopback
from herd.doctor.finding import Finding, bad, good, note
from herd.survey import survey

SETTINGS: Final = (
    (
        "OLLAMA_NUM_PARALLEL",
        "requests at once for each model; herd learns how many are worth it if it is not set",
    ),
    ("OLLAMA_MAX_LOADED_MODELS", "models in memory at once; 3 for each GPU if it is not set"),
    ("OLLAMA_KEEP_ALIVE", "how long a model stays in memory; 5 minutes if it is not set"),
    (
        "OLLAMA_CONTEXT_LENGTH",
        "tokens of context for each request; Ollama chooses if it is not set",
    ),
)
FOR_ALL: Final = "OLLAMA_HOST=0.0.0.0 for Ollama's own service, and start it again"


async def ollama(url: str) -> list[Finding]:
    """Ask it what it is and has. A machine without one is fine: the balancer needs none."""
    found = await survey(url, want_models=True)
    if not found.reachable:
        return [
            note(
                "Ollama",
                f"none answers at {url}: {found.error}",
                "start it with `ollama serve`; a machine that only balances needs none",
            )
        ]
    if found.is_herd:
        return [
            note(
                "Ollama",
                f"a balancer answers at {url}, as for clients of it (see OLLAMA_HOST)",
                "if an Ollama runs here, too: `herd node --ollama-host http://localhost:11434`",
            )
        ]
    models = len(found.models or ())
    version = found.facts.version if found.facts else ""
    told = [good("Ollama", f"{found.kind} {version} at {url}, {_count(models, 'model')} on disk")]
    if not models:
        told.append(note("models", "it has none", "ollama pull MODEL, or `herd pull MODEL`"))
    return told


def reach(url: str, listening: Mapping[str, list[str]]) -> Iterator[Finding]:
    """Tell whether the balancer of another machine reaches it; `listening` by port."""
    port = str(urlsplit(url).port or 11434)
    addresses = listening.get(port, [])
    if not addresses:
        return
    if all(is_loopback(address) for address in addresses):
        yield note(
            "OLLAMA_HOST",
            "Ollama listens for this machine alone",
            "leave it so: `herd node` here relays for it to a balancer elsewhere; without that, "
            f"set {FOR_ALL}",
        )
    else:
        yield good("OLLAMA_HOST", f"Ollama listens on {', '.join(sorted(addresses))}")


def settings(environment: Mapping[str, str] | None) -> Iterator[Finding]:
    """Tell what the running Ollama was told; None where nobody may look into its process."""
    if environment is None:
        yield note(
            "Ollama's settings",
            "its process belongs to somebody else: its settings cannot be read",
            "run `herd doctor` as the user who runs Ollama, or as root",
        )
        return
    for name, meaning in SETTINGS:
        yield note(name, f"{environment.get(name) or 'not set'} ({meaning})")


def running() -> tuple[bool, dict[str, str] | None]:
    """Return whether an Ollama runs here, and its environment, if we may read it."""
    for process in psutil.process_iter(["name", "cmdline"]):
        words: list[str] = process.info["cmdline"] or []
        name = process.info["name"] or ""
        if name.removesuffix(".exe") == "ollama" and "serve" in words:
            try:
                return True, dict(process.environ())
            except (psutil.Error, OSError):
                return True, None
    return False, None


def listeners() -> dict[str, list[str]]:
    """Return the addresses that something listens on, by port, as far as we may see."""
    found: dict[str, list[str]] = {}
    try:
        for each in psutil.net_connections("tcp"):
            if each.status == psutil.CONN_LISTEN and each.laddr:
                found.setdefault(str(each.laddr.port), []).append(str(each.laddr.ip))
    except (psutil.Error, OSError):
        return {}
    return found


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def unreachable(url: str, error: str) -> Finding:
    """Return what to do about a node that cannot be reached from here."""
    fix = "look whether that machine runs, and whether a firewall lets its port through"
    if "refused" in error.lower():
        fix = f"Ollama does not listen there: run `herd node` beside it, or set {FOR_ALL}"
    return bad("node", f"{url} cannot be reached from here: {error}", fix)
