"""How a module looks: short, explained, with nothing left behind."""

import ast
import re
from pathlib import Path

from tests.architecture.tree import SOURCES, TESTS, expect_none, name, text, tree

LINES = 400

LONG: set[str] = set()
"""Modules that may be longer; empty, and meant to stay so."""

NAMELESS = {"common", "handler", "helper", "helpers", "manager", "misc", "service", "util", "utils"}

SILENCED = re.compile(r".*#\s*(noqa|type:\s*ignore|pyright:\s*ignore|pragma: no)\b(.*)$")
REASON = re.compile(r"^( cover| branch)?(:\s*[A-Z0-9, ]+|\[[\w\-, ]+\])?\s*(\(|- ).{4,}")

MARKUP = re.compile(r"<(html|body|div|span|script|style|table|tr|td|svg)[\s>]")

FORGOTTEN = re.compile(r"\b(TO" + "DO|FIX" + "ME|XX" + r"X)\b")

THE_SYSTEM = {"os.name", "os.uname", "platform.system", "sys.platform"}


def matching(paths: list[Path], pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{name(path)}:{number}: {line.strip()}"
        for path in paths
        for number, line in enumerate(text(path).splitlines(), start=1)
        if pattern.search(line)
    ]


def unreasoned(line: str) -> bool:
    silenced = SILENCED.search(line)
    return silenced is not None and not REASON.match(silenced[2])


def test_a_module_can_be_read_in_one_sitting() -> None:
    lengths = {name(path): len(text(path).splitlines()) for path in [*SOURCES, *TESTS]}

    expect_none(f"{p}: {n}" for p, n in lengths.items() if n > LINES and p not in LONG)


def test_a_module_says_what_it_is() -> None:
    sentences = {name(path): (ast.get_docstring(tree(path)) or "") for path in SOURCES}

    expect_none(
        path
        for path, sentence in sentences.items()
        if not sentence.partition("\n")[0].endswith((".", ":"))
    )


def test_a_module_has_a_name_that_means_something() -> None:
    expect_none(name(p) for p in [*SOURCES, *TESTS] if NAMELESS & set(p.stem.split("_")))


def test_what_is_silenced_has_its_reason_on_the_line() -> None:
    silenced = matching([path for path in [*SOURCES, *TESTS] if path != Path(__file__)], SILENCED)

    expect_none(each for each in silenced if unreasoned(each))


def test_a_missing_reason_would_be_seen() -> None:
    assert unreasoned("x = 1  # no" + "qa: S101")
    assert unreasoned("x = 1  # type: ig" + "nore[arg-type]")
    assert not unreasoned("x = 1  # no" + "qa: S101 (a stream socket has one)")
    assert not unreasoned("x = 1  # pragma: no cover (a platform without wheels)")


def test_nothing_is_left_for_later() -> None:
    expect_none(matching([*SOURCES, *TESTS], FORGOTTEN))


def test_no_markup_hides_in_python() -> None:
    expect_none(
        f"{name(path)}:{node.lineno}"
        for path in SOURCES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and MARKUP.search(node.value)
    )


def test_systems_differ_in_two_places() -> None:
    expect_none(
        f"{name(path)}:{node.lineno}"
        for path in SOURCES
        if name(path) not in {"herd/platform.py", "herd/unix_sockets.py"}
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in THE_SYSTEM
    )
