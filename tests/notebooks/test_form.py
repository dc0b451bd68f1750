"""How a notebook looks: it asks and answers, in short cells, and nothing of a run is in it."""

import ast
import re
from pathlib import Path

import pytest

from tests.notebooks.rig import FOLDER, NOTEBOOKS, read

LINES = 5
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
QUESTION = re.compile(r"^\*\*.+\?\*\*$", re.MULTILINE)

every = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: str(path.stem))


def logic(source: str) -> int:
    """Return how many lines of a cell are more than imports, comments and blanks."""
    lines = {number for number, line in enumerate(source.splitlines(), 1) if line.strip()}
    lines -= {number for number, line in enumerate(source.splitlines(), 1) if line[0:1] == "#"}
    for node in ast.parse(source).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            lines -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def test_the_notebooks_are_numbered_without_a_gap() -> None:
    assert [path.name[:3] for path in NOTEBOOKS] == [
        f"{number:02}-" for number in range(1, len(NOTEBOOKS) + 1)
    ]


@every
def test_a_notebook_opens_with_its_question(path: Path) -> None:
    first = read(path).cells[0]
    assert first.cell_type == "markdown"
    assert first.text.startswith(f"# {path.name[:2]} ")
    assert QUESTION.search(first.text)


@every
def test_a_notebook_ends_with_an_answer_that_it_computes(path: Path) -> None:
    *_, heading, answer = read(path).cells
    assert heading.text.startswith("## Answer")
    assert answer.cell_type == "code"
    assert "print(" in answer.text


@every
def test_no_cell_has_more_logic_than_can_be_seen_at_once(path: Path) -> None:
    assert [cell.id for cell in read(path).code if logic(cell.text) > LINES] == []


@every
def test_no_cell_defines_anything(path: Path) -> None:
    defined = ast.FunctionDef | ast.ClassDef | ast.Lambda | ast.While | ast.Try
    nodes = [node for cell in read(path).code for node in ast.walk(ast.parse(cell.text))]
    assert [ast.unparse(node) for node in nodes if isinstance(node, defined)] == []


@every
def test_nothing_of_a_run_is_in_the_file(path: Path) -> None:
    notebook = read(path)
    assert [cell.id for cell in notebook.code if cell.outputs or cell.execution_count] == []
    assert notebook.metadata == METADATA
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)


@every
def test_cells_are_called_by_their_place(path: Path) -> None:
    cells = read(path).cells
    assert [cell.id for cell in cells] == [f"cell-{place:02}" for place in range(1, len(cells) + 1)]
    assert not any(cell.metadata for cell in cells)


@every
def test_the_readme_leads_to_it(path: Path) -> None:
    assert f"]({path.name})" in (FOLDER / "README.md").read_text(encoding="utf-8")


def test_a_long_cell_would_be_seen() -> None:
    assert (
        logic("from a import (\n    b,\n    c,\n)\n\n# a comment\nx = 1\ny = [\n    2,\n]\n") == 4
    )
