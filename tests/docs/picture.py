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
from tests.architecture.tree import ROOT

PICTURE = ROOT / "docs" / "demo.svg"

COLUMNS = 132
SHOWN_REQUESTS = 10
ENOUGH_REQUESTS = 40
ENOUGH_RUNNING = 2
GOING_ON = {"running", "streaming"}
PATIENCE_S = 60.0


def take() -> str:
    """Run a demo, wait until there is something to see, and return it as SVG."""
    with tempfile.TemporaryDirectory(prefix="herd-picture-") as directory:
        demo = subprocess.Popen(
            [sys.executable, "-m", "herd", "demo", "--data-dir", directory],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            title, _, url = (demo.stdout.readline() if demo.stdout else "").strip().rpartition(" ")
            recent = Recent(DataDir(Path(directory)).journal)
            _until_something_runs(recent)
            return draw(title.rstrip(), url, _status(url), recent)
        finally:
            demo.terminate()
            demo.communicate()


def draw(title: str, url: str, status: Status, recent: Recent) -> str:
    """Return the screen of that instant as SVG, which needs no font of anybody's server."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    rows = list(recent.rows.values())[-SHOWN_REQUESTS:][::-1]
    counts = f"{recent.completed} answered, {recent.failed} failed, {recent.events:,} events"
    head = f"{title}   {url}   (Ctrl-C ends it)"
    console.print(picture(head, status, rows, counts, hints(url, MODEL, CHAT)))
    svg = console.export_svg(title="make demo", unique_id="demo")
    svg = re.sub(r"\s*@font-face \{.*?\n    \}", "", svg, flags=re.DOTALL)
    return svg.replace("Fira Code, monospace", "ui-monospace, Menlo, Consolas, monospace")


def _until_something_runs(recent: Recent) -> None:
    ends_at = time.monotonic() + PATIENCE_S
    while time.monotonic() < ends_at:
        time.sleep(0.1)
        recent.refresh()
        running = [row for row in recent.rows.values() if row.outcome in GOING_ON]
        if recent.completed >= ENOUGH_REQUESTS and len(running) >= ENOUGH_RUNNING:
            return
    raise TimeoutError(f"the demo showed too little in {PATIENCE_S:.0f} s")


def _status(url: str) -> Status:
    answer = asyncio.run(fetch("GET", f"{url}/fleet/status", timeout_s=1.0))
    return msgspec.json.decode(answer.body, type=Status)


if __name__ == "__main__":
    PICTURE.write_text(take(), encoding="utf-8")
    sys.stdout.write(f"{PICTURE}\n")
