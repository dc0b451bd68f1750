"""The heartbeat: what an agent sends, and what the balancer makes of it.

The keys and units are those of ollama-herd's `herd-node`, so that either side may be the other's:
sizes in GiB, in `models_available_sizes` in decimal GB. What it lacks is added beside: `protocol`,
`reachable`, `dialect`, `vram_bytes`, `unified_memory`, `relay`, `started`, exact sizes in bytes.
Whoever reads prefers the exact ones, and takes no offence at what is missing or unknown; only the
node's id is needed. What the owner lends is `capacity`.
"""

import msgspec

from events import (
    DrainRequested,
    Gpu,
    HeartbeatReceived,
    Limits,
    ModelFacts,
    NodeDialect,
    NodeFacts,
    NodeId,
    ResidentModel,
)
from herd.agent import capacity
from herd.agent.address import url_of
from herd.agent.capacity import NO_LIMITS, Capacity
from herd.agent.identity import checked_node_id
from herd.dialects.names import normalise
from herd.dialects.numbers import count
from herd.http.detour import SCHEME

PROTOCOL = 1
"""Of our own additions; 0 is ollama-herd's agent."""

GIB = 1024**3
GB = 1000**3
AGENT = "its agent"
"""Who drains, where the agent asked for it itself: the word that health knows."""

LONGEST_NAME = 512
HOT_C = 85.0
MOST_GPUS = 64


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
    embedding_length: int | None = 0


class _Meta(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    digest: str | None = ""
    modified_at: str | None = ""
    details: _Details | None = None
    capabilities: list[str] | None = None
    size_bytes: int | None = None
    remote_model: str | None = ""
    remote_host: str | None = ""


class _Ollama(msgspec.Struct, kw_only=True, gc=False):
    models_loaded: list[_Loaded] | None = None
    models_available: list[str] | None = None
    models_available_sizes: dict[str, float] | None = None
    models_available_meta: dict[str, _Meta] | None = None
    max_loaded_models: int | None = 0
    num_parallel: int | None = 0
    context_length: int | None = 0
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


class _Thermal(msgspec.Struct, kw_only=True, gc=False):
    """The hottest card; ollama-herd's key, for those who read it."""

    state: str = "unknown"
    temperature_c: float | None = None
    source: str = "gpu"


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
    unified_memory: bool = False
    relay: bool = False
    """Nobody but the agent can reach its Ollama: the balancer gets there by it."""
    gpus: list[Gpu] | None = None
    thermal: _Thermal | None = None
    started: float | None = 0.0
    """When the agent was, in seconds since the epoch: of two with one key the later one speaks."""


class _Started(msgspec.Struct, gc=False):
    started: float | None = 0.0


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
    relay: bool = False,
    gpus: tuple[Gpu, ...] = (),
    started_s: float = 0.0,
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
                context_length=facts.context_tokens,
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
            unified_memory=facts.unified_memory,
            relay=relay,
            gpus=list(gpus),
            thermal=_thermal(gpus),
            started=started_s,
        )
    )


def _thermal(gpus: tuple[Gpu, ...]) -> _Thermal:
    heats = [gpu.temperature_c for gpu in gpus if gpu.temperature_c is not None]
    if not heats:
        return _Thermal()
    return _Thermal(state="warning" if max(heats) >= HOT_C else "nominal", temperature_c=max(heats))


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
            embedding_length=model.embedding_length,
        ),
        capabilities=list(model.capabilities) or None,
        size_bytes=model.size_bytes,
        remote_model=model.remote_model,
        remote_host=model.remote_host,
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
        url=f"{SCHEME}://{node_id}"
        if beat.relay
        else url_of(beat.ollama_host or "", beat.lan_ip or "", peer),
        facts=_facts(beat, ollama),
        resident=_resident(ollama.models_loaded or []),
        models=_models(ollama),
        reachable=beat.reachable,
        draining=beat.draining,
        limits=capacity.read(beat.capacity, ours=bool(beat.protocol)),
        gpus=tuple(gpu for gpu in beat.gpus or () if len(gpu.name) <= LONGEST_NAME)[:MOST_GPUS],
    )


def started_s(body: bytes) -> float:
    """Return when the agent was started that sent a heartbeat; 0 where it does not tell."""
    return msgspec.json.decode(body, type=_Started, strict=False).started or 0.0


def _facts(beat: _Heartbeat, ollama: _Ollama) -> NodeFacts:
    cpu, memory = beat.cpu or Cpu(), beat.memory or Memory()
    disk = beat.disk if beat.protocol and beat.disk is not None else _Disk()
    return NodeFacts(
        dialect=beat.dialect,
        version=ollama.version or "",
        agent_version=beat.agent_version or "",
        slots=count(ollama.num_parallel),
        max_loaded_models=count(ollama.max_loaded_models),
        context_tokens=count(ollama.context_length),
        vram_bytes=count(beat.vram_bytes),
        unified_memory=beat.unified_memory,
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
                embedding_length=count(details.embedding_length),
                remote_model=meta.remote_model or "",
                remote_host=meta.remote_host or "",
            ),
        )
    return tuple(found.values())


def _exact(exact: int | None, rounded: float | None, unit: int) -> int:
    return count((rounded or 0.0) * unit if exact is None else exact)


def _named(spelled: str) -> str:
    """Return a model's normalised name, or nothing where it cannot be one."""
    return normalise(spelled) if spelled.isprintable() and 0 < len(spelled) <= LONGEST_NAME else ""
