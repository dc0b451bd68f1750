"""The reference pages, made from the sources they describe; `python -m tests.docs` writes them."""

import ast
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Final

import click

import events.base
import events.benchmarks
import events.joining
import events.keys
import events.models
import events.nodes
import events.requests
import events.system
from events.catalogue import Entry, catalogue, describe, values
from events.codec import KINDS
from herd.cli import COMMANDS, group
from herd.config import FIELDS, Settings, variable
from tests.architecture.tree import ROOT

DOCS: Final = ROOT / "docs"
MADE: Final = "<!-- Made by `python -m tests.docs` from {}; edits are lost. -->"
WIDTH: Final = 80
CORES: Final = "cores - 1"

REQUESTS: Final = events.requests.__name__
ROOMS: Final = {
    REQUESTS: "Requests",
    events.nodes.__name__: "Nodes",
    events.models.__name__: "Models",
    events.joining.__name__: "The door",
    events.keys.__name__: "API keys",
    events.benchmarks.__name__: "Benchmarks",
    events.system.__name__: "herd itself",
}


def pages() -> dict[Path, Callable[[], str]]:
    """Return every page that is made, with what makes it."""
    return {
        DOCS / "events.md": events_page,
        DOCS / "commands.md": commands_page,
        DOCS / "settings.md": settings_page,
    }


# Events


def events_page() -> str:
    """Return the reference of everything that is recorded."""
    return _page(
        "Events",
        "`events/`",
        "Everything that happened, in the past tense. One event is one line of the journal, and one"
        " row of the table `events` (`herd sql`). A field that holds its default may be left out.",
        [
            "## The envelope",
            "Every line begins with these, and `k`, the kind. `v`, its version, is 1 if not there.",
            _fields(describe(events.base.Recorded), without="event"),
            *(part for module, title in ROOMS.items() for part in _room(module, title)),
            "## Values inside events",
            *(part for value in values() for part in _entry(value)),
            "## Words",
            "\n".join(_words()),
        ],
    )


def _room(module: str, title: str) -> Iterator[str]:
    yield f"## {title}"
    if module == REQUESTS:
        yield (
            "The usual order: [request_received](#request_received), "
            "[request_dispatched](#request_dispatched), [request_completed](#request_completed). "
            "[The life of a request](life-of-a-request.md) tells where each comes from."
        )
    order = list(_defined(module))
    mine = [entry for entry in catalogue() if KINDS[entry.kind].__module__ == module]
    for entry in sorted(mine, key=lambda entry: order.index(entry.name)):
        yield from _entry(entry)


def _defined(module: str) -> Iterator[str]:
    for node in _tree(module).body:
        if isinstance(node, ast.ClassDef):
            yield node.name


def _entry(entry: Entry) -> Iterator[str]:
    yield f"### {entry.kind or entry.name}"
    yield entry.sentence + (f" Version {entry.version}." if entry.version > 1 else "")
    if entry.fields:
        yield _fields(entry)


def _fields(entry: Entry, *, without: str = "") -> str:
    lines = ["| field | type | default | meaning |", "| --- | --- | --- | --- |"]
    for field in entry.fields:
        if field.name != without:
            default = "" if field.default is None else f"`{_cell(field.default)}`"
            kind = _cell(field.type)
            lines.append(f"| `{field.name}` | `{kind}` | {default} | {_cell(field.sentence)} |")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _words() -> Iterator[str]:
    """Yield what the names of types stand for."""
    for module in (events.base.__name__, *ROOMS):
        body = _tree(module).body
        for node, below in zip(body, [*body[1:], None], strict=True):
            match node, below:
                case (
                    ast.Assign(targets=[ast.Name(id=name)], value=value),
                    ast.Expr(value=ast.Constant(value=str(sentence))),
                ) if not name.isupper():
                    yield f"- `{name}` {_choices(value)}{' '.join(sentence.split())}"
                case _:
                    pass


def _choices(value: ast.expr) -> str:
    match value:
        case ast.Subscript(value=ast.Name(id="Literal"), slice=ast.Tuple(elts=choices)):
            return f"is one of {', '.join(f'`{ast.literal_eval(each)}`' for each in choices)}: "
        case ast.Call(func=ast.Name(id="NewType"), args=[_, base]):
            return f"(`{ast.unparse(base)}`): "
        case _:
            return ": "


def _tree(module: str) -> ast.Module:
    return ast.parse(inspect.getsource(sys.modules[module]))


# Commands


def commands_page() -> str:
    """Return the reference of the command line."""
    parts = ["## herd", _help(group, "herd"), "`herd` alone, or with options only, is `herd run`."]
    for name in COMMANDS:
        parts += [f"## herd {name}", _help(command(name), f"herd {name}")]
        if name == "node":
            parts.append("`herd-node` is the same command.")
        parts += _variables(command(name))
        parts += _subcommands(command(name), f"herd {name}")
    return _page(
        "Commands", "the commands' own help", "What `--help`, or `-h`, says of each.", parts
    )


def command(name: str) -> click.Command:
    """Return a command by its name."""
    found: object = import_module(f"herd.commands.{name}").command
    if not isinstance(found, click.Command):
        raise TypeError(f"herd.commands.{name}.command is {found!r}")
    return found


def options(each: click.Command) -> Iterator[click.Option]:
    """Yield the options of a command that it shows."""
    for parameter in each.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            yield parameter


def _help(each: click.Command, name: str) -> str:
    # Without its help option, which click makes once a process, by the names of the first caller.
    context = click.Context(each, info_name=name, terminal_width=WIDTH, help_option_names=[])
    return f"```text\n{each.get_help(context).strip()}\n```"


def _subcommands(each: click.Command, name: str) -> Iterator[str]:
    for word, inner in each.commands.items() if isinstance(each, click.Group) else ():
        yield f"### {name} {word}"
        yield _help(inner, f"{name} {word}")


def _variables(each: click.Command) -> Iterable[str]:
    lines: list[str] = []
    for option in options(each):
        named = [option.envvar] if isinstance(option.envvar, str) else [*(option.envvar or ())]
        if named:
            lines.append(f"- `{option.opts[-1]}`: {', '.join(f'`{name}`' for name in named)}")
    return ["In the environment:", "\n".join(lines)] if lines else []


# Settings


def settings_page() -> str:
    """Return the reference of the settings."""
    flags = {option.name: option.opts[-1] for option in options(command("run"))} | {
        "nodes": "--node",
        "mdns": "--no-mdns",
    }
    parts: list[str] = []
    for field in describe(Settings).fields:
        if field.name in FIELDS:
            default = CORES if field.name == "workers" else field.default
            told = [f"default `{default}`", f"variable `{variable(field.name)}`"]
            if field.name in flags:
                told.append(f"flag `{flags[field.name]}`")
            parts += [f"## {field.name}", field.sentence, " · ".join(told)]
    return _page(
        "Settings",
        "`herd/config.py`",
        "Defaults give way to the settings file (`herd-balancer.env` in the data directory), it to "
        "the environment, and that to the flags of `herd run`. `herd reload` reads the file again "
        "([how](running.md#change-settings)). Times are in "
        "seconds. Every value in force is recorded at each start "
        "([configuration_loaded](events.md#configuration_loaded)). The agent's own options and "
        "variables are those of [`herd node`](commands.md#herd-node).",
        parts,
    )


def _page(title: str, source: str, first: str, parts: Iterable[str]) -> str:
    return "\n\n".join([f"# {title}", MADE.format(source), first, *parts]) + "\n"
