"""`install`, `uninstall` and `logs`, behind a command that also runs as it is.

`herd node --flags` runs the agent; `herd node install --flags` has the system run that. The same
options stand behind both words, and what was given is what the service runs with.
"""

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import click
import msgspec
from click.core import ParameterSource

from herd import platform
from herd.errors import HerdError
from herd.paths import DEFAULT_ROOT, DataDir
from herd.services import remains
from herd.services.lifecycle import (
    Installed,
    by_the_system,
    data_directory,
    install,
    outlook,
    show_log,
    uninstall,
)
from herd.services.managers import here, of_service, owner
from herd.services.owners import become, is_superuser
from herd.services.plan import Service

MB: Final = 1e6
OTHERS: Final = {"OLLAMA_HOST"}
"""Variables without FLEET_ that herd reads, too."""

Check = Callable[[dict[str, Any]], object]
"""Raises `HerdError` if the command could not run with these options."""


class Kind(msgspec.Struct, frozen=True):
    """Which of herd's commands it is."""

    word: str
    name: str
    title: str
    variable: str
    """Of the data directory."""
    once: tuple[str, ...] = ()
    """Options for one start, not for each."""


BALANCER: Final = Kind("run", "herd-balancer", "herd, balancer of Ollama servers", "FLEET_DATA_DIR")
NODE: Final = Kind(
    "node", "herd-node", "herd, agent beside an Ollama", "FLEET_NODE_DATA_DIR", ("rotate_key",)
)


class Serviced(click.Group):
    """A command that runs by itself, and that the system can be told to run."""

    def __init__(
        self,
        *args: Any,  # noqa: ANN401 (click's own)
        kind: Kind,
        check: Check,
        callback: Callable[..., Any],
        **attrs: Any,  # noqa: ANN401 (click's own)
    ) -> None:
        """Add the words to a command; `check` is asked before anything is installed."""
        attrs |= {"invoke_without_command": True, "subcommand_metavar": "[COMMAND]"}
        super().__init__(*args, callback=_alone(callback), **attrs)
        offered = [each for each in self.params if each.name not in kind.once]
        self.add_command(_install(kind, check, offered))
        self.add_command(_uninstall(kind))
        self.add_command(_logs(kind))


def _alone(callback: Callable[..., Any]) -> Callable[..., Any]:
    """Return what runs only if no word follows; then options before the word would be lost."""

    @functools.wraps(callback)
    def run(**given: Any) -> Any:  # noqa: ANN401 (whatever the command is given)
        context = click.get_current_context()
        if context.invoked_subcommand is None:
            return callback(**given)
        early = [name for name in given if _said(context, name) is ParameterSource.COMMANDLINE]
        if early:
            option = early[0].replace("_", "-")
            raise click.UsageError(f"write --{option} after `{context.invoked_subcommand}`")
        return None

    return run


def _said(context: click.Context, name: str) -> ParameterSource | None:
    return context.get_parameter_source(name)


def _install(kind: Kind, check: Check, offered: list[click.Parameter]) -> click.Command:
    def command(*, dry: bool, as_json: bool, user: str | None, **given: Any) -> None:  # noqa: ANN401 (of the options' types)
        check(given)
        manager = here()
        service = _service(kind, click.get_current_context(), user)
        if dry:
            click.echo(_shown(manager.content(service)))
        told = outlook(service, manager) if dry else install(service, manager, by_the_system)
        if as_json:
            click.echo(msgspec.json.format(msgspec.json.encode(told), indent=2).decode(), err=dry)
        else:
            _tell(told, dry=dry)

    return click.Command(
        "install",
        callback=command,
        params=[
            *offered,
            click.Option(["--user"], help="Whom it runs as, if root installs it; who called sudo."),
            click.Option(["--print", "dry"], is_flag=True, help="Show the file, and do nothing."),
            click.Option(["--json", "as_json"], is_flag=True, help="Write JSON."),
        ],
        help=(
            f"Have the system run `herd {kind.word}`, now and after each start.\n\n"
            "With the options given here, and the FLEET_ variables that are set here. Tokens and "
            "variables go into a file that only its owner reads. Said again, it changes what is "
            "there. As root it is a service of the machine, else one of yours."
        ),
        short_help="Have the system run it, with these options.",
    )


def _uninstall(kind: Kind) -> click.Command:
    def command(*, data_dir: str | None, purge: bool, yes: bool, as_json: bool) -> None:
        manager = of_service(kind.name)
        if manager is not None and manager.system and not is_superuser():
            raise HerdError(
                f"{kind.name} is a service of the machine", f"as root: herd {kind.word} uninstall"
            )
        was = None if manager is None else uninstall(kind.name, manager, by_the_system)
        directory = DataDir(Path(data_dir)) if data_dir else DataDir(was or _usual(kind, owner()))
        paths = (remains.of_node if kind is NODE else remains.of_balancer)(directory)
        size = remains.size_bytes(paths)
        gone = bool(paths) and purge and (yes or _agreed(directory, size))
        if gone:
            remains.purge(directory, paths)
        if as_json:
            told = {
                "service": kind.name,
                "was_installed": was is not None,
                "data_dir": str(directory.root),
                "size_bytes": size,
                "purged": gone,
            }
            click.echo(msgspec.json.format(msgspec.json.encode(told), indent=2).decode())
            return
        click.echo(f"{kind.name}: {'stopped and taken away' if was else 'no such service here'}")
        if gone:
            click.echo(f"  deleted  {size / MB:.1f} MB in {directory.root}")
        elif paths:
            click.echo(f"  data     {directory.root} keeps {size / MB:.1f} MB; --purge deletes it")

    return click.Command(
        "uninstall",
        callback=command,
        params=[
            click.Option(["--data-dir"], help="What to look at, if not the service's own."),
            click.Option(["--purge"], is_flag=True, help="Delete its data, too; asks first."),
            click.Option(["--yes"], is_flag=True, help="Do not ask."),
            click.Option(["--json", "as_json"], is_flag=True, help="Write JSON."),
        ],
        help=(
            f"Stop the service of `herd {kind.word}`, and take it away.\n\nIts data stays where it "
            "is, unless you say --purge; then nothing but what is herd's own is deleted."
        ),
        short_help="Stop the service and take it away; its data stays.",
    )


def _logs(kind: Kind) -> click.Command:
    def command(*, lines: int, follow: bool) -> None:
        manager = of_service(kind.name)
        if manager is None:
            raise HerdError(f"there is no service {kind.name} here", f"herd {kind.word} install")
        directory = data_directory(kind.name, manager)
        log = manager.log(kind.name, directory, lines, follow=follow)
        if isinstance(log, Path):
            for line in show_log(log, lines, follow=follow):
                click.echo(line, nl=False)
        else:
            become(log)

    return click.Command(
        "logs",
        callback=command,
        params=[
            click.Option(["-n", "--lines"], type=click.IntRange(1), default=50, show_default=True),
            click.Option(["-f", "--follow"], is_flag=True, help="Go on with what comes."),
        ],
        help="Show what the service said. What happened to requests is in `herd log`.",
    )


def _service(kind: Kind, context: click.Context, user: str | None) -> Service:
    """Return the service that was asked for: flags as they were given, secrets beside them."""
    if user and not is_superuser():
        raise HerdError("only root can choose whom a service runs as", "leave --user out")
    runs_as = user or owner()
    words: list[str] = [kind.word]
    environment = dict(_variables())
    for option in context.command.params:
        name = option.name or ""
        if not isinstance(option, click.Option) or name in {"dry", "as_json", "user", "data_dir"}:
            continue
        if _said(context, name) is ParameterSource.COMMANDLINE:
            if name.endswith("_token"):
                environment[_first(option.envvar)] = str(context.params[name])
            else:
                words += _words(option, context.params[name])
    given: str | None = context.params.get("data_dir")
    usual = given is None or _said(context, "data_dir") is ParameterSource.DEFAULT
    root = DataDir(_usual(kind, runs_as) if usual else Path(given or "")).root
    return Service(
        name=kind.name,
        title=kind.title,
        words=(*words, "--data-dir", str(root)),
        directory=root,
        environment=environment,
        user=runs_as,
    )


def _words(option: click.Option, value: Any) -> Iterator[str]:  # noqa: ANN401 (of the option's type)
    """Yield an option as it is written; a file by its whole path: a service runs elsewhere."""
    if option.is_flag:
        yield option.opts[0] if value else option.secondary_opts[0]
        return
    for each in value if option.multiple else (value,):
        yield option.opts[-1]
        yield str(Path(each).expanduser().absolute()) if option.metavar == "FILE" else str(each)


def _variables() -> Iterator[tuple[str, str]]:
    """Yield the variables that herd would read here; but the data directory is an option."""
    for name, value in sorted(os.environ.items()):
        if name in OTHERS or (name.startswith("FLEET_") and not name.endswith("DATA_DIR")):
            is_file = name in {"FLEET_CA_FILE", "FLEET_TLS_CERT", "FLEET_TLS_KEY"}
            yield name, str(Path(value).expanduser().absolute()) if is_file and value else value


def _usual(kind: Kind, user: str) -> Path:
    """Return the data directory of a user who says nothing."""
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


def _first(names: str | Sequence[str] | None) -> str:
    return names if isinstance(names, str) else (names or [""])[0]


def _agreed(directory: DataDir, size: int) -> bool:
    return click.confirm(
        f"Delete {size / MB:.1f} MB of herd's data in {directory.root}? It cannot be brought back."
    )


def _shown(content: bytes) -> str:
    return content.decode("utf-16" if content[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8")


def _tell(told: Installed, *, dry: bool) -> None:
    head = "would be written" if dry else "runs" if not told.changed else "was written, and runs"
    click.echo(f"{told.service} ({told.manager}) {head}", err=dry)
    rows = [
        ("file", told.file),
        ("runs", " ".join(told.words)),
        ("as", told.user),
        ("data", told.data_dir),
    ]
    if told.variables:
        rows.append(("settings", f"{told.environment_file}: {', '.join(told.variables)}"))
    if dry:
        rows += [("then", step) for step in told.steps]
    rows += [("next", each) for each in told.next]
    for name, value in rows:
        click.echo(f"  {name:<8} {value}", err=dry)
