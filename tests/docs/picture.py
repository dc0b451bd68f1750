"""The README's picture, taken of a running demo: `python -m tests.docs.picture`.

What it shows is real: the screen of `herd demo`, drawn from its API and its journal, at an instant
at which something runs.
"""

import asyncio
import io
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
from rich.console import Console

from herd.demo.recent import Recent
from herd.demo.screen import MODEL, Status, hints, picture
from herd.http.client import fetch
from herd.paths import DataDir
from herd.simulator.workload import CHAT
from herd.version import version
from tests.architecture.tree import ROOT

PICTURE = ROOT / "docs" / "demo.svg"

PORT = 11435
URL = f"http://127.0.0.1:{PORT}"
COLUMNS = 124
SHOWN_REQUESTS = 8
ENOUGH_REQUESTS = 40
ENOUGH_RUNNING = 2
PATIENCE_S = 60.0


def take() -> str:
    """Run a demo, wait until there is something to see, and return it as SVG."""
    with tempfile.TemporaryDirectory(prefix="herd-picture-") as directory:
        demo = subprocess.Popen(
            [sys.executable, "-m", "herd", "demo", "--data-dir", directory],
            stdout=subprocess.DEVNULL,
        )
        try:
            return draw(*_instant(Recent(DataDir(Path(directory)).journal)))
        finally:
            demo.terminate()
            demo.wait()


def draw(status: Status, recent: Recent) -> str:
    """Return the screen of that instant as SVG, which needs no font of anybody's server."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    rows = list(recent.rows.values())[-SHOWN_REQUESTS:][::-1]
    counts = f"{recent.completed} answered, {recent.failed} failed, {recent.events:,} events"
    title = f"herd {version()} demo, simulated nodes   {URL}   (Ctrl-C ends it)"
    console.print(picture(title, status, rows, counts, hints(URL, MODEL, CHAT)))
    svg = console.export_svg(title="make demo", unique_id="demo")
    svg = re.sub(r"\s*@font-face \{.*?\n    \}", "", svg, flags=re.DOTALL)
    return svg.replace("Fira Code, monospace", "ui-monospace, Menlo, Consolas, monospace")


def _instant(recent: Recent) -> tuple[Status, Recent]:
    ends_at = time.monotonic() + PATIENCE_S
    while time.monotonic() < ends_at:
        time.sleep(0.1)
        recent.refresh()
        running = [row for row in recent.rows.values() if row.outcome == "streaming"]
        if recent.completed >= ENOUGH_REQUESTS and len(running) >= ENOUGH_RUNNING:
            answer = asyncio.run(fetch("GET", f"{URL}/fleet/status", timeout_s=1.0))
            return msgspec.json.decode(answer.body, type=Status), recent
    raise TimeoutError(f"the demo at {URL} showed too little in {PATIENCE_S:.0f} s")


if __name__ == "__main__":
    PICTURE.write_text(take(), encoding="utf-8")
    sys.stdout.write(f"{PICTURE}\n")
