"""The heartbeat: what an agent sends, and what the balancer makes of it.

The keys and units are those of ollama-herd's `herd-node`, so that either side may be the other's:
sizes in GiB, in `models_available_sizes` in decimal GB. What it lacks is added beside: `protocol`,
`reachable`, `dialect`, `vram_bytes`, exact sizes in bytes. Whoever reads prefers the exact ones,
and takes no offence at what is missing or unknown; only the node's id is needed.
What the owner lends is `capacity`.
"""

import ipaddress
import re
from urllib.parse import urlsplit

import msgspec

from events import (
    DrainRequested,
    HeartbeatReceived,
    Limits,
    ModelFacts,
    NodeDialect,
    NodeFacts,
    NodeId,
    ResidentModel,
)
from herd.agent import capacity
from herd.agent.capacity import NO_LIMITS, Capacity
from herd.agent.identity import checked_node_id
from herd.config import OLLAMA_PORT, normalised_url
from herd.dialects.names import normalise
from herd.dialects.numbers import count
from herd.errors import HerdError

PROTOCOL = 1
"""Of our own additions; 0 is ollama-herd's agent."""

GIB = 1024**3
GB = 1000**3
AGENT = "its agent"
"""Who drains, where the agent asked for it itself: the word that health knows."""

LONGEST_NAME = 512

_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+(%[A-Za-z0-9._-]+)?")


# What the wire carries


class _Loaded(msgspec.Struct, kw_only=True, gc=False):
    name: str
    size_gb: float | None = 0.0
    parameter_size: str | None = ""
    quantization: str | None = ""
    context_length: int | None = 0
    digest: str | None = ""
    requests_active: int | None = 0
    runner: str | None = ""
    size_bytes: int | None = None
    size_vram_bytes: int | None = 0
    expires_at: str | None = ""


class _Details(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    parent_model: str | None = ""
    format: str | None = ""
    family: str | None = ""
    families: list[str] | None = None
    parameter_size: str | None = ""
    quantization_level: str | None = ""
    context_length: int | None = 0


class _Meta(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    digest: str | None = ""
    modified_at: str | None = ""
    details: _Details | None = None
    capabilities: list[str] | None = None
    size_bytes: int | None = None


class _Ollama(msgspec.Struct, kw_only=True, gc=False):
    models_loaded: list[_Loaded] | None = None
    models_available: list[str] | None = None
    models_available_sizes: dict[str, float] | None = None
    models_available_meta: dict[str, _Meta] | None = None
    max_loaded_models: int | None = 0
    num_parallel: int | None = 0
    requests_active: int | None = 0
    version: str | None = ""


class Cpu(msgspec.Struct, kw_only=True, gc=False):
    """The processor: how many cores, how busy."""

    cores_physical: int | None = 0
    utilization_pct: float | None = 0.0


class Memory(msgspec.Struct, kw_only=True, gc=False):
    """Main memory now, in GiB; `total_bytes` is exact."""

    total_gb: float | None = 0.0
    used_gb: float | None = 0.0
    available_gb: float | None = 0.0
    pressure: str | None = "normal"
    """normal, warn or critical."""
    swap_used_gb: float | None = 0.0
    swap_total_gb: float | None = 0.0
    total_bytes: int | None = None


class _Disk(msgspec.Struct, kw_only=True, gc=False):
    """The disk of the models, in GiB; ollama-herd's agent tells of the system's: not taken."""

    total_gb: float | None = 0.0
    used_gb: float | None = 0.0
    available_gb: float | None = 0.0


class _Heartbeat(msgspec.Struct, kw_only=True, gc=False):
    node_id: str
    arch: str | None = ""
    timestamp: float | None = 0.0
    cpu: Cpu | None = None
    memory: Memory | None = None
    disk: _Disk | None = None
    ollama: _Ollama | None = None
    ollama_host: str | None = ""
    lan_ip: str | None = ""
    draining: bool = False
    capacity: Capacity | None = None
    agent_version: str | None = ""
    chip: str | None = ""
    memory_bandwidth_gbps: float | None = 0.0
    protocol: int = 0
    reachable: bool = True
    dialect: NodeDialect = "ollama"
    vram_bytes: int | None = 0


# The agent's side


def build_heartbeat(  # noqa: PLR0913 (named, and each from another source)
    *,
    node_id: str,
    ollama_host: str,
    lan_ip: str,
    facts: NodeFacts,
    cpu: Cpu,
    memory: Memory,
    resident: tuple[ResidentModel, ...],
    models: tuple[ModelFacts, ...],
    reachable: bool,
    draining: bool,
    timestamp_s: float,
    limits: Limits = NO_LIMITS,
) -> bytes:
    """Return the body of a heartbeat."""
    return msgspec.json.encode(
        _Heartbeat(
            node_id=node_id,
            arch=facts.arch,
            timestamp=timestamp_s,
            cpu=msgspec.structs.replace(cpu, cores_physical=facts.cores),
            memory=msgspec.structs.replace(memory, total_bytes=facts.memory_bytes),
            disk=_disk(facts),
            ollama=_Ollama(
                models_loaded=[_loaded(model) for model in resident],
                models_available=[model.name for model in models],
                models_available_sizes={model.name: model.size_bytes / GB for model in models},
                models_available_meta={model.name: _meta(model) for model in models},
                max_loaded_models=facts.max_loaded_models,
                num_parallel=facts.slots,
                version=facts.version,
            ),
            ollama_host=ollama_host,
            lan_ip=lan_ip,
            draining=draining,
            capacity=capacity.written(limits),
            agent_version=facts.agent_version,
            chip=facts.chip,
            memory_bandwidth_gbps=facts.bandwidth_bytes_per_s / GB,
            protocol=PROTOCOL,
            reachable=reachable,
            dialect=facts.dialect,
            vram_bytes=facts.vram_bytes,
        )
    )


def _disk(facts: NodeFacts) -> _Disk | None:
    if not facts.disk_bytes:
        return None
    total, free = facts.disk_bytes / GIB, facts.disk_free_bytes / GIB
    return _Disk(
        total_gb=round(total, 2), used_gb=round(total - free, 2), available_gb=round(free, 2)
    )


def _loaded(model: ResidentModel) -> _Loaded:
    return _Loaded(
        name=model.name,
        size_gb=round(model.size_bytes / GIB, 2),
        context_length=model.context_length,
        digest=model.digest,
        size_bytes=model.size_bytes,
        size_vram_bytes=model.size_vram_bytes,
        expires_at=model.expires_at,
    )


def _meta(model: ModelFacts) -> _Meta:
    return _Meta(
        digest=model.digest,
        modified_at=model.modified_at,
        details=_Details(
            parent_model=model.parent_model,
            format=model.format,
            family=model.family,
            families=list(model.families) or None,
            parameter_size=model.parameter_size,
            quantization_level=model.quantization_level,
            context_length=model.context_length,
        ),
        capabilities=list(model.capabilities) or None,
        size_bytes=model.size_bytes,
    )


# The balancer's side


def parse_heartbeat(body: bytes, peer: str) -> HeartbeatReceived | DrainRequested:
    """Return the fact that a heartbeat tells; `peer` is the address it came from.

    The last word of ollama-herd's agent is only its name and that it drains: it takes nothing
    back of what the node was known to be. Raises `ValueError` that says what is wrong with it.
    """
    try:
        beat = msgspec.json.decode(body, type=_Heartbeat, strict=False)
    except msgspec.ValidationError as error:
        raise ValueError(f"this is no heartbeat: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"a heartbeat must be JSON: {error}") from error
    node_id = NodeId(checked_node_id(beat.node_id))
    if beat.draining and beat.ollama is None:
        return DrainRequested(node_id=node_id, by=AGENT)
    ollama = beat.ollama or _Ollama()
    return HeartbeatReceived(
        node_id=node_id,
        url=_url(beat.ollama_host or "", beat.lan_ip or "", peer),
        facts=_facts(beat, ollama),
        resident=_resident(ollama.models_loaded or []),
        models=_models(ollama),
        reachable=beat.reachable,
        draining=beat.draining,
        limits=capacity.read(beat.capacity, ours=bool(beat.protocol)),
    )


def _facts(beat: _Heartbeat, ollama: _Ollama) -> NodeFacts:
    cpu, memory = beat.cpu or Cpu(), beat.memory or Memory()
    disk = beat.disk if beat.protocol and beat.disk is not None else _Disk()
    return NodeFacts(
        dialect=beat.dialect,
        version=ollama.version or "",
        agent_version=beat.agent_version or "",
        slots=count(ollama.num_parallel),
        max_loaded_models=count(ollama.max_loaded_models),
        vram_bytes=count(beat.vram_bytes),
        memory_bytes=_exact(memory.total_bytes, memory.total_gb, GIB),
        cores=count(cpu.cores_physical),
        arch=beat.arch or "",
        chip=beat.chip or "",
        bandwidth_bytes_per_s=_exact(None, beat.memory_bandwidth_gbps, GB),
        disk_bytes=_exact(None, disk.total_gb, GIB),
        disk_free_bytes=_exact(None, disk.available_gb, GIB) // GB * GB,
    )


def _resident(loaded: list[_Loaded]) -> tuple[ResidentModel, ...]:
    found: dict[str, ResidentModel] = {}
    for model in loaded:
        if not (name := _named(model.name)):
            continue
        found.setdefault(
            name,
            ResidentModel(
                name=name,
                size_bytes=_exact(model.size_bytes, model.size_gb, GIB),
                size_vram_bytes=count(model.size_vram_bytes),
                context_length=count(model.context_length),
                expires_at=model.expires_at or "",
                digest=model.digest or "",
            ),
        )
    return tuple(found.values())


def _models(ollama: _Ollama) -> tuple[ModelFacts, ...]:
    sizes, metas = ollama.models_available_sizes or {}, ollama.models_available_meta or {}
    found: dict[str, ModelFacts] = {}
    for spelled in ollama.models_available or []:
        if not (name := _named(spelled)):
            continue
        meta = metas.get(spelled) or _Meta()
        details = meta.details or _Details()
        found.setdefault(
            name,
            ModelFacts(
                name=name,
                size_bytes=_exact(meta.size_bytes, sizes.get(spelled), GB),
                digest=meta.digest or "",
                modified_at=meta.modified_at or "",
                format=details.format or "",
                family=details.family or "",
                families=tuple(details.families or ()),
                parameter_size=details.parameter_size or "",
                quantization_level=details.quantization_level or "",
                parent_model=details.parent_model or "",
                capabilities=tuple(meta.capabilities or ()),
                context_length=count(details.context_length),
            ),
        )
    return tuple(found.values())


def _exact(exact: int | None, rounded: float | None, unit: int) -> int:
    return count((rounded or 0.0) * unit if exact is None else exact)


def _named(spelled: str) -> str:
    """Return a model's normalised name, or nothing where it cannot be one."""
    return normalise(spelled) if spelled.isprintable() and 0 < len(spelled) <= LONGEST_NAME else ""


# Where the balancer reaches the node


def _url(ollama_host: str, lan_ip: str, peer: str) -> str:
    """Return the node's address as seen from the balancer.

    A heartbeat from this machine may name any address. From elsewhere, loopback means the sender's
    own: then the node is where the heartbeat came from, at the same port.
    """
    scheme, host, port = _taken_apart(ollama_host)
    here = _is_here(peer)
    if host and (here or not _is_here(host)):
        return _joined(scheme, "localhost" if _is_anywhere(host) else host, port)
    found = "localhost" if here else peer or lan_ip
    if not found:
        raise ValueError("nothing says where its Ollama is: `ollama_host` is missing")
    return _joined(scheme, _plain(found), port)


def _taken_apart(address: str) -> tuple[str, str, int]:
    if not address:
        return "http", "", OLLAMA_PORT
    wrong = ValueError(f"`ollama_host` must be http://host:port, not {address!r}")
    try:
        parts = urlsplit(normalised_url(address, named="ollama_host"))
    except (HerdError, ValueError) as error:
        raise wrong from error
    host = parts.hostname or ""
    if not _HOST.fullmatch(host) or not address.isprintable():
        raise wrong
    return parts.scheme, host, parts.port or OLLAMA_PORT


def _is_here(host: str) -> bool:
    """Whether an address means the machine that says it: loopback, or all interfaces."""
    try:
        address = ipaddress.ip_address(_plain(host))
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def _is_anywhere(host: str) -> bool:
    return _plain(host) in {"0.0.0.0", "::"}  # noqa: S104 (compared, not bound)


def _plain(address: str) -> str:
    """Return an address without brackets, and an IPv4 one out of its IPv6 wrapping."""
    bare = address.strip("[]")
    try:
        parsed = ipaddress.ip_address(bare)
    except ValueError:
        return bare
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(parsed)


def _joined(scheme: str, host: str, port: int) -> str:
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
