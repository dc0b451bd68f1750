"""What cards say of themselves, and what they do not."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import NoReturn

import pytest

from events import Gpu
from herd.agent import gpus
from herd.agent.gpus import Cards

GIB = 1024**3


@pytest.fixture
def drm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    return tmp_path


def test_no_card_is_none(drm: Path) -> None:
    assert Cards(drm).read() == ()


def test_what_nvidias_library_says_and_what_it_does_not(
    drm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_supported(*_: object) -> NoReturn:
        raise RuntimeError("NVML: Not Supported")

    def name(card: int) -> bytes | str:
        return b"RTX 4090" if card == 0 else "RTX 3060"

    def memory(_card: int) -> SimpleNamespace:
        return SimpleNamespace(total=24 * GIB, used=0)

    def use(_card: int) -> SimpleNamespace:
        return SimpleNamespace(gpu=0)

    def temperature(_card: int, _sensor: int) -> int:
        return 41

    def power(card: int) -> int | None:
        return 72_500 if card == 0 else not_supported()

    library = ModuleType("pynvml")
    vars(library).update(
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetHandleByIndex=int,
        nvmlDeviceGetName=name,
        nvmlDeviceGetMemoryInfo=memory,
        nvmlDeviceGetUtilizationRates=use,
        nvmlDeviceGetTemperature=temperature,
        nvmlDeviceGetPowerUsage=power,
    )
    monkeypatch.setitem(sys.modules, "pynvml", library)
    cards = Cards(drm)
    known = Gpu("RTX 4090", 24 * GIB, 0, 0.0, 41.0, 72.5)
    assert cards.read() == (known, Gpu("RTX 3060", 24 * GIB, 0, 0.0, 41.0, None))
    vars(library).update(nvmlDeviceGetCount=not_supported)
    assert cards.read() == (), "its driver has gone"
    vars(library).update(nvmlInit=not_supported)
    assert Cards(drm).read() == ()


def test_what_the_kernel_says_of_amd_s(drm: Path) -> None:
    device = drm / "card0" / "device"
    sensors = device / "hwmon" / "hwmon3"
    sensors.mkdir(parents=True)
    (device / "mem_info_vram_total").write_text(f"{16 * GIB}\n")
    assert Cards(drm).read() == (Gpu("AMD", 16 * GIB),), "what is not there is not known"
    for path, told in (
        (device / "product_name", "Radeon RX 6800"),
        (device / "mem_info_vram_used", str(GIB)),
        (device / "gpu_busy_percent", "37"),
        (sensors / "temp1_input", "54000"),
        (sensors / "power1_average", "33000000"),
    ):
        path.write_text(f"{told}\n")
    small = drm / "card1" / "device"
    small.mkdir(parents=True)
    (small / "mem_info_vram_total").write_text(str(GIB // 2))
    assert Cards(drm).read() == (Gpu("Radeon RX 6800", 16 * GIB, GIB, 37.0, 54.0, 33.0),)


class MetalCard:
    """What Metal tells of a card, by PyObjC: all are methods."""

    def __init__(self, name: str, size_bytes: int, *, unified: bool) -> None:
        self.name = lambda: name
        self.recommendedMaxWorkingSetSize = lambda: size_bytes
        self.hasUnifiedMemory = lambda: unified


def test_what_metal_says_of_apple_s(drm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = MetalCard("Apple M2 Max", 48 * GIB, unified=True)
    bought = MetalCard("AMD Radeon Pro 5500M", 8 * GIB, unified=False)
    metal = ModuleType("Metal")
    vars(metal).update(MTLCopyAllDevices=lambda: (own, bought))
    monkeypatch.setitem(sys.modules, "Metal", metal)
    assert Cards(drm).read() == (), "another system's module of that name is not asked"
    monkeypatch.setattr(gpus, "system_name", lambda: "Darwin")
    found = Gpu("Apple M2 Max", 48 * GIB)
    assert Cards(drm).read() == (found,), "Ollama computes on no other"

    def nothing() -> NoReturn:
        raise RuntimeError("objc.error")

    cards = Cards(drm)
    vars(metal).update(MTLCopyAllDevices=nothing)
    assert cards.read() == (found,), "asked once, since nothing of it changes"
    assert Cards(drm).read() == ()
    monkeypatch.setitem(sys.modules, "Metal", None)
    assert Cards(drm).read() == (), "it is not installed"
