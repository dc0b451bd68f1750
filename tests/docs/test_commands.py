"""Every command that a page names is one, with these options."""

import re
import shlex
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import click
import pytest

from herd.cli import COMMANDS
from tests.architecture.tree import ROOT, expect_none, name
from tests.docs import markdown
from tests.docs.pages import command, options

PHONY = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
WORDS = set(PHONY[1].split()) if PHONY else set[str]()
PLACEHOLDER = re.compile(r"[A-Z_]+")


def wrong(words: list[str]) -> str:
    """Return what is wrong with a command; nothing if all is well, or if it is not ours."""
    first = words[0].removeprefix(".venv/bin/")
    if first == "make":
        return "" if set(words[1:2]) <= WORDS else "make does not know it"
    if first.startswith("python") and words[1:2] == ["-m"]:
        return "" if find_spec(words[2]) else f"no module {words[2]}"
    if first not in {"herd", "herd-node"}:
        return ""
    rest = ["node", *words[1:]] if first == "herd-node" else words[1:]
    if rest and rest[0] in COMMANDS:
        return wrong_options(command(rest[0]), rest[1:])
    return "" if not rest or rest in (["--help"], ["--version"]) else "no such command"


def wrong_options(each: click.Command, rest: list[str]) -> str:
    """Parse what follows the name of a command."""
    if isinstance(each, click.Group) and rest and not rest[0].startswith("-"):
        inner = each.commands.get(rest[0])
        return wrong_options(inner, rest[1:]) if inner else f"no command {rest[0]}"
    known = {name for option in options(each) for name in option.opts} | {"-h", "--help"}
    unknown = [word for word in rest if word.startswith("-") and word.split("=")[0] not in known]
    if unknown:
        return f"no option {unknown[0]}"
    if any(PLACEHOLDER.fullmatch(word) for word in rest):
        return ""  # --port N
    try:
        each.make_context(each.name, list(rest), resilient_parsing=False).close()
    except click.exceptions.Exit:
        return ""  # --help
    except click.ClickException as error:
        return error.message
    return ""


def named(page: Path) -> Iterator[str]:
    """Yield the commands of a page: in its console blocks, and in its prose."""
    yield from markdown.commands(page)
    yield from (
        s for s in markdown.spans(page) if re.match(r"(herd|herd-node|make|python -m) ?", s)
    )


def test_every_command_that_is_named_exists() -> None:
    expect_none(
        f"{name(page)}: {text}: {problem}"
        for page in markdown.WRITTEN
        for text in named(page)
        if (problem := wrong(shlex.split(text)))
    )


@pytest.mark.parametrize(
    "text",
    [
        "herd fly",
        "herd run --fast",
        "herd run --port many",
        "herd incident lose",
        "make coffee",
        "python -m herd.tea",
    ],
)
def test_one_that_does_not_exist_would_be_found(text: str) -> None:
    assert wrong(shlex.split(text))


def test_there_is_something_to_check() -> None:
    everything = {text for page in markdown.WRITTEN for text in named(page)}

    assert {"make demo", "make test", "herd run", "herd node", "herd replay --check"} <= everything
