"""Which models a benchmark asks, of what the fleet says of itself."""

import pytest

from events import BenchmarkMode, ModelType
from herd.bench.choosing import (
    Choice,
    Hardware,
    Known,
    Loaded,
    Node,
    Ollama,
    Queue,
    Status,
    at_once,
    choose,
    named,
)
from herd.errors import HerdError

KNOWN = [
    Known("llama3.2:3b", 2_000_000_000, ["completion"]),
    Known("qwen2.5:7b", 5_000_000_000, ["completion"]),
    Known("llama3.3:70b", 42_000_000_000, ["completion"]),
    Known("nomic-embed-text:latest", 300_000_000, ["embedding"]),
]
SIZES = {model.name: model.size / 1e9 for model in KNOWN}


def node(*loaded: str, vram_gb: float = 24.0, cap: int = 0, **more: object) -> Node:
    resident = [Loaded(name, SIZES[name]) for name in loaded]
    return Node(
        str(more.get("name", "tower")),
        str(more.get("status", "online")),
        draining=bool(more.get("draining")),
        hardware=Hardware(vram_total_gb=vram_gb),
        ollama=Ollama(resident, dict(SIZES), cap),
    )


def chosen(
    mode: BenchmarkMode,
    *nodes: Node,
    types: tuple[ModelType, ...] = ("llm",),
    used: dict[str, int] | None = None,
) -> list[str]:
    return [each.model for each in choose(mode, Status(list(nodes)), KNOWN, used or {}, types)]


def test_default_takes_what_is_in_memory_once() -> None:
    first, second = node("qwen2.5:7b"), node("qwen2.5:7b", "llama3.2:3b", name="mini")
    assert chosen("default", first, second) == ["qwen2.5:7b", "llama3.2:3b"]


def test_nothing_that_takes_no_work_is_asked() -> None:
    away = node("qwen2.5:7b", status="offline")
    leaving = node("llama3.3:70b", draining=True)
    assert chosen("default", away, leaving, node("llama3.2:3b")) == ["llama3.2:3b"]
    with pytest.raises(HerdError, match="no node takes work"):
        chosen("default", away, leaving)


def test_default_says_what_to_do_where_memory_is_empty() -> None:
    with pytest.raises(HerdError, match="no model of type llm is in memory") as error:
        chosen("default", node())
    assert "smart" in error.value.next_step


def test_smart_adds_what_fits_beside_it_the_most_used_first() -> None:
    assert chosen("smart", node("llama3.2:3b")) == ["llama3.2:3b", "qwen2.5:7b"]
    big = node("llama3.2:3b", vram_gb=64.0, cap=2)
    assert chosen("smart", big) == ["llama3.2:3b"], "the other place is for what only embeds"
    assert chosen("smart", big, used={"llama3.3:70b": 9}) == ["llama3.2:3b", "llama3.3:70b"]


def test_smart_loads_no_more_than_memory_holds() -> None:
    assert chosen("smart", node(vram_gb=4.0)) == ["llama3.2:3b"]
    with pytest.raises(HerdError, match="fits into any node's memory"):
        chosen("smart", node(vram_gb=1.0))


def test_smart_takes_one_model_where_nobody_knows_the_memory() -> None:
    unknown = node(vram_gb=0.0)
    assert choose("smart", Status([unknown]), KNOWN, {"qwen2.5:7b": 1}, ("llm",)) == [
        Choice("qwen2.5:7b", "llm", 5_000_000_000)
    ]
    assert chosen("smart", node("llama3.2:3b", vram_gb=0.0)) == ["llama3.2:3b"]


def test_models_that_only_embed_are_of_their_own_type() -> None:
    both = node("llama3.2:3b", "nomic-embed-text:latest")
    assert chosen("default", both) == ["llama3.2:3b"]
    assert chosen("default", both, types=("embed",)) == ["nomic-embed-text:latest"]


def test_a_named_model_is_spelled_as_the_fleet_does() -> None:
    assert [each.model for each in named(("nomic-embed-text",), KNOWN)] == [
        "nomic-embed-text:latest"
    ]
    with pytest.raises(HerdError, match="no node that is online has phi4"):
        named(("phi4",), KNOWN)


def test_as_many_at_once_as_there_are_slots() -> None:
    nodes = [node(), node(name="mini", status="offline")]
    queues = {
        "tower:m": Queue("m", "tower", concurrency=4),
        "mini:m": Queue("m", "mini", concurrency=8),
        "*:m": Queue("m", "", concurrency=4),
    }
    assert at_once(Status(nodes, queues), "m") == 4
    assert at_once(Status(nodes, queues), "other") == 1
    queues["tower:m"].concurrency = 99
    assert at_once(Status(nodes, queues), "m") == 16
