"""The threat model names a test for each thing that is tried; each of them exists."""

import re

import pytest

from tests.architecture.tree import ROOT

PAGE = (ROOT / "docs" / "threat-model.md").read_text("utf-8")
TRIED = PAGE.partition("## What is tried")[2].partition("\n## ")[0]
ROWS = [line for line in TRIED.splitlines() if line.startswith("| ")][2:]
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TRIED)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip())
def test_each_row_names_a_test(row: str) -> None:
    assert re.search(r"`tests/[\w/]+\.py::test_\w+`", row)


@pytest.mark.parametrize(("path", "name"), NAMED, ids=[name for _, name in NAMED])
def test_each_named_test_exists(path: str, name: str) -> None:
    assert f"def {name}(" in (ROOT / path).read_text("utf-8")


def test_the_page_is_read_as_it_was_meant() -> None:
    assert len(ROWS) >= 15
    assert len(NAMED) > len(ROWS)
