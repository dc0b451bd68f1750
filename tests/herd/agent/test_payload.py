"""The heartbeat: ours there and back, ollama-herd's, and everything that is none."""

from typing import Any

import msgspec
import pytest

from events import (
    DrainRequested,
    Gpu,
    HeartbeatReceived,
    ModelFacts,
    NodeFacts,
    NodeId,
    ResidentModel,
)
from herd.agent.payload import Cpu, Memory, build_heartbeat, parse_heartbeat

FACTS = NodeFacts(
    version="0.33.0",
    agent_version="0.1.0",
    slots=4,
    max_loaded_models=2,
    context_tokens=8192,
    vram_bytes=25_757_220_864,
    memory_bytes=137_438_953_472,
    cores=16,
    arch="x86_64",
    chip="AMD Ryzen 9",
    bandwidth_bytes_per_s=819_000_000_000,
)
RESIDENT = (
    ResidentModel(
        name="llama3.2:3b",
        size_bytes=3_500_398_347,
        size_vram_bytes=3_000_000_001,
        context_length=8192,
        expires_at="2318-01-02T03:04:05.678+01:00",
        digest="925b2caf",
    ),
)
MODELS = (
    ModelFacts(
        name="llama3.2:3b",
        size_bytes=2_019_393_189,
        digest="925b2caf",
        modified_at="2026-01-02T03:04:05.678Z",
        format="gguf",
        family="llama",
        families=("llama", "clip"),
        parameter_size="3.2B",
        quantization_level="Q4_K_M",
        parent_model="base",
        capabilities=("completion", "tools"),
        context_length=131_072,
    ),
    ModelFacts(name="hf.co/Bart/X-GGUF:Q4_K_M"),
    ModelFacts(name="x:cloud", remote_model="x", remote_host="https://ollama.com:443"),
)


def built(**other: Any) -> bytes:
    given: dict[str, Any] = {
        "node_id": "studio",
        "ollama_host": "http://localhost:11434",
        "lan_ip": "192.168.1.20",
        "facts": FACTS,
        "cpu": Cpu(cores_physical=16, utilization_pct=12.5),
        "memory": Memory(total_gb=128.0, used_gb=40.0, available_gb=88.0),
        "resident": RESIDENT,
        "models": MODELS,
        "reachable": True,
        "draining": False,
        "timestamp_s": 1_767_000_000.5,
    }
    return build_heartbeat(**{**given, **other})


def test_ours_there_and_back() -> None:
    assert parse_heartbeat(built(), "192.168.1.20") == HeartbeatReceived(
        node_id=NodeId("studio"),
        url="http://192.168.1.20:11434",
        facts=FACTS,
        resident=RESIDENT,
        models=MODELS,
    )


def test_cards_there_and_back_and_the_hottest_in_ollama_herd_s_words() -> None:
    cards = (Gpu("RTX 4090", 24, 0, 0.0, 41.0, 72.5), Gpu("AMD", temperature_c=85.0))
    told = parse_heartbeat(built(gpus=cards), "192.168.1.20")
    assert isinstance(told, HeartbeatReceived)
    assert told.gpus == cards
    hot = {"state": "warning", "temperature_c": 85.0, "source": "gpu"}
    assert msgspec.json.decode(built(gpus=cards))["thermal"] == hot
    unknown = {"state": "unknown", "temperature_c": None, "source": "gpu"}
    assert msgspec.json.decode(built())["thermal"] == unknown


def test_a_relayed_node_is_where_its_name_is() -> None:
    told = parse_heartbeat(built(relay=True), "192.168.1.20")
    assert isinstance(told, HeartbeatReceived)
    assert told.url == "relay://studio"


def test_the_disk_in_whole_gigabytes() -> None:
    facts = msgspec.structs.replace(
        FACTS, disk_bytes=512 * 1024**3, disk_free_bytes=100_900_000_000
    )
    assert msgspec.json.decode(built())["disk"] is None
    sent = built(facts=facts)
    assert msgspec.json.decode(sent)["disk"] == {
        "total_gb": 512.0,
        "used_gb": 418.03,
        "available_gb": 93.97,
    }
    beat = parse_heartbeat(sent, "127.0.0.1")
    assert isinstance(beat, HeartbeatReceived)
    assert beat.facts.disk_bytes == 512 * 1024**3
    assert beat.facts.disk_free_bytes == 100_000_000_000


def test_ours_when_ollama_is_down_and_when_draining() -> None:
    beat = parse_heartbeat(built(reachable=False, draining=True, resident=()), "127.0.0.1")
    assert isinstance(beat, HeartbeatReceived)
    assert (beat.reachable, beat.draining, beat.resident) == (False, True, ())


def test_ours_is_readable_for_ollama_herd() -> None:
    sent = msgspec.json.decode(built())
    assert sent["node_id"] == "studio"
    assert sent["memory"]["total_gb"] == 128.0
    assert sent["memory"]["pressure"] == "normal"
    assert sent["cpu"] == {"cores_physical": 16, "utilization_pct": 12.5}
    assert sent["memory_bandwidth_gbps"] == 819.0
    ollama = sent["ollama"]
    assert ollama["models_loaded"][0]["size_gb"] == 3.26
    assert ollama["models_available"] == [each.name for each in MODELS]
    assert ollama["models_available_sizes"]["llama3.2:3b"] == pytest.approx(2.019393189)
    assert ollama["models_available_meta"]["llama3.2:3b"]["details"]["families"] == [
        "llama",
        "clip",
    ]
    assert (ollama["num_parallel"], ollama["max_loaded_models"]) == (4, 2)
    assert ollama["context_length"] == 8192
    assert (sent["lan_ip"], sent["draining"], sent["agent_version"]) == (
        "192.168.1.20",
        False,
        "0.1.0",
    )


OLLAMA_HERD: dict[str, Any] = {
    "node_id": "alpha",
    "arch": "apple_silicon",
    "timestamp": 1767000000.123,
    "cpu": {"cores_physical": 2, "utilization_pct": 100.0},
    "memory": {
        "total_gb": 23.54,
        "used_gb": 5.23,
        "available_gb": 18.31,
        "pressure": "normal",
        "wired_gb": 0.0,
        "compressed_gb": 0.0,
        "swap_used_gb": 0.0,
        "swap_total_gb": 0.0,
    },
    "thermal": {"state": "unknown", "temperature_c": None, "source": ""},
    "disk": {"total_gb": 100.0, "used_gb": 1.0, "available_gb": 99.0},
    "ollama": {
        "models_loaded": [
            {
                "name": "llama3.2:3b",
                "size_gb": 3.26,
                "requests_active": 0,
                "parameter_size": "8.0B",
                "quantization": "Q4_K_M",
                "context_length": 4096,
                "runner": "",
                "digest": "925b2caf",
            }
        ],
        "models_available": ["llama3.2:3b", "deepseek-r1:8b"],
        "models_available_sizes": {"llama3.2:3b": 2.0, "deepseek-r1:8b": 5.2},
        "models_available_meta": {
            "llama3.2:3b": {
                "digest": "925b2caf",
                "modified_at": "2026-01-02T03:04:05.678Z",
                "details": {"family": "llama", "families": None},
                "capabilities": ["completion"],
            }
        },
        "max_loaded_models": 3,
        "num_parallel": 2,
        "requests_active": 0,
        "version": "0.40.2",
        "backend_clients": [],
    },
    "ollama_host": "http://192.168.1.7:11434",
    "lan_ip": "192.168.1.7",
    "draining": False,
    "capacity": None,
    "agent_version": "0.11.4",
    "process_memory": {"rss_gb": 0.05, "children": []},
    "mlx_version": None,
    "image": None,
    "connection_failures": 0,
    "connection_failures_total": 0,
    "chip": "Apple M2",
    "memory_bandwidth_gbps": 100.0,
    "mlx_servers": [],
    "mlx_bind_host": "127.0.0.1",
}


def test_ollama_herds() -> None:
    assert parse_heartbeat(msgspec.json.encode(OLLAMA_HERD), "192.168.1.7") == HeartbeatReceived(
        node_id=NodeId("alpha"),
        url="http://192.168.1.7:11434",
        facts=NodeFacts(
            version="0.40.2",
            agent_version="0.11.4",
            slots=2,
            max_loaded_models=3,
            memory_bytes=round(23.54 * 1024**3),
            cores=2,
            arch="apple_silicon",
            chip="Apple M2",
            bandwidth_bytes_per_s=100_000_000_000,
        ),
        resident=(
            ResidentModel(
                name="llama3.2:3b",
                size_bytes=3_500_398_346,
                context_length=4096,
                digest="925b2caf",
            ),
        ),
        models=(
            ModelFacts(
                name="llama3.2:3b",
                size_bytes=2_000_000_000,
                digest="925b2caf",
                modified_at="2026-01-02T03:04:05.678Z",
                family="llama",
                capabilities=("completion",),
            ),
            ModelFacts(name="deepseek-r1:8b", size_bytes=5_200_000_000),
        ),
    )


def test_ollama_herds_last_word() -> None:
    told = parse_heartbeat(b'{"node_id":"alpha","draining":true}', "192.168.1.7")
    assert told == DrainRequested(node_id=NodeId("alpha"), by="its agent")


def test_the_least_that_is_a_heartbeat() -> None:
    told = parse_heartbeat(b'{"node_id":"a"}', "10.0.0.9")
    assert told == HeartbeatReceived(
        node_id=NodeId("a"), url="http://10.0.0.9:11434", facts=NodeFacts()
    )


@pytest.mark.parametrize(
    ("ollama_host", "peer", "url"),
    [
        ("http://localhost:11434", "127.0.0.1", "http://localhost:11434"),
        ("http://127.0.0.1:22434", "::1", "http://127.0.0.1:22434"),
        ("http://[::1]:11434", "::ffff:127.0.0.1", "http://[::1]:11434"),
        ("http://0.0.0.0:11434", "127.0.0.1", "http://localhost:11434"),
        ("http://192.168.1.7:11434", "127.0.0.1", "http://192.168.1.7:11434"),
        ("", "127.0.0.1", "http://localhost:11434"),
        ("http://192.168.1.7:1", "192.168.1.8", "http://192.168.1.7:1"),
        ("http://gpu-box.lan:11434", "192.168.1.8", "http://gpu-box.lan:11434"),
        ("https://gpu-box.lan", "192.168.1.8", "https://gpu-box.lan:443"),
        ("http://localhost:22434", "192.168.1.8", "http://192.168.1.8:22434"),
        ("http://0.0.0.0:22434", "192.168.1.8", "http://192.168.1.8:22434"),
        ("http://[::]:22434", "fd00::8", "http://[fd00::8]:22434"),
        ("", "::ffff:192.168.1.8", "http://192.168.1.8:11434"),
        ("", "fe80::1%eth0", "http://[fe80::1%eth0]:11434"),
        ("localhost", "192.168.1.8", "http://192.168.1.8:11434"),
        ("http://localhost:22434", "", "http://192.168.1.99:22434"),
    ],
)
def test_where_the_node_is(ollama_host: str, peer: str, url: str) -> None:
    told = parse_heartbeat(built(ollama_host=ollama_host, lan_ip="192.168.1.99"), peer)
    assert isinstance(told, HeartbeatReceived)
    assert told.url == url


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "must be JSON"),
        (b"{", "must be JSON"),
        (b"\xff\xfe", "must be JSON"),
        (b"[]", "no heartbeat: Expected `object`"),
        (b"{}", "missing required field `node_id`"),
        (b'{"node_id": 7}', "Expected `str`"),
        (b'{"node_id": "<script>"}', "a node id has"),
        (b'{"node_id": "a\\r\\nb"}', "a node id has"),
        (b'{"node_id": "a", "draining": "maybe"}', "`$.draining`"),
        (b'{"node_id": "a", "ollama": {"models_loaded": {}}}', "`$.ollama.models_loaded`"),
        (b'{"node_id": "a", "ollama_host": "ftp://x"}', "`ollama_host`"),
        (b'{"node_id": "a", "ollama_host": "http://a<b>:1"}', "`ollama_host`"),
        (b'{"node_id": "a", "ollama_host": "http://a:99999"}', "`ollama_host`"),
        (b'{"node_id": "a", "ollama_host": "http://a/x"}', "`ollama_host`"),
        (b'{"node_id": "a", "ollama_host": "http://a\\r\\nb"}', "`ollama_host`"),
    ],
)
def test_what_is_no_heartbeat(body: bytes, text: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_heartbeat(body, "10.0.0.9")
    assert text in str(caught.value)


def test_nonsense_numbers_and_names_do_no_harm() -> None:
    body = (
        b'{"node_id":"a","vram_bytes":-1,"memory":{"total_gb":1e308},"ollama":{"num_parallel":'
        b'99999999999999999999999999,"models_loaded":[{"name":"","size_gb":-3},{"name":"x"}],'
        b'"models_available":["a\\nb","ok"],"models_available_sizes":null}}'
    )
    told = parse_heartbeat(body, "10.0.0.9")
    assert isinstance(told, HeartbeatReceived)
    assert told.facts == NodeFacts()
    assert told.resident == (ResidentModel(name="x:latest"),)
    assert told.models == (ModelFacts(name="ok:latest"),)
