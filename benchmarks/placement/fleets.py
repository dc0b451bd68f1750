"""The fleets that policies are compared on: unequal machines, each with all models on its disk.

Six models of the sizes that people run. A node serves at once what its owner told Ollama, and
keeps at most three models in memory, as Ollama does by itself.
"""

from collections.abc import Callable

from events import ModelFacts, NodeFacts
from herd.simulator.hardware import NodeSpec, SimulatedModel
from herd.simulator.profiles import LLAMA_3B, LLAMA_70B, QWEN_7B, VERSION

_GIB = 1024**3


def _model(name: str, size_bytes: int, parameters: int, kv_bytes_per_token: int) -> SimulatedModel:
    return SimulatedModel(
        facts=ModelFacts(
            name=name,
            size_bytes=size_bytes,
            format="gguf",
            family="transformer",
            quantization_level="Q4_K_M",
            capabilities=("completion", "tools"),
            context_length=32_768,
        ),
        architecture="transformer",
        parameters=parameters,
        kv_bytes_per_token=kv_bytes_per_token,
    )


# Sizes and parameters are those of the models in Ollama's library.

MODELS = (
    LLAMA_3B,
    QWEN_7B,
    _model("llama3.1:8b", 4_920_753_328, 8_030_261_312, 32 * 8 * 128 * 4),
    _model("qwen2.5:14b", 8_988_124_069, 14_770_033_664, 48 * 8 * 128 * 4),
    _model("qwen2.5:32b", 19_851_349_856, 32_763_876_352, 64 * 8 * 128 * 4),
    LLAMA_70B,
)
"""By size. How often each is asked for: see `workload`."""


def _node(
    name: str,
    *,
    vram_gib: int,
    bandwidth_gb: int,
    tflops: float,
    disk_gb: float,
    slots: int,
    share: float = 0.65,
) -> NodeSpec:
    """A machine; models that do not fit its memory are not on its disk."""
    return NodeSpec(
        name=name,
        facts=NodeFacts(
            version=VERSION,
            slots=slots,
            vram_bytes=vram_gib * _GIB,
            memory_bytes=max(32, vram_gib) * _GIB,
            bandwidth_bytes_per_s=bandwidth_gb * 1_000_000_000,
        ),
        models=tuple(model for model in MODELS if model.facts.size_bytes * 1.15 < vram_gib * _GIB),
        flops_per_s=tflops * 1e12,
        bandwidth_share=share,
        disk_bytes_per_s=disk_gb * 1e9,
        context_tokens=8192,
    )


def studio(name: str = "studio") -> NodeSpec:
    """A desktop with 512 GB of unified memory at 800 GB/s."""
    return _node(name, vram_gib=384, bandwidth_gb=800, tflops=26, disk_gb=5, slots=4, share=0.6)


def laptop(name: str = "laptop") -> NodeSpec:
    """A laptop with 128 GB of unified memory at 400 GB/s."""
    return _node(name, vram_gib=96, bandwidth_gb=400, tflops=13, disk_gb=5, slots=2, share=0.65)


def tower(name: str = "tower") -> NodeSpec:
    """A PC with a 24 GB card at 1,000 GB/s."""
    return _node(name, vram_gib=24, bandwidth_gb=1000, tflops=70, disk_gb=3, slots=4)


def rig(name: str = "rig") -> NodeSpec:
    """A PC with two such cards."""
    return _node(name, vram_gib=48, bandwidth_gb=900, tflops=60, disk_gb=3, slots=4)


def desktop(name: str = "desktop") -> NodeSpec:
    """A PC with a 12 GB card at 360 GB/s."""
    return _node(name, vram_gib=12, bandwidth_gb=360, tflops=12, disk_gb=2, slots=2)


def mini(name: str = "mini") -> NodeSpec:
    """A small computer with 16 GB of unified memory at 120 GB/s."""
    return _node(name, vram_gib=11, bandwidth_gb=120, tflops=3.6, disk_gb=1.5, slots=1, share=0.8)


def home() -> tuple[NodeSpec, ...]:
    """Three machines of one household."""
    return studio(), laptop(), tower()


def office() -> tuple[NodeSpec, ...]:
    """Eight machines of an office."""
    return (
        studio(),
        rig(),
        tower(),
        laptop("laptop-1"),
        laptop("laptop-2"),
        desktop("desktop-1"),
        desktop("desktop-2"),
        mini(),
    )


def lab() -> tuple[NodeSpec, ...]:
    """Thirty-two machines of a laboratory."""
    makers: tuple[tuple[Callable[[str], NodeSpec], int], ...] = (
        (studio, 2),
        (rig, 4),
        (tower, 8),
        (laptop, 4),
        (desktop, 8),
        (mini, 6),
    )
    return tuple(
        make(f"{make.__name__}-{number}") for make, many in makers for number in range(1, many + 1)
    )


FLEETS: dict[str, Callable[[], tuple[NodeSpec, ...]]] = {
    "home": home,
    "office": office,
    "lab": lab,
}
