"""Just enough Markdown to check ours: headings, links, fenced blocks, spans of code."""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.tree import ROOT

README = ROOT / "README.md"
WRITTEN = [README, *sorted((ROOT / "docs").rglob("*.md"))]
"""Every page."""

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_SPAN = re.compile(r"`([^`\n]+)`")


def blocks(page: Path, language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    return [text for name, text in _FENCE.findall(page.read_text("utf-8")) if name == language]


def commands(page: Path) -> list[str]:
    """Return what is typed in the console blocks."""
    lines = [line for block in blocks(page, "console") for line in block.splitlines()]
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]


def prose(page: Path) -> str:
    """Return a page without its fenced blocks."""
    return _FENCE.sub("", page.read_text("utf-8"))


def spans(page: Path) -> list[str]:
    """Return the spans of code in the prose."""
    return _SPAN.findall(prose(page))


def headings(page: Path) -> list[str]:
    """Return the headings, without their marks."""
    return _HEADING.findall(prose(page))


def anchors(page: Path) -> set[str]:
    """Return what a link into a page may name."""
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings(page)}


def links(page: Path) -> Iterator[str]:
    """Yield the targets of the links that do not leave the repository."""
    for target in _LINK.findall(prose(page)):
        if "://" not in target:
            yield target
