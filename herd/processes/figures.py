"""What each process of a running herd takes of the machine, for Prometheus."""

from collections.abc import Iterator
from typing import Final

import psutil
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from herd.paths import DataDir
from herd.platform import open_files
from herd.processes.run_file import living, read

_PROCESS: Final = ("process",)


def figures(directory: DataDir) -> Iterator[Metric]:
    """Tell of the processes that `run/herd.json` names and that still run."""
    memory = GaugeMetricFamily(
        "herd_process_resident_memory_bytes", "Memory in use.", labels=_PROCESS
    )
    cpu = CounterMetricFamily(
        "herd_process_cpu_seconds", "Time of a core, user and system.", labels=_PROCESS
    )
    files = GaugeMetricFamily("herd_process_open_fds", "Open files and sockets.", labels=_PROCESS)
    began = GaugeMetricFamily(
        "herd_process_start_time_seconds", "When it began, since the epoch.", labels=_PROCESS
    )
    content = read(directory)
    for name, process in (living(content) if content else {}).items():
        try:
            with process.oneshot():
                times = process.cpu_times()
                found = (process.memory_info().rss, open_files(process), process.create_time())
        except psutil.Error:
            continue
        for family, value in zip((memory, files, began), found, strict=True):
            family.add_metric((name,), value)
        cpu.add_metric((name,), times.user + times.system)
    yield from (memory, cpu, files, began)
