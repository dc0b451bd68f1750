"""What the agent says of its machine."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import psutil
import pytest

from events import Gpu, NodeFacts
from herd.agent import facts, gpus
from herd.agent.facts import (
    arch_name,
    is_loopback,
    load,
    machine_facts,
    ollama_url,
)
from herd.agent.gpus import Cards
from herd.errors import HerdError

GIB = 1024**3


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    monkeypatch.setattr(facts, "_DRM", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def vram_bytes() -> int:
    return facts.vram_bytes(Cards(vars(facts)["_DRM"]))


@pytest.mark.usefixtures("no_gpu")
def test_the_machine() -> None:
    told = {"OLLAMA_NUM_PARALLEL": "4", "OLLAMA_MAX_LOADED_MODELS": "3"}
    found = machine_facts(told | {"OLLAMA_CONTEXT_LENGTH": "8192"})
    assert (found.slots, found.max_loaded_models, found.vram_bytes) == (4, 3, 0)
    assert found.context_tokens == 8192
    assert found.memory_bytes == psutil.virtual_memory().total
    assert found.cores >= 1
    assert found.arch
    assert found.agent_version


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("text", ["", "auto", "-1", "4.5"])
def test_what_is_no_number_of_slots_is_learned(text: str) -> None:
    assert machine_facts({"OLLAMA_NUM_PARALLEL": text}).slots == 0


def test_the_disk_is_that_of_the_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[str] = []

    def usage(path: str) -> SimpleNamespace:
        asked.append(path)
        if path.startswith("/usr/share/ollama"):
            raise FileNotFoundError(path)
        return SimpleNamespace(total=1000, free=300)

    monkeypatch.setattr(psutil, "disk_usage", usage)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    found = facts.with_disk(NodeFacts(cores=4), {"OLLAMA_MODELS": "/models"})
    assert (found.disk_bytes, found.disk_free_bytes, found.cores) == (1000, 300, 4)
    assert asked == ["/models"]
    facts.with_disk(NodeFacts(), {})
    assert asked[1:] == ["/usr/share/ollama/.ollama/models", f"{tmp_path}/.ollama/models"]


def test_a_disk_that_cannot_be_looked_at_is_not_told(tmp_path: Path) -> None:
    known = NodeFacts(cores=4)
    assert facts.with_disk(known, {"OLLAMA_MODELS": str(tmp_path / "gone")}) == known


def test_the_load(monkeypatch: pytest.MonkeyPatch) -> None:
    for used, pressure in ((50, "normal"), (85, "warn"), (95, "critical")):
        memory = SimpleNamespace(total=100 * GIB, available=(100 - used) * GIB)
        monkeypatch.setattr(psutil, "virtual_memory", lambda found=memory: found)
        cpu, now = load()
        assert (now.total_gb, now.used_gb, now.pressure) == (100.0, used, pressure)
        assert 0 <= (cpu.utilization_pct or 0) <= 100


@pytest.mark.parametrize(
    ("given", "variable", "url"),
    [
        ("", None, "http://localhost:11434"),
        ("", "", "http://localhost:11434"),
        ("", "0.0.0.0", "http://localhost:11434"),  # noqa: S104 (as people set it)
        ("", "0.0.0.0:8080", "http://localhost:8080"),
        ("", ":8080", "http://localhost:8080"),
        ("", "[::]:8080", "http://localhost:8080"),
        ("", "[::1]:8080", "http://[::1]:8080"),
        ("", "::", "http://localhost:11434"),
        ("", "::1", "http://[::1]:11434"),
        ("", "http://[::1]", "http://[::1]:80"),
        ("", '"10.0.0.5"', "http://10.0.0.5:11434"),
        ("", "http://10.0.0.5", "http://10.0.0.5:80"),
        ("", "https://ollama.lan", "https://ollama.lan:443"),
        ("http://box:1", "10.0.0.5", "http://box:1"),
        ("http://box", "10.0.0.5", "http://box:11434"),
    ],
)
def test_where_ollama_is(given: str, variable: str | None, url: str) -> None:
    environment = {} if variable is None else {"OLLAMA_HOST": variable}
    assert ollama_url(given, environment) == url


@pytest.mark.parametrize(
    ("given", "variable", "named"),
    [
        ("ftp://x", "", "--ollama-host"),
        ("", "http://x/prefix", "OLLAMA_HOST"),
        ("http://[::1", "", "--ollama-host"),
        ("", "http://x:99999", "OLLAMA_HOST"),
    ],
)
def test_what_is_no_address_is_refused(given: str, variable: str, named: str) -> None:
    with pytest.raises(HerdError, match=named):
        ollama_url(given, {"OLLAMA_HOST": variable})


def test_which_addresses_only_this_machine_can_reach() -> None:
    assert is_loopback("localhost")
    assert is_loopback("127.0.0.2")
    assert is_loopback("::1")
    assert not is_loopback("192.168.1.7")


def test_nvidias_library(no_gpu: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del no_gpu
    library = ModuleType("pynvml")
    sizes = [24 * GIB, 8 * GIB]

    def memory(index: int) -> SimpleNamespace:
        return SimpleNamespace(total=sizes[index], used=0)

    vars(library).update(
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: None,
        nvmlDeviceGetCount=lambda: len(sizes),
        nvmlDeviceGetHandleByIndex=int,
        nvmlDeviceGetMemoryInfo=memory,
    )
    monkeypatch.setitem(sys.modules, "pynvml", library)
    assert vram_bytes() == 32 * GIB

    def no_driver() -> None:
        raise RuntimeError("NVML Shared Library Not Found")

    vars(library).update(nvmlInit=no_driver)
    assert vram_bytes() == 0


def test_nvidias_tool(no_gpu: Path) -> None:
    tool = no_gpu / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 24564\necho 8188\n")
    tool.chmod(0o700)
    assert vram_bytes() == (24564 + 8188) * 1024**2
    tool.write_text("#!/bin/sh\necho driver mismatch\nexit 9\n")
    assert vram_bytes() == 0


def test_a_tool_that_hangs_is_given_up(no_gpu: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = no_gpu / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 24564\nwhile :; do :; done\n")
    tool.chmod(0o700)
    monkeypatch.setattr(facts, "ASK_S", 0.1)
    assert vram_bytes() == 0


def test_amds_files(no_gpu: Path) -> None:
    for card, size in (("card0", 512 * 1024**2), ("card1", 16 * GIB)):
        device = no_gpu / card / "device"
        device.mkdir(parents=True)
        (device / "mem_info_vram_total").write_text(f"{size}\n")
    assert vram_bytes() == 16 * GIB


@pytest.mark.usefixtures("no_gpu")
def test_of_a_mac_s_memory_its_graphics_may_take_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "_apple_cards", lambda: (Gpu("Apple M2", 11 * GIB),))
    found = machine_facts({})
    assert (found.vram_bytes, found.unified_memory) == (11 * GIB, True)
    assert found.memory_bytes == psutil.virtual_memory().total, "all of it, not what is beside"
    monkeypatch.setattr(gpus, "_apple_cards", lambda: ())
    found = machine_facts({})
    assert (found.vram_bytes, found.unified_memory) == (0, False), "without the library"


@pytest.mark.parametrize(
    ("system", "machine", "arch"),
    [
        ("Darwin", "arm64", "apple_silicon"),
        ("Darwin", "x86_64", "x86_64"),
        ("Linux", "aarch64", "arm64"),
        ("Windows", "AMD64", "x86_64"),
    ],
)
def test_names_of_processors(system: str, machine: str, arch: str) -> None:
    assert arch_name(system, machine) == arch
