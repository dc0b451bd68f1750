import ast
from collections.abc import Iterator
from pathlib import Path

import pykka
import pytest

from tests.architecture.tree import ROOT, SOURCES, expect_none, imports, name, tree

ACTORS = sorted((ROOT / "actors").rglob("*.py"))
THE_SHELL = ROOT / "actors" / "shell.py"

NEVER = {"ask", "broadcast", "get_all", "proxy", "stop_all"}

PRIVATE = {
    attribute
    for owner in (pykka.Actor, pykka.ThreadingActor, pykka.ActorRef, pykka.ActorRegistry)
    for attribute in (*vars(owner), *getattr(owner, "__annotations__", {}))
    if attribute.startswith("_") and not attribute.startswith("__")
} - {"_abc_impl", "_is_protocol", "_stop"}

HIDDEN = {"pykka._actor", "pykka._ref", "pykka._threading", "pykka.messages"}


def asked(path: Path) -> Iterator[str]:
    for node in ast.walk(tree(path)):
        match node:
            case ast.Call(func=ast.Attribute(attr=method)) if method in NEVER:
                yield f"{name(path)}:{node.lineno}: .{method}()"
            case _:
                pass


def waits(path: Path) -> Iterator[str]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Await | ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith):
            yield f"{name(path)}:{node.lineno}"


def pries(path: Path) -> Iterator[str]:
    for node in ast.walk(tree(path)):
        match node:
            case ast.Attribute(attr=known) | ast.FunctionDef(name=known) if known in PRIVATE:
                yield f"{name(path)}:{node.lineno}: {known}"
            case _:
                pass
    yield from (f"{name(path)}: {module}" for module in HIDDEN if imports(path, module))


def test_actors_tell_and_never_ask() -> None:
    expect_none(each for path in ACTORS for each in asked(path))


def test_actors_never_wait() -> None:
    expect_none(each for path in ACTORS for each in waits(path))


def test_only_the_shell_knows_what_pykka_hides() -> None:
    others = [path for path in SOURCES if path != THE_SHELL]

    expect_none(each for path in others for each in pries(path))
    assert list(pries(THE_SHELL)) != [], "these names are hidden no more: the rule watches nothing"


@pytest.mark.parametrize(
    "each", ["discovery", "node_monitor", "model_queue", "scheduler", "reaper"]
)
def test_the_five_actors_are_seen_at_a_glance(each: str) -> None:
    assert (ROOT / "actors" / f"{each}.py").is_file()
