"""Which service was asked for: the options as they were given, and what the environment says here.

A flag becomes a word of the command; a token, and each variable that herd reads, goes into the
file that only its owner reads. Files are named by their whole path: a service runs elsewhere.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import click
import msgspec
from click.core import ParameterSource

from herd import platform
from herd.errors import HerdError
from herd.paths import DEFAULT_ROOT, DataDir
from herd.services.managers import owner
from herd.services.owners import is_superuser
from herd.services.plan import Service

OF_OLLAMA: Final = {
    "OLLAMA_HOST",
    "OLLAMA_MAX_LOADED_MODELS",
    "OLLAMA_MODELS",
    "OLLAMA_NUM_PARALLEL",
}
"""Variables of Ollama that herd reads, too."""
FILES: Final = {"FLEET_CA_FILE", "FLEET_TLS_CERT", "FLEET_TLS_KEY"}
ABOUT_INSTALLING: Final = {"dry", "as_json", "user"}


class Kind(msgspec.Struct, frozen=True):
    """Which of herd's commands it is."""

    word: str
    name: str
    title: str
    variable: str
    """Of the data directory."""
    once: tuple[str, ...] = ()
    """Options for one start, not for each."""


BALANCER: Final = Kind(
    "run",
    "herd-balancer",
    "herd, balancer of Ollama servers",
    "FLEET_DATA_DIR",
    ("replace",),
)
NODE: Final = Kind(
    "node", "herd-node", "herd, agent beside an Ollama", "FLEET_NODE_DATA_DIR", ("rotate_key",)
)


def service(kind: Kind, context: click.Context, user: str | None, drain_s: float = 0.0) -> Service:
    """Return the service that the options of a command ask for."""
    if user and not is_superuser():
        raise HerdError("only root can choose whom a service runs as", "leave --user out")
    runs_as = user or owner()
    words: list[str] = [kind.word]
    environment = dict(_variables())
    for option in context.command.params:
        name = option.name or ""
        if not isinstance(option, click.Option) or name in ABOUT_INSTALLING | {"data_dir"}:
            continue
        if said(context, name):
            if name.endswith("_token"):
                environment[_first(option.envvar)] = str(context.params[name])
            else:
                words += _words(option, context.params[name])
    given = str(context.params["data_dir"]) if said(context, "data_dir") else ""
    root = DataDir(Path(given) if given else usual_directory(kind, runs_as)).root
    return Service(
        name=kind.name,
        title=kind.title,
        words=(*words, "--data-dir", str(root)),
        directory=root,
        environment=environment,
        user=runs_as,
        drain_s=drain_s,
    )


def said(context: click.Context, name: str) -> bool:
    """Whether an option was typed."""
    return context.get_parameter_source(name) is ParameterSource.COMMANDLINE


def usual_directory(kind: Kind, user: str) -> Path:
    """Return the data directory of a user who names none."""
    for name in (kind.variable, "FLEET_DATA_DIR"):
        if named := os.environ.get(name):
            return Path(named)
    if is_superuser() and platform.name() != "Windows":
        root = Path(DEFAULT_ROOT.replace("~", f"~{user}", 1))
        try:
            return root.expanduser()
        except RuntimeError as error:
            raise HerdError(f"there is no user {user}", "choose one with --user") from error
    return Path(DEFAULT_ROOT)


def _words(option: click.Option, value: Any) -> Iterator[str]:  # noqa: ANN401 (of the option's type)
    """Yield an option as it is written."""
    if option.is_flag:
        yield option.opts[0] if value else option.secondary_opts[0]
        return
    for each in value if option.multiple else (value,):
        yield option.opts[-1]
        yield _whole(each) if option.metavar == "FILE" else str(each)


def _variables() -> Iterator[tuple[str, str]]:
    """Yield the variables that herd would read here; but the data directory is an option."""
    for name, value in sorted(os.environ.items()):
        if name in OF_OLLAMA or (name.startswith("FLEET_") and not name.endswith("DATA_DIR")):
            yield name, _whole(value) if name in FILES and value else value


def _whole(path: str) -> str:
    return str(Path(path).expanduser().absolute())


def _first(names: str | Sequence[str] | None) -> str:
    return names if isinstance(names, str) else (names or [""])[0]
