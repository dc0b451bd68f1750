"""The sources as data: paths, texts and syntax trees."""

import ast
from collections.abc import Iterable
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]

PACKAGES = ("events", "actors", "herd")

SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
"""What is shipped."""

TESTS = sorted((ROOT / "tests").rglob("*.py"))

MADE = {".git", ".venv", "__pycache__", "build", "dist", "node_modules"}
"""Folders whose content nobody wrote."""

WRITTEN = sorted(
    path
    for path in ROOT.rglob("*")
    if path.is_file()
    and path.suffix not in {".pyc", ".png", ".gif", ".ico", ".woff2", ".parquet", ".duckdb"}
    and not MADE.intersection(path.relative_to(ROOT).parts)
    and not path.relative_to(ROOT).parts[0].startswith((".coverage", ".hypothesis", ".testmon"))
    and not path.relative_to(ROOT).parts[0].endswith("_cache")
)
"""Every text of the repository."""


def name(path: Path) -> str:
    """Return a path as people say it, from the root of the repository."""
    return path.relative_to(ROOT).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    """Return the syntax tree of a source."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@cache
def text(path: Path) -> str:
    """Return a file as text, empty if it is none."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def imported(path: Path) -> set[str]:
    """Return every module that a source imports, anywhere in it, by its full name."""
    names: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def imports(path: Path, module: str) -> bool:
    """Tell whether a source imports a module or something in it."""
    return any(each == module or each.startswith(f"{module}.") for each in imported(path))


def expect_none(found: Iterable[str]) -> None:
    """Fail with a list of all that was found, one a line."""
    lines = [*found]
    assert not lines, "\n".join(["", *lines])
