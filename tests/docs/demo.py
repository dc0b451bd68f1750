"""A demo that runs while the commands of a page are typed."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from herd.demo.recent import Recent
from herd.paths import DataDir
from herd.whatif.compare import LEAST_REQUESTS

USUAL_PORT = "11435"
USUAL_TIME = "14:05"
REQUEST_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
ENOUGH_REQUESTS = 2 * LEAST_REQUESTS
"""With their tokens: some, of embeddings, have none."""
PATIENCE_S = 150.0


class Demo(NamedTuple):
    """A demo that runs."""

    port: int
    directory: Path

    def written(self, text: str) -> str:
        """Return what a reader would type here."""
        recent = Recent(DataDir(self.directory).journal)
        recent.refresh()
        done = next(each for each, row in recent.rows.items() if row.outcome == "done")
        text = text.replace(USUAL_PORT, str(self.port)).replace(USUAL_TIME, "1s")
        return REQUEST_ID.sub(done, text)

    def run(self, *words: str) -> str:
        """Run a command, and return what it said."""
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "FLEET_DATA_DIR": str(self.directory),
        }
        ended = subprocess.run(
            words,
            env=environment,
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout


@contextmanager
def running(directory: Path) -> Generator[Demo]:
    """Run one until it is left; it has answered some requests when it is entered."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    arguments = [
        "--port",
        str(port),
        "--data-dir",
        str(directory),
        "--rate",
        "5",
        "--time-scale",
        "50",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "herd", "demo", *arguments], stdout=subprocess.DEVNULL
    )
    try:
        _until_answered(directory, process)
        yield Demo(port, directory)
    finally:
        process.terminate()
        process.wait()


def _until_answered(directory: Path, process: "subprocess.Popen[bytes]") -> None:
    recent = Recent(DataDir(directory).journal)
    ends_at = time.monotonic() + PATIENCE_S
    while recent.completed < ENOUGH_REQUESTS:
        assert process.poll() is None, "the demo ended"
        assert time.monotonic() < ends_at, "the demo answered too little"
        time.sleep(0.1)
        recent.refresh()
