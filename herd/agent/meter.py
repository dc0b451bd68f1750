"""How this machine is used now, other than by the servers of models: psutil, and the system."""

from collections.abc import Iterator
from time import monotonic

import psutil

from events import Limits
from herd import platform
from herd.agent.hours import minute_of_week
from herd.agent.owner import Lend, Owner, Use, Wishes
from herd.agent.past import Past
from herd.clock import wall_s

SERVERS = ("ollama", "llama-server", "llama_server", "vllm", "lm-studio", "lms", "herd")
"""Programs whose work is no use of the machine by its owner, by how their names begin."""


def lending(wishes: Wishes, past: Past | None = None) -> Lend:
    """Return what says at any moment what the owner lends; it measures only where he asks it to."""
    owner, meter = Owner(wishes, past), Meter()

    def lend() -> Limits:
        use = meter.read() if wishes.spare else Use()
        return owner.lends(use, monotonic(), minute_of_week(wall_s()))

    return lend


class Meter:
    """Counts processor time, and that of the servers of models, from one reading to the next."""

    def __init__(self) -> None:
        """Begin now."""
        self._busy_s, self._all_s = _processor_s()
        self._serving_s = dict(_servers_s())

    def read(self) -> Use:
        """Return how it was used since the last reading; may take some hundredths of a second."""
        busy_s, all_s = _processor_s()
        serving_s = dict(_servers_s())
        served_s = sum(
            max(0.0, took_s - self._serving_s.get(process, 0.0))
            for process, took_s in serving_s.items()
        )
        others_s = busy_s - self._busy_s - served_s
        lasted_s = all_s - self._all_s
        self._busy_s, self._all_s, self._serving_s = busy_s, all_s, serving_s
        share = others_s / lasted_s if lasted_s > 0 else 0.0
        return Use(round(100.0 * min(1.0, max(0.0, share)), 1), platform.idle_s())


def _processor_s() -> tuple[float, float]:
    """Return the seconds that all cores together were busy, and those that went by."""
    times = psutil.cpu_times()
    everything = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    return everything - times.idle - getattr(times, "iowait", 0.0), everything


def _servers_s() -> Iterator[tuple[tuple[int, float], float]]:
    """Yield the servers of models by pid and start, and the processor time that each has had."""
    for process in psutil.process_iter(["name", "cpu_times", "create_time"]):
        found = process.info
        name, times = str(found["name"] or "").lower(), found["cpu_times"]
        if name.startswith(SERVERS) and times is not None:
            yield (process.pid, float(found["create_time"] or 0.0)), times.user + times.system
