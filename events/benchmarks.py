"""What was measured on the live fleet, when somebody asked for it."""

from typing import Literal

import msgspec

from events.base import Event, NodeId

BenchmarkMode = Literal["default", "smart"]
"""`default`: the models in memory. `smart`: also those on disks that fit beside them."""

ModelType = Literal["llm", "embed"]

BenchmarkOutcome = Literal["done", "cancelled", "failed", "refused"]
"""`refused`: another one was running."""


class WantedPull(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A model that is pulled for a benchmark."""

    model: str
    node_id: NodeId


class MeasuredModel(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What one model gave in a benchmark."""

    model: str
    model_type: ModelType = "llm"
    size_bytes: int = 0
    """On disk."""
    slots: int = 0
    """Requests that were sent at once."""
    requests: int = 0
    """Completed ones."""
    failed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    latency_s: float = 0.0
    """Mean, from the first byte sent to the last received, the wait in line included."""
    ttft_s: float = 0.0
    """Mean, to the first byte of the answer."""
    took_s: float = 0.0
    """From its first request to the end of its last; 0 in logs of before it was recorded."""


class MeasuredNode(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What one node gave in a benchmark."""

    node_id: NodeId
    cores: int = 0
    memory_bytes: int = 0
    requests: int = 0
    completion_tokens: int = 0
    active_peak: int = 0
    """The most requests, of whomever, that were seen at work there."""
    took_s: float = 0.0
    """From its first request to the end of its last; 0 in logs of before it was recorded."""


class BenchmarkStarted(Event, frozen=True, tag="benchmark_started"):
    """Somebody wanted the fleet measured."""

    run_id: str
    """Unique; what follows names it."""
    duration_s: float
    """For how long requests are sent."""
    mode: BenchmarkMode = "default"
    model_types: tuple[ModelType, ...] = ()
    models: tuple[str, ...] = ()
    """These and no others; herd chooses if there are none."""
    by: str = ""
    """Who asked for it: an address."""
    pulls: tuple[WantedPull, ...] = ()
    """Models that are pulled first: somebody was asked, and said yes."""
    removes: bool = False
    """What was pulled for it is deleted again at its end."""


class BenchmarkCancelled(Event, frozen=True, tag="benchmark_cancelled"):
    """Somebody wanted a benchmark to stop; how far it had come, its end says."""

    run_id: str
    by: str = ""


class BenchmarkEnded(Event, frozen=True, tag="benchmark_ended"):
    """What a benchmark measured until its end, whichever way it came."""

    run_id: str
    mode: BenchmarkMode = "default"
    outcome: BenchmarkOutcome = "done"
    error: str = ""
    took_s: float = 0.0
    """From the first request that counts to the end of the last."""
    requests: int = 0
    """Completed ones; those that warmed the models up are left out."""
    failed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    latency_p50_s: float | None = None
    latency_p95_s: float | None = None
    latency_p99_s: float | None = None
    ttft_p50_s: float | None = None
    ttft_p95_s: float | None = None
    ttft_p99_s: float | None = None
    models: tuple[MeasuredModel, ...] = ()
    nodes: tuple[MeasuredNode, ...] = ()
    pulled: tuple[WantedPull, ...] = ()
    """What was pulled for it, and is there."""
    removed: tuple[WantedPull, ...] = ()
    """What was deleted again."""
