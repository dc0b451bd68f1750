"""What this machine is, and how busy it is now: psutil, and the tools of the GPU's maker."""

import contextlib
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import psutil
from msgspec.structs import replace

from events import Gpu, NodeFacts
from herd.agent.gpus import DRM, Cards
from herd.agent.payload import GIB, Cpu, Memory
from herd.node_address import OLLAMA_PORT, bracketed, normalised_url
from herd.platform import name as system_name
from herd.version import version

DEFAULT_OLLAMA = f"http://localhost:{OLLAMA_PORT}"
ASK_S = 5.0
"""How long a tool may take to say what this machine has; asked once, at the start."""

TIGHT_PCT, CRITICAL_PCT = 85.0, 95.0

_MIB = 1024**2
_PORT = re.compile(r":\d+$")
_DRM = DRM
_CPUINFO = Path("/proc/cpuinfo")
_SERVICE = Path("/usr/share/ollama")
"""The home of Ollama's own user, on Linux."""


def machine_facts(environment: Mapping[str, str] = os.environ) -> NodeFacts:
    """Return what does not change while the agent runs; asks the GPU, so it may take a while."""
    cards = Cards(_DRM)
    own_bytes, shared_bytes = vram_bytes(cards), _total(cards.apple())
    return NodeFacts(
        agent_version=version(),
        slots=_number(environment.get("OLLAMA_NUM_PARALLEL", "")),
        max_loaded_models=_number(environment.get("OLLAMA_MAX_LOADED_MODELS", "")),
        context_tokens=_number(environment.get("OLLAMA_CONTEXT_LENGTH", "")),
        vram_bytes=own_bytes or shared_bytes,
        memory_bytes=psutil.virtual_memory().total,
        cores=psutil.cpu_count(logical=False) or os.cpu_count() or 0,
        arch=arch_name(system_name(), platform.machine()),
        chip=_chip(),
        unified_memory=bool(shared_bytes and not own_bytes),
    )


def load() -> tuple[Cpu, Memory]:
    """Return how busy processor and main memory are; the processor since the last call."""
    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    used_pct = 100.0 * (1.0 - memory.available / memory.total)
    pressure = "normal"
    if used_pct >= TIGHT_PCT:
        pressure = "critical" if used_pct >= CRITICAL_PCT else "warn"
    return (
        Cpu(utilization_pct=psutil.cpu_percent()),
        Memory(
            total_gb=round(memory.total / GIB, 2),
            used_gb=round((memory.total - memory.available) / GIB, 2),
            available_gb=round(memory.available / GIB, 2),
            pressure=pressure,
            swap_used_gb=round(swap.used / GIB, 2),
            swap_total_gb=round(swap.total / GIB, 2),
        ),
    )


def with_disk(facts: NodeFacts, environment: Mapping[str, str] = os.environ) -> NodeFacts:
    """Return the facts with the size of the models' disk, and what of it is free; if known."""
    for folder in _model_folders(environment):
        with contextlib.suppress(OSError):
            usage = psutil.disk_usage(str(folder))
            return replace(facts, disk_bytes=usage.total, disk_free_bytes=usage.free)
    return facts


def _model_folders(environment: Mapping[str, str]) -> list[Path]:
    """Return where Ollama may keep its models: as it is told, as its service does, else at home."""
    if told := environment.get("OLLAMA_MODELS", ""):
        return [Path(told)]
    home = Path.home()
    return [_SERVICE / ".ollama" / "models", home / ".ollama" / "models", home]


def ollama_url(given: str, environment: Mapping[str, str] = os.environ) -> str:
    """Return where this machine's Ollama is: what was given, else `OLLAMA_HOST`, else the usual.

    `OLLAMA_HOST` is read by Ollama's own rules: a scheme brings that scheme's port.
    """
    text, named = (given, "--ollama-host") if given else (environment.get("OLLAMA_HOST", ""), "")
    text = text.strip().strip("\"'")
    if not text:
        return DEFAULT_OLLAMA
    named = named or "OLLAMA_HOST"
    text = bracketed(text)
    if text.startswith(":"):
        text = f"localhost{text}"
    if named == "OLLAMA_HOST" and text.startswith("http://") and not _PORT.search(text.rstrip("/")):
        text = f"{text.rstrip('/')}:80"
    url = normalised_url(text, named=named)
    parts = urlsplit(url)
    if parts.hostname in {"0.0.0.0", "::"}:  # noqa: S104 (where it listens; it is asked here)
        return f"{parts.scheme}://localhost:{parts.port}"
    return url


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a host."""
    return host in {"localhost", "::1"} or host.startswith("127.")


# The GPU


def vram_bytes(cards: Cards) -> int:
    """Return the GPUs' own memory together; 0 where there is none, or none that can be asked."""
    return _total(cards.nvidia()) or _nvidia_tool() or _total(cards.amd())


def _total(cards: tuple[Gpu, ...]) -> int:
    return sum(card.total_bytes or 0 for card in cards)


def _nvidia_tool() -> int:
    answer = _ask("nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits")
    return sum(_number(line.strip()) for line in answer.splitlines()) * _MIB


# The processor


def arch_name(system: str, machine: str) -> str:
    """Return one name for what the systems spell differently; Apple's share their memory."""
    known = {"amd64": "x86_64", "aarch64": "arm64"}
    arch = known.get(machine.lower(), machine.lower())
    return "apple_silicon" if (system, arch) == ("Darwin", "arm64") else arch


def _chip() -> str:
    with contextlib.suppress(OSError):
        found = re.search(
            r"(?:model name|Model)\s*:\s*(.+)", _CPUINFO.read_text("utf-8", "replace")
        )
        if found:
            return found[1].strip()
    return _ask("sysctl", "-n", "machdep.cpu.brand_string").strip() or platform.processor()


def _ask(tool: str, *arguments: str) -> str:
    """Return what a tool of the system says; nothing where it is missing, fails or hangs."""
    path = shutil.which(tool)
    if path is None:
        return ""
    try:
        answer = subprocess.run(  # noqa: S603 (a fixed command, found in the path)
            [path, *arguments], capture_output=True, timeout=ASK_S, check=True, text=True
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return ""
    return answer.stdout


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0
