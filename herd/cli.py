"""The `herd` command: a table of commands, each imported only when it is used.

Nothing heavy is imported here, so that `herd --help` and `herd --version` are quick, and so that
the guard against foreign `actors` and `events` comes before anything that imports them.
"""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

import click

from herd._siblings import DISTRIBUTION, check_siblings
from herd.errors import NOT_OURS, HerdError

COMMANDS = {
    "run": "Run the balancer (what `herd` alone does).",
    "node": "Run the agent beside an Ollama.",
    "demo": "See it all on one machine, without a GPU or Ollama.",
    "status": "Show the fleet: nodes, models, queues.",
    "dashboard": "Open the dashboard; make a link for another machine.",
    "top": "Watch the fleet at work, in the terminal.",
    "pull": "Pull a model onto a node's disk.",
    "rm": "Delete a model from the nodes' disks.",
    "pin": "Keep a model in a node's memory.",
    "unpin": "Keep a model in memory no longer.",
    "bench": "Measure the live fleet, and compare with before.",
    "reload": "Have the balancer read its settings again.",
    "drain": "Send a node no new work.",
    "undrain": "Send a drained node work again.",
    "wake": "Wake a node that sleeps.",
    "nodes": "Tell which agents may join the fleet.",
    "key": "Make, list and revoke API keys.",
    "log": "Show what happened, one readable line an event.",
    "sql": "Ask the event log in SQL.",
    "export": "Write the log as a SQLite, Parquet or CSV file.",
    "explain": "Tell why a request went to that node, and not to another.",
    "whatif": "Play the recorded requests again, under another policy or on another fleet.",
    "replay": "Rebuild the state from the log, verify every decision.",
    "incident": "Save a part of the log as one file that anybody can replay.",
    "backup": "Save settings, keys and the whole log in one file, while herd runs.",
    "restore": "Bring back what `herd backup` saved.",
    "doctor": "Look at the whole chain on this machine, and say what to do.",
    "otel": "Send every request as a trace to OpenTelemetry.",
    "where": "Show every path and address that herd uses here.",
}
"""Every command with its line in `herd --help`; the module is `herd.commands.NAME`."""

DEFAULT = "run"


class LateGroup(click.Group):
    """A group that knows its commands by name, and imports one when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order of the table."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command's module, and return what it calls `command`."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        check_siblings()
        command = import_module(f"herd.commands.{cmd_name}").command
        if not isinstance(command, click.Command):
            raise TypeError(f"herd.commands.{cmd_name}.command is {command!r}")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table, importing nothing."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Let `herd` and `herd --port 1` mean `herd run`."""
        if not args or (args[0].startswith("-") and args[0] not in {"-h", "--help", "--version"}):
            args = [DEFAULT, *args]
        return super().parse_args(ctx, args)


@click.group(cls=LateGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name=DISTRIBUTION, message="herd %(version)s")
def group() -> None:
    """Serve every Ollama on the network at one address."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line; what is expected to fail ends with a message and exit 1."""
    sys.exit(_run(sys.argv[1:] if arguments is None else list(arguments)))


def node_main() -> NoReturn:
    """Run `herd-node`, which is `herd node`."""
    main(["node", *sys.argv[1:]])


def _run(arguments: list[str]) -> int:
    try:
        outcome: object = group.main(arguments, prog_name="herd", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        return 130
    except HerdError as error:
        return _failed(error)
    except PermissionError as error:  # most often the data directory of another user
        return _failed(_forbidden(error))
    except BrokenPipeError:  # `herd log | head`
        sys.stderr.close()
        return 141
    return outcome if isinstance(outcome, int) else 0


def _failed(error: HerdError) -> int:
    click.echo(f"{click.style('herd:', fg='red', bold=True)} {error.what}", err=True)
    if error.next_step:
        click.echo(f"      {error.next_step}", err=True)
    return 1


def _forbidden(error: PermissionError) -> HerdError:
    """Return what may not be done, with the path where the system names one."""
    if not isinstance(error.filename, str):
        return HerdError(str(error))
    path = error.filename
    seen = path if os.path.lexists(path) else os.path.dirname(path) or "."  # noqa: PTH120 (as named)
    done = "written" if os.access(seen, os.R_OK) else "read"
    return HerdError(f"{path} cannot be {done}: {error.strerror}", NOT_OURS)
