"""What a simulated machine and its models are, and how long their work takes. Pure.

The formulas are the roofline model of transformer inference (Williams et al. 2009; Pope et al.,
"Efficiently Scaling Transformer Inference", 2022). An engine works in *steps*: one pass over the
weights, which gives one token to every sequence that is decoding and takes up to `STEP_TOKENS`
tokens of prompts along (llama.cpp's continuous batching). A step lasts as long as the slower of

    memory:   (weights + keys and values in use) / (bandwidth x the share of it that is reached)
    compute:  2 x parameters x tokens in the step / floating-point operations a second

plus a fixed overhead. Hence one stream decodes at about bandwidth / weights, prefill runs at
flops / (2 x parameters), and with a growing batch the sum of tokens a second first rises in
proportion (the weights are read once for all), then flattens (the arithmetic is the limit).
The shares and rates of the profiles were set so that public llama-bench rows come out within a
quarter: Apple M2 Ultra, 7B F16, pp512 1,265 t/s (ggml-org/llama.cpp#3084); Apple M4 with 16 GB,
8B Q4_K_M, pp512 225 t/s, tg128 21 t/s.
"""

import msgspec

from events import ModelFacts, NodeFacts

STEP_TOKENS = 512
"""Tokens of prompts and answers that one step takes at most (`num_batch`)."""

OVERHEAD_BYTES = 512 * 1024**2
"""What a resident model takes beside weights, keys and values: compute graph and buffers."""

DEFAULT_LOADED_MODELS = 3
"""OLLAMA_MAX_LOADED_MODELS of a machine with one GPU."""

LEAST_CONTEXT_TOKENS = 4

UNBOUNDED = 1_000_000
"""Slots of a node that serves whatever comes."""

_GIB = 1024**3


class SimulatedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model as the engine sees it."""

    facts: ModelFacts
    """What `/api/tags` says of it; `facts.size_bytes` are the weights."""
    architecture: str
    parameters: int
    kv_bytes_per_token: int = 0
    """Layers x heads for keys and values x head size x 2 (both) x 2 (16 bits)."""
    embedding_length: int = 0

    @property
    def embeds(self) -> bool:
        """Whether this is an embedding model: it never decodes, and has one slot."""
        return "embedding" in self.facts.capabilities


class Measured(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What was measured of one model on one machine, in place of the formulas.

    A step of `n` tokens lasts the longer of `weights_s + n_cached x cached_token_s` and
    `fixed_s + n x token_s`: the two arms of the roofline, with the constants of a real machine.
    """

    weights_s: float
    """The least that a step takes: the weights are read."""
    token_s: float
    """What each token of a prompt or an answer adds."""
    fixed_s: float = 0.0
    cached_token_s: float = 0.0
    """What each token read again adds."""
    load_s: float
    slots: int
    resident_bytes: int


class NodeSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A machine with its Ollama's settings and the models on its disk."""

    name: str
    facts: NodeFacts
    """What the node can do, in the words that the whole of herd uses. `slots` is
    OLLAMA_NUM_PARALLEL, `max_loaded_models` OLLAMA_MAX_LOADED_MODELS (0: by number of GPUs)."""
    models: tuple[SimulatedModel, ...]
    flops_per_s: float = 10e12
    """Floating-point operations that matrix products really reach."""
    bandwidth_share: float = 0.65
    """The part of `facts.bandwidth_bytes_per_s` that decoding really reaches."""
    step_overhead_s: float = 0.001
    disk_bytes_per_s: float = 3e9
    pull_bytes_per_s: float = 100e6
    """How fast models come from the registry."""
    disk_free_bytes: int = 0
    """Room for further models; 0: for all of them."""
    load_fixed_s: float = 0.8
    """What a load takes beside reading: starting the runner, allocating, warming up."""
    offload_bytes: int = 0
    """System memory for the part of a model that the GPU cannot hold; 0 where memory is one."""
    offload_bytes_per_s: float = 50e9
    context_tokens: int = 0
    """OLLAMA_CONTEXT_LENGTH; 0: by the size of the video memory, as Ollama does."""
    keep_alive_s: float = 300.0
    """OLLAMA_KEEP_ALIVE; below 0: for ever."""
    max_queue: int = 512
    """OLLAMA_MAX_QUEUE: requests that may wait for a load."""
    step_s: float | None = None
    """Every step lasts just this long, whatever the machine; 0: an answer is there at once."""
    answer_tokens: tuple[int, int] = (24, 192)
    """The shortest and longest answer that nobody bounded; most are in the lower half."""
    seed: int = 0
    measured: dict[str, Measured] = {}
    """Models of which more is known than the formulas tell, by name."""

    @property
    def ideal(self) -> bool:
        """Whether the machine does not matter here, only the request."""
        return self.step_s is not None


def default_context(spec: NodeSpec) -> int:
    """Return the context, in tokens, of a request that does not name one."""
    if spec.context_tokens:
        return spec.context_tokens
    if spec.facts.vram_bytes < 23 * _GIB:
        return 4096
    return 32_768 if spec.facts.vram_bytes < 47 * _GIB else 262_144


def context_for(spec: NodeSpec, model: SimulatedModel, num_ctx: int | None) -> int:
    """Return the context a runner gets: as asked or by default, at most as trained."""
    asked = default_context(spec) if num_ctx is None else max(num_ctx, LEAST_CONTEXT_TOKENS)
    trained = model.facts.context_length
    return min(asked, trained) if trained else asked


def slots_for(spec: NodeSpec, model: SimulatedModel) -> int:
    """Return how many requests a runner of this model serves at once."""
    if (known := spec.measured.get(model.facts.name)) is not None:
        return known.slots
    if model.embeds and not spec.ideal:
        return 1
    return max(1, spec.facts.slots)


def resident_bytes(spec: NodeSpec, model: SimulatedModel, context_tokens: int) -> int:
    """Return what a runner takes: weights, keys and values of all its slots, overhead."""
    if (known := spec.measured.get(model.facts.name)) is not None:
        return known.resident_bytes
    if spec.ideal:
        return model.facts.size_bytes
    kv_bytes = model.kv_bytes_per_token * context_tokens * slots_for(spec, model)
    return model.facts.size_bytes + kv_bytes + OVERHEAD_BYTES


def load_s(spec: NodeSpec, model: SimulatedModel) -> float:
    """Return the time a cold load takes: the weights from disk, and a fixed part."""
    if (known := spec.measured.get(model.facts.name)) is not None:
        return known.load_s
    return spec.load_fixed_s + model.facts.size_bytes / spec.disk_bytes_per_s


class Step(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one step has to do."""

    tokens: int
    """Tokens of prompts and answers that go through it."""
    cached_tokens: int = 0
    """Tokens whose keys and values are read again."""
    offloaded_bytes: int = 0
    """The part of the weights that lies in system memory."""
    sharing: int = 1
    """Models that take turns on this machine."""


def step_s(spec: NodeSpec, model: SimulatedModel, step: Step) -> float:
    """Return how long one step lasts: see the head of this file."""
    if spec.step_s is not None:
        return spec.step_s
    if (known := spec.measured.get(model.facts.name)) is not None:
        reading_s = known.weights_s + known.cached_token_s * step.cached_tokens
        return max(reading_s, known.fixed_s + known.token_s * step.tokens) * step.sharing
    in_vram_bytes = max(0, model.facts.size_bytes - step.offloaded_bytes)
    read_bytes = in_vram_bytes + model.kv_bytes_per_token * step.cached_tokens
    memory_s = read_bytes / (spec.facts.bandwidth_bytes_per_s * spec.bandwidth_share)
    memory_s += step.offloaded_bytes / spec.offload_bytes_per_s
    compute_s = 2.0 * model.parameters * step.tokens / spec.flops_per_s
    return (max(memory_s, compute_s) + spec.step_overhead_s) * step.sharing


def decode_tokens_per_s(spec: NodeSpec, model: SimulatedModel, batch: int = 1) -> float:
    """Return the tokens a second that `batch` streams get together."""
    lasts_s = step_s(spec, model, Step(tokens=batch))
    return batch / lasts_s if lasts_s else float("inf")


def prefill_tokens_per_s(spec: NodeSpec, model: SimulatedModel) -> float:
    """Return the tokens of a long prompt that are taken in a second."""
    lasts_s = step_s(spec, model, Step(tokens=STEP_TOKENS))
    return STEP_TOKENS / lasts_s if lasts_s else float("inf")
