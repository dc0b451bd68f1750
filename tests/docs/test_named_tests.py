"""Two pages name the tests for each thing that they say; each of them exists."""

import re

import pytest

from tests.architecture.tree import ROOT

TABLES = {"threat-model": "## What is tried", "http": "## What is held"}


def _table(page: str) -> str:
    whole = (ROOT / "docs" / f"{page}.md").read_text("utf-8")
    return whole.partition(TABLES[page])[2].partition("\n## ")[0]


def _rows(page: str) -> list[str]:
    return [line for line in _table(page).splitlines() if line.startswith("| ")][2:]


def _named(page: str) -> list[tuple[str, str]]:
    return re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", _table(page))


ROWS = [row for page in TABLES for row in _rows(page)]
NAMED = sorted({each for page in TABLES for each in _named(page)})


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip())
def test_each_row_names_a_test(row: str) -> None:
    assert re.search(r"`tests/[\w/]+\.py::test_\w+`", row)


@pytest.mark.parametrize(("path", "name"), NAMED, ids=[name for _, name in NAMED])
def test_each_named_test_exists(path: str, name: str) -> None:
    assert f"def {name}(" in (ROOT / path).read_text("utf-8")


@pytest.mark.parametrize("page", TABLES)
def test_the_page_is_read_as_it_was_meant(page: str) -> None:
    assert len(_rows(page)) >= 15
    assert len(_named(page)) > len(_rows(page))
