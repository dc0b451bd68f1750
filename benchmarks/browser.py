"""The dashboard's page in Chromium while 32 nodes change 50 times a second: what it costs.

A fixture says what a herd of 32 busy nodes would say, but sends every change as an event of its
own (herd itself gathers them, and sends two a second). Chromium is headless and paints without a
GPU, the page is visible. CPU time is that of the page's renderer, and of all of Chromium, read
from the system; the script's own share is what the page itself says of its main thread.
"""

import argparse
import random
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, Final, cast

import msgspec
import psutil

from benchmarks.machine import Json, begin, cpu_s, publish, table
from herd.clock import wall_s
from tests.browser.answers import answers
from tests.browser.conftest import Driver, Page, start
from tests.browser.mock import Mock, mocking

AIM: Final = 0.10
"""Of a core."""

NODES: Final = 32
PER_S: Final = 50
MODELS: Final = (
    ("llama3.3:70b", 43.1),
    ("qwen2.5:7b", 5.6),
    ("llama3.2:3b", 3.1),
    ("nomic-embed-text:latest", 0.8),
)
SLOTS: Final = 4
TABS: Final = ("overview", "trends", "health", "models")
SETTLES_S: Final = 5.0

_PARTS: Final = ("TaskDuration", "ScriptDuration", "LayoutDuration", "RecalcStyleDuration")


class Spent(msgspec.Struct):
    """Shares of a core, of one tab."""

    renderer: float
    chromium: float
    """All its processes, the renderer among them."""
    task: float
    """The main thread of the page, and what of it was"""
    script: float
    layout: float
    style: float


def told() -> dict[str, Any]:
    """Return what 32 nodes with three models each say."""
    said = answers()
    shape: Any = said["/fleet/status"]
    nodes: list[Any] = []
    queues: dict[str, Any] = {}
    for number in range(NODES):
        node = shape["nodes"][number % 2] | {"node_id": f"rack-{number + 1:02}"}
        mine = [MODELS[(number + place) % len(MODELS)] for place in range(3)]
        loaded = [{"name": model, "size_gb": size} for model, size in mine]
        node["ollama"] = node["ollama"] | {"models_loaded": loaded}
        nodes.append(node)
        for model, _ in mine:
            queues[f"{node['node_id']}:{model}"] = shape["queues"]["tower:qwen2.5:7b"] | {
                "node_id": node["node_id"],
                "model": model,
            }
    shape |= {"nodes": nodes, "queues": queues}
    return said


def change(status: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """Let a request begin or end somewhere; return the delta, as herd's feed writes it."""
    key = chance.choice([*status["queues"]])
    row = status["queues"][key]
    running = chance.randrange(SLOTS + 1)
    ended = max(0, row["in_flight"] - running)
    row = row | {"in_flight": running, "completed": row["completed"] + ended}
    status["queues"][key] = row
    place, node = next(
        (place, node)
        for place, node in enumerate(status["nodes"])
        if node["node_id"] == row["node_id"]
    )
    busy = {"cores_physical": 16, "utilization_pct": float(chance.randrange(100))}
    node = node | {"cpu": busy}
    status["nodes"][place] = node
    return {
        "nodes": {node["node_id"]: node},
        "queues": {key: row},
        "timestamp": wall_s(),
    }


@contextmanager
def _changing(mock: Mock, per_s: float) -> Generator[None]:
    """Change the fleet so often, from a thread of its own, each time with a hint as herd's."""
    chance = random.Random(1)  # noqa: S311 (which node, no secret)
    ended = threading.Event()

    def run() -> None:
        due = time.monotonic()
        while not ended.wait(max(0.0, due - time.monotonic())):
            due += 1 / per_s
            mock.publish("delta", change(mock.answers["/fleet/status"], chance))
            mock.publish("changed", {"what": ["requests", "nodes"]})

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _processes(driver: Driver) -> tuple[int, list[int]]:
    """Return the page's renderer (the busiest of them), and all processes of this Chromium."""
    service = cast("Any", driver).service.process.pid
    found = psutil.Process(service).children(recursive=True)
    renderers = [each for each in found if "--type=renderer" in each.cmdline()]
    return max(renderers, key=lambda each: cpu_s(each.pid)).pid, [each.pid for each in found]


def _own(driver: Driver) -> dict[str, float]:
    rows: Any = driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    return {row["name"]: row["value"] for row in rows}


def watch(page: Page, seconds: float) -> Spent:
    """Return what the page that is open costs."""
    driver = page.driver
    renderer, everything = _processes(driver)

    def spent() -> list[float]:
        own = _own(driver)
        all_s = sum(cpu_s(pid) for pid in everything if psutil.pid_exists(pid))
        return [time.monotonic(), cpu_s(renderer), all_s, *(own[part] for part in _PARTS)]

    before = spent()
    time.sleep(seconds)
    began, *rest = before
    ended, *now = spent()
    shares = [
        round((after - first) / (ended - began), 4) for first, after in zip(rest, now, strict=True)
    ]
    return Spent(*shares)


def _each(mock: Mock, page: Page, tabs: Sequence[str], seconds: float) -> dict[str, Spent]:
    page.driver.execute_cdp_cmd("Performance.enable", {})
    found: dict[str, Spent] = {}
    page.open(mock.url)
    page.sees("rack-32", within_s=10.0)
    found["overview, nothing changes"] = _settled(page, seconds)
    with _changing(mock, PER_S):
        for tab in tabs:
            page.go(tab)
            found[f"{tab}, {PER_S} changes/s"] = _settled(page, seconds)
            print(f"{tab} …", flush=True)
    page.sees_in("#link", "live")
    return found


def _settled(page: Page, seconds: float) -> Spent:
    time.sleep(SETTLES_S)
    return watch(page, seconds)


def measure(seconds: float, tabs: Sequence[str], *, keep: bool) -> bool:
    """Measure, show and keep all of it; return whether it is below the aim."""
    result: dict[str, Json] = {"machine": begin("browser"), "nodes": NODES, "per_s": PER_S}
    driver = start()
    if driver is None:
        raise SystemExit("no chromium here (Debian: apt install chromium chromium-driver)")
    try:
        version = str(driver.execute_cdp_cmd("Browser.getVersion", {})["product"])
        with mocking(told()) as mock:
            found = _each(mock, Page(driver), tabs, seconds)
    finally:
        driver.quit()
    head = ("share of a core", *Spent.__struct_fields__)
    rows = [
        (name, *(f"{share:.1%}" for share in msgspec.structs.astuple(spent)))
        for name, spent in found.items()
    ]
    print(table(version, head, rows))
    high = [name for name, spent in found.items() if spent.renderer > AIM]
    print(f"\nabove {AIM:.0%}: {', '.join(high) or 'none'}")
    shares: dict[str, Json] = {name: msgspec.structs.asdict(spent) for name, spent in found.items()}
    publish("browser", result | {"browser": version, "aim": AIM, "shares": shares}, keep=keep)
    return not high


def main(arguments: list[str] | None = None) -> int:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.browser", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--tab", choices=TABS, action="append", help="only this one")
    parser.add_argument("--quick", action="store_true", help="five seconds each, nothing kept")
    asked = parser.parse_args(arguments)
    ok = measure(
        5.0 if asked.quick else asked.seconds,
        asked.tab or TABS,
        keep=not (asked.quick or asked.tab),
    )
    return 0 if ok else 1


if __name__ == "__main__":
    raise SystemExit(main())
