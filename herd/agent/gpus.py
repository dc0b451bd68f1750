"""What the cards of this machine are, and how they are doing: their drivers' library or files say.

NVIDIA by `nvidia-ml-py`, AMD by the kernel's files, Apple's by Metal (`pyobjc-framework-Metal`).
What is not known is None, never 0.
"""

import contextlib
import importlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from events import Gpu
from herd.platform import name as system_name

T = TypeVar("T")

DRM: Final = Path("/sys/class/drm")
SMALLEST_BYTES: Final = 2 * 1024**3
"""Less is what a processor's own graphics borrows from main memory: no model runs there."""
_TEMPERATURE_GPU: Final = 0
"""The library's number of that sensor."""


class Cards:
    """Asked again and again; a driver that is not there is looked for once."""

    def __init__(self, drm: Path = DRM) -> None:
        """Load the libraries, if they are installed and find their drivers."""
        self._drm = drm
        self._nvml = _library()
        self._apple = _apple_cards()

    def read(self) -> tuple[Gpu, ...]:
        """Return how they are now; may take some milliseconds."""
        return (*self.nvidia(), *self.amd(), *self.apple())

    def nvidia(self) -> tuple[Gpu, ...]:
        """Return those that NVIDIA's library knows."""
        nvml = self._nvml
        if nvml is None:
            return ()
        count = _asked(nvml.nvmlDeviceGetCount) or 0
        found = [_asked(partial(_nvidia_card, nvml, at)) for at in range(count)]
        return tuple(card for card in found if card is not None)

    def amd(self) -> tuple[Gpu, ...]:
        """Return those that the kernel's files tell of."""
        found: list[Gpu] = []
        for file in sorted(self._drm.glob("card*/device/mem_info_vram_total")):
            total, device = _number(file), file.parent
            if total is None or total < SMALLEST_BYTES:
                continue
            sensors = next(iter(sorted(device.glob("hwmon/hwmon*"))), device)
            heat = _number(sensors / "temp1_input")
            power = _number(sensors / "power1_average")
            power = _number(sensors / "power1_input") if power is None else power
            found.append(
                Gpu(
                    name=_text(device / "product_name") or "AMD",
                    total_bytes=total,
                    used_bytes=_number(device / "mem_info_vram_used"),
                    busy_pct=_float(_number(device / "gpu_busy_percent")),
                    temperature_c=None if heat is None else heat / 1e3,
                    power_w=None if power is None else power / 1e6,
                )
            )
        return tuple(found)

    def apple(self) -> tuple[Gpu, ...]:
        """Return Apple's own, whose memory is a part of the main memory; asked once.

        All that Metal tells is its name and how much it may take: how much is used it tells of the
        process that asks only. Use, heat and power macOS tells to root alone.
        """
        return self._apple


def _library() -> Any:  # noqa: ANN401 (nvidia-ml-py has no types)
    try:
        nvml = importlib.import_module("pynvml")
        nvml.nvmlInit()
    except Exception:  # noqa: BLE001 (its error class is its own; no library, no driver, no card)
        return None
    return nvml


def _nvidia_card(nvml: Any, index: int) -> Gpu:  # noqa: ANN401 (the same)
    card = nvml.nvmlDeviceGetHandleByIndex(index)
    name = _asked(lambda: nvml.nvmlDeviceGetName(card)) or "NVIDIA"
    memory = _asked(lambda: nvml.nvmlDeviceGetMemoryInfo(card))
    power_mw = _asked(lambda: nvml.nvmlDeviceGetPowerUsage(card))
    heat = _asked(lambda: nvml.nvmlDeviceGetTemperature(card, _TEMPERATURE_GPU))
    return Gpu(
        name=name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name),
        total_bytes=None if memory is None else int(memory.total),
        used_bytes=None if memory is None else int(memory.used),
        busy_pct=_float(_asked(lambda: nvml.nvmlDeviceGetUtilizationRates(card).gpu)),
        temperature_c=_float(heat),
        power_w=None if power_mw is None else power_mw / 1e3,
    )


def _apple_cards() -> tuple[Gpu, ...]:
    if system_name() != "Darwin":
        return ()
    # All are listed, since a default one is only there for a program with a screen. On a Mac with
    # a processor of Intel's none shares the memory: there Ollama takes the processor.
    try:
        metal: Any = importlib.import_module("Metal")
        return tuple(
            Gpu(
                name=str(card.name()),
                total_bytes=int(card.recommendedMaxWorkingSetSize()) or None,
            )
            for card in metal.MTLCopyAllDevices()
            if card.hasUnifiedMemory()
        )
    except Exception:  # noqa: BLE001 (objc.error, or whatever a framework that is not there raises)
        return ()


def _asked(ask: Callable[[], T]) -> T | None:
    """Return the answer; None where a card does not tell, or has gone."""
    try:
        return ask()
    except Exception:  # noqa: BLE001 (the library's own class of errors)
        return None


def _float(number: float | None) -> float | None:
    return None if number is None else float(number)


def _text(file: Path) -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return file.read_text("utf-8").strip()
    return ""


def _number(file: Path) -> int | None:
    text = _text(file)
    return int(text) if text.isdecimal() else None
