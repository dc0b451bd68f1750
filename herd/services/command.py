"""`install`, `restart`, `logs` and `uninstall`, behind a command that also runs as it is.

`herd node --flags` runs the agent; `herd node install --flags` has the system run that. The same
options stand behind both words, and what was given is what the service runs with.
"""

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from herd.errors import HerdError
from herd.paths import DataDir
from herd.services import remains
from herd.services.asked import NODE, Kind, said, service, usual_directory
from herd.services.lifecycle import (
    Installed,
    by_the_system,
    data_directory,
    install,
    outlook,
    restart,
    show_log,
    uninstall,
)
from herd.services.managers import here, of_service, owner
from herd.services.owners import become, is_superuser
from herd.services.plan import Manager

MB: Final = 1e6

Check = Callable[[dict[str, Any]], float]
"""Raises `HerdError` if the command could not run with these options; returns how many seconds
requests have to end when it stops."""


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
        self.add_command(_restart(kind))
        self.add_command(_logs(kind))
        self.add_command(_uninstall(kind))


def _alone(callback: Callable[..., Any]) -> Callable[..., Any]:
    """Return what runs only if no word follows; then options before the word would be lost."""

    @functools.wraps(callback)
    def run(**given: Any) -> Any:  # noqa: ANN401 (whatever the command is given)
        context = click.get_current_context()
        if context.invoked_subcommand is None:
            return callback(**given)
        early = [name for name in given if said(context, name)]
        if early:
            option = early[0].replace("_", "-")
            raise click.UsageError(f"write --{option} after `{context.invoked_subcommand}`")
        return None

    return run


def _install(kind: Kind, check: Check, offered: list[click.Parameter]) -> click.Command:
    def command(*, dry: bool, as_json: bool, user: str | None, **given: Any) -> None:  # noqa: ANN401 (of the options' types)
        drain_s = check(given)
        manager = here()
        asked = service(kind, click.get_current_context(), user, drain_s)
        told = outlook(asked, manager) if dry else install(asked, manager, by_the_system)
        if as_json:
            _write_json(told)
            return
        if dry:
            click.echo(told.content)
        _tell(told, dry=dry)

    return click.Command(
        "install",
        callback=command,
        params=[
            *offered,
            click.Option(["--user"], help="Whom it runs as, if root installs it; who called sudo."),
            click.Option(["--print", "dry"], is_flag=True, help="Show the file, and do nothing."),
            _json_option(),
        ],
        help=(
            f"Have the system run `herd {kind.word}`, now and after each start.\n\n"
            "With the options given here, and the FLEET_ variables that are set here. Tokens and "
            "variables go into a file that only its owner reads; what else that file says stays. "
            "Said again, it changes what is there. As root it is a service of the "
            "machine, else one of yours."
        ),
        short_help="Have the system run it, with these options.",
    )


def _restart(kind: Kind) -> click.Command:
    def command(*, as_json: bool) -> None:
        manager = _installed(kind, "restart")
        restart(kind.name, manager, by_the_system)
        if as_json:
            _write_json({"service": kind.name, "restarted": True})
        else:
            click.echo(f"{kind.name} ({manager.title}) runs anew")

    return click.Command(
        "restart",
        callback=command,
        params=[_json_option()],
        help="Start the service anew, with the herd that is installed now.",
    )


def _uninstall(kind: Kind) -> click.Command:
    def command(*, data_dir: str | None, purge: bool, yes: bool, as_json: bool) -> None:
        was = None
        if of_service(kind.name) is not None:
            was = uninstall(kind.name, _installed(kind, "uninstall"), by_the_system)
        directory = DataDir(Path(data_dir) if data_dir else was or usual_directory(kind, owner()))
        paths = (remains.of_node if kind is NODE else remains.of_balancer)(directory)
        size = remains.size_bytes(paths)
        gone = bool(paths) and purge and (yes or _agreed(directory, size))
        if gone:
            remains.purge(directory, paths)
        if as_json:
            _write_json(
                {
                    "service": kind.name,
                    "was_installed": was is not None,
                    "data_dir": str(directory.root),
                    "size_bytes": size,
                    "purged": gone,
                }
            )
            return
        click.echo(f"{kind.name}: {'stopped and taken away' if was else 'no such service here'}")
        if gone:
            click.echo(f"  deleted  {_size(size)} in {directory.root}")
        elif paths:
            click.echo(f"  data     {directory.root} keeps {_size(size)}; --purge deletes it")

    return click.Command(
        "uninstall",
        callback=command,
        params=[
            click.Option(["--data-dir"], help="What to look at, if not the service's own."),
            click.Option(["--purge"], is_flag=True, help="Delete its data, too; asks first."),
            click.Option(["--yes"], is_flag=True, help="Do not ask."),
            _json_option(),
        ],
        help=(
            f"Stop the service of `herd {kind.word}`, and take it away.\n\nIts data stays where it "
            "is, unless you say --purge; then nothing but what is herd's own is deleted."
        ),
        short_help="Stop the service and take it away; its data stays.",
    )


def _logs(kind: Kind) -> click.Command:
    def command(*, lines: int, follow: bool) -> None:
        manager = _installed(kind)
        log = manager.log(kind.name, data_directory(kind.name, manager), lines, follow=follow)
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


def _installed(kind: Kind, as_root: str = "") -> Manager:
    """Return what a service is installed in; the machine's is root's to do that word to."""
    manager = of_service(kind.name)
    if manager is None:
        raise HerdError(f"there is no service {kind.name} here", f"herd {kind.word} install")
    if as_root and manager.system and not is_superuser():
        raise HerdError(
            f"{kind.name} is a service of the machine", f"as root: herd {kind.word} {as_root}"
        )
    return manager


def _json_option() -> click.Option:
    return click.Option(["--json", "as_json"], is_flag=True, help="Write JSON.")


def _write_json(told: object) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(told), indent=2).decode())


def _agreed(directory: DataDir, size: int) -> bool:
    if not sys.stdin.isatty():
        raise HerdError(f"nothing of {directory.root} was deleted", "say --yes if you mean it")
    return click.confirm(
        f"Delete {_size(size)} of herd's data in {directory.root}? It cannot be brought back.",
        err=True,
    )


def _size(size_bytes: int) -> str:
    return f"{size_bytes / MB:,.1f} MB" if size_bytes >= MB / 10 else f"{size_bytes:,} bytes"


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
