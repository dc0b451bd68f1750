"""The notebooks as data, and one run of each from top to bottom."""

import os
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import nbformat
from nbclient import NotebookClient

from tests.architecture.tree import ROOT

FOLDER = ROOT / "notebooks"
SAMPLE = FOLDER / "sample.herd"
NOTEBOOKS = sorted(FOLDER.glob("[0-9]*.ipynb"))
CELL_TIMEOUT_S = 240


class Cell(msgspec.Struct):
    """A cell as it lies in the file."""

    cell_type: str
    id: str
    metadata: dict[str, Any]
    source: list[str] | str
    outputs: list[Any] = []
    execution_count: int | None = None

    @property
    def text(self) -> str:
        return self.source if isinstance(self.source, str) else "".join(self.source)


class Notebook(msgspec.Struct):
    """A notebook as it lies in the file."""

    cells: list[Cell]
    metadata: dict[str, Any]
    nbformat: int
    nbformat_minor: int

    @property
    def code(self) -> list[Cell]:
        return [cell for cell in self.cells if cell.cell_type == "code"]


class Ran(msgspec.Struct):
    """What a run of a notebook put out."""

    pictures: list[str]
    """PNG, in base 64."""
    words: str
    """All plain text, but for that in place of pictures."""
    complaints: list[str]
    """What came on stderr: warnings."""


@cache
def read(path: Path) -> Notebook:
    return msgspec.json.decode(path.read_bytes(), type=Notebook)


def run(path: Path, log: Path | None = None) -> Ran:
    """Run a notebook as it is on the disk, on the sample or on another log; change no file."""
    untyped: Any = nbformat
    notebook = untyped.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT_S,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
    )
    environment = {key: value for key, value in os.environ.items() if key != "HERD_LOG"}
    environment |= {"HERD_LOG": str(log)} if log is not None else {}
    client.execute(env=environment)
    outputs = [each for cell in notebook.cells for each in cell.get("outputs", ())]
    return Ran(
        pictures=[data["image/png"] for each in outputs if "image/png" in (data := _data(each))],
        words="\n".join(_words(each) for each in outputs),
        complaints=[each["text"] for each in outputs if each.get("name") == "stderr"],
    )


def _data(output: Any) -> dict[str, str]:
    return dict(output.get("data", {}))


def _words(output: Any) -> str:
    if "image/png" in _data(output):
        return ""
    return str(output.get("text", _data(output).get("text/plain", "")))
