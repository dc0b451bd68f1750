"""What every benchmark shares: facts of the machine, processes and their CPU, tables, results.

* Figures of another machine say little, ratios within one run say much: each result file names
  the machine, the versions and how busy the machine was before and after.
* CPU time is that of a whole process tree, read from the system, not estimated.
"""

import asyncio
import json
import math
import os
import platform
import shutil
import socket
import subprocess
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TypeAlias

import psutil

from herd import clock
from herd.platform import core_count
from herd.version import version

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
Row: TypeAlias = Sequence[str | float]

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("uvloop", "httptools", "msgspec", "pykka", "duckdb")
QUIET_SHARE = 0.05
"""A process tree that uses less of a core than this has settled."""


def facts() -> dict[str, Json]:
    """Return what the figures depend on."""
    return {
        "cores": core_count(),
        "cpu": _cpu(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "herd": version(),
        **{name: metadata.version(name) for name in PACKAGES},
        "nginx": _said("nginx", "-v"),
        "haproxy": _said("haproxy", "-v"),
        "load_1_min": round(os.getloadavg()[0], 2),
        "measured_at": round(clock.wall_s()),
    }


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def tree(pid: int) -> list[psutil.Process]:
    """Return a process and all that descend from it."""
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def cpu_s(pid: int) -> float:
    """Return the CPU seconds that one process has used."""
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def tree_cpu_s(pid: int) -> float:
    """Return the CPU seconds that a process tree has used."""
    return math.fsum(cpu_s(process.pid) for process in tree(pid))


async def settled(pid: int, *, within_s: float = 12.0) -> None:
    """Wait until a tree has done what it put off, so that its whole CPU is counted."""
    used_s = tree_cpu_s(pid)
    for _ in range(round(within_s / 0.6)):
        await asyncio.sleep(0.6)
        before_s, used_s = used_s, tree_cpu_s(pid)
        if used_s - before_s < 0.6 * QUIET_SHARE:
            return


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of the values does not exceed; NaN of none."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1 if share else 0)]


def table(title: str, head: Sequence[str], rows: Sequence[Row]) -> str:
    """Return a Markdown table."""
    texts = [[_shown(cell) for cell in row] for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(head, *texts, strict=True)]
    lines = ["", f"**{title}**", ""]
    lines.append(_line(head, widths))
    lines.append(
        "|"
        + "|".join("-" * (width + 1) + (":" if i else "-") for i, width in enumerate(widths))
        + "|"
    )
    lines += [_line(row, widths) for row in texts]
    return "\n".join(lines)


def publish(name: str, result: dict[str, Json], *, keep: bool) -> None:
    """Write a result beside the last one, unless this was only a try."""
    if not keep:
        print("\n(a quick try: nothing is kept)")
        return
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"\nkept in benchmarks/results/{path.name}")


def begin(name: str) -> dict[str, Json]:
    """Say what is about to be measured, and on what."""
    found = facts()
    print(f"\n# {name}: " + ", ".join(f"{key} {value}" for key, value in found.items()))
    return found


def end_of(process: "subprocess.Popen[bytes]") -> None:
    """End a process that this benchmark started."""
    process.terminate()
    try:
        process.wait(timeout=8)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _shown(cell: str | float) -> str:
    if isinstance(cell, str):
        return cell
    if math.isnan(cell):
        return "-"
    if abs(cell) >= 100 or cell == int(cell):
        return f"{cell:,.0f}"
    return f"{cell:.3g}"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [
        cell.rjust(width) if i else cell.ljust(width)
        for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "| " + " | ".join(padded) + " |"


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _said(program: str, *arguments: str) -> str:
    """Return the version in the first line that a program says; empty where it is missing."""
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        return ""
    said = subprocess.run([found, *arguments], capture_output=True, text=True, check=False)
    words = (said.stdout + said.stderr).partition("\n")[0].replace("/", " ").split()
    return next((word for word in words if word[:1].isdigit()), "")
