"""Ready-made machines: three unequal ones for the demo, and one without physics for measuring."""

import hashlib
from collections.abc import Callable

import msgspec

from events import ModelFacts, NodeFacts
from herd.dialects import names
from herd.simulator.hardware import UNBOUNDED, NodeSpec, SimulatedModel

_GIB = 1024**3

VERSION = "0.12.0"
"""The version a simulated node says it has."""


def _model(  # noqa: PLR0913 (a row of the table below)
    name: str,
    size_bytes: int,
    parameters: int,
    *,
    architecture: str,
    parameter_size: str,
    quantization: str = "Q4_K_M",
    context_tokens: int,
    kv_bytes_per_token: int = 0,
    embedding_length: int,
    capabilities: tuple[str, ...] = ("completion", "tools"),
) -> SimulatedModel:
    return SimulatedModel(
        facts=ModelFacts(
            name=name,
            size_bytes=size_bytes,
            digest=hashlib.sha256(b"simulated " + name.encode()).hexdigest(),
            modified_at="2026-01-02T03:04:05.678901234Z",
            format="gguf",
            family=architecture,
            families=(architecture,),
            parameter_size=parameter_size,
            quantization_level=quantization,
            capabilities=capabilities,
            context_length=context_tokens,
        ),
        architecture=architecture,
        parameters=parameters,
        kv_bytes_per_token=kv_bytes_per_token,
        embedding_length=embedding_length,
    )


# Sizes, parameters and contexts are those of the models in Ollama's library.

LLAMA_70B = _model(
    "llama3.3:70b",
    42_520_413_916,
    70_553_706_560,
    architecture="llama",
    parameter_size="70.6B",
    context_tokens=131_072,
    kv_bytes_per_token=80 * 8 * 128 * 4,
    embedding_length=8192,
)
LLAMA_3B = _model(
    "llama3.2:3b",
    2_019_393_189,
    3_212_749_888,
    architecture="llama",
    parameter_size="3.2B",
    context_tokens=131_072,
    kv_bytes_per_token=28 * 8 * 128 * 4,
    embedding_length=3072,
)
QWEN_7B = _model(
    "qwen2.5:7b",
    4_683_087_332,
    7_615_616_512,
    architecture="qwen2",
    parameter_size="7.6B",
    context_tokens=32_768,
    kv_bytes_per_token=28 * 4 * 128 * 4,
    embedding_length=3584,
)
NOMIC = _model(
    "nomic-embed-text:latest",
    274_302_450,
    136_727_040,
    architecture="nomic-bert",
    parameter_size="137M",
    quantization="F16",
    context_tokens=2048,
    embedding_length=768,
    capabilities=("embedding",),
)
ALL_MODELS = (LLAMA_70B, LLAMA_3B, QWEN_7B, NOMIC)
SMOLLM = _model(
    "smollm2:135m",
    270_898_672,
    134_515_008,
    architecture="llama",
    parameter_size="134.52M",
    quantization="F16",
    context_tokens=8192,
    kv_bytes_per_token=30 * 3 * 64 * 4,
    embedding_length=576,
)
LLAMA_1B = _model(
    "llama3.2:1b",
    1_321_098_329,
    1_235_814_432,
    architecture="llama",
    parameter_size="1.2B",
    quantization="Q8_0",
    context_tokens=131_072,
    kv_bytes_per_token=16 * 8 * 64 * 4,
    embedding_length=2048,
)
QWEN3_4B = _model(
    "qwen3:4b",
    2_497_293_931,
    4_022_468_096,
    architecture="qwen3",
    parameter_size="4.0B",
    context_tokens=262_144,
    kv_bytes_per_token=36 * 8 * 128 * 4,
    embedding_length=2560,
    capabilities=("completion", "tools", "thinking"),
)
REGISTRY = {names.key(m.facts.name): m for m in (*ALL_MODELS, SMOLLM, LLAMA_1B)}
"""What can be pulled, by the keys of the names."""


def studio() -> NodeSpec:
    """Return a desktop with big unified memory: slow arithmetic, room for a 70B model."""
    return NodeSpec(
        name="studio",
        facts=NodeFacts(
            version=VERSION,
            slots=4,
            vram_bytes=144 * _GIB,
            memory_bytes=192 * _GIB,
            cores=24,
            arch="arm64",
            chip="simulated: unified memory, 800 GB/s",
            bandwidth_bytes_per_s=800_000_000_000,
        ),
        models=ALL_MODELS,
        flops_per_s=17e12,
        bandwidth_share=0.6,
        disk_bytes_per_s=5e9,
        context_tokens=8192,
    )


def tower() -> NodeSpec:
    """Return a PC with a 24 GB graphics card: fast, and full soon."""
    return NodeSpec(
        name="tower",
        facts=NodeFacts(
            version=VERSION,
            slots=2,
            vram_bytes=24 * _GIB,
            memory_bytes=64 * _GIB,
            cores=16,
            arch="x86_64",
            chip="simulated: 24 GB graphics card, 1000 GB/s",
            bandwidth_bytes_per_s=1_000_000_000_000,
        ),
        models=(LLAMA_3B, QWEN_7B, NOMIC),
        flops_per_s=60e12,
        bandwidth_share=0.65,
        disk_bytes_per_s=3e9,
        offload_bytes=48 * _GIB,
        context_tokens=8192,
    )


def mini() -> NodeSpec:
    """Return a small computer with 16 GB of unified memory."""
    return NodeSpec(
        name="mini",
        facts=NodeFacts(
            version=VERSION,
            slots=1,
            vram_bytes=11 * _GIB,
            memory_bytes=16 * _GIB,
            cores=10,
            arch="arm64",
            chip="simulated: unified memory, 120 GB/s",
            bandwidth_bytes_per_s=120_000_000_000,
        ),
        models=(LLAMA_3B, NOMIC),
        flops_per_s=3.6e12,
        bandwidth_share=0.85,
        disk_bytes_per_s=1.5e9,
        context_tokens=4096,
    )


def ideal(step_s: float = 0.0) -> NodeSpec:
    """Return a node without physics: no loads, no queue, a token each `step_s`; 0: at once."""
    return NodeSpec(
        name="ideal",
        facts=NodeFacts(
            version=VERSION,
            slots=UNBOUNDED,
            max_loaded_models=UNBOUNDED,
            vram_bytes=1024 * _GIB,
            memory_bytes=1024 * _GIB,
            chip="simulated: no physics",
            bandwidth_bytes_per_s=1_000_000_000_000,
        ),
        models=ALL_MODELS,
        disk_bytes_per_s=float("inf"),
        load_fixed_s=0.0,
        keep_alive_s=-1.0,
        step_s=step_s,
    )


def thinker() -> NodeSpec:
    """Return the same with a model that thinks before it answers."""
    return msgspec.structs.replace(ideal(), name="thinker", models=(*ALL_MODELS, QWEN3_4B))


def with_slots(spec: NodeSpec, slots: int) -> NodeSpec:
    """Return the same machine with another OLLAMA_NUM_PARALLEL."""
    facts = msgspec.structs.replace(spec.facts, slots=slots)
    return msgspec.structs.replace(spec, facts=facts)


PROFILES: dict[str, Callable[[], NodeSpec]] = {
    "studio": studio,
    "tower": tower,
    "mini": mini,
    "ideal": ideal,
    "thinker": thinker,
}
"""By the names that `--profile` takes."""
