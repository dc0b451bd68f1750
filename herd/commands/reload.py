"""`herd reload`: the herd that runs reads its settings again."""

from pathlib import Path

import click
import msgspec

from herd import platform
from herd.errors import HerdError
from herd.paths import DataDir, default_data_dir
from herd.processes.reloading import lines
from herd.processes.talk import ANEW, REFUSED, RELOAD, Talk, Word
from herd.unix_sockets import connect_unix

PATIENCE_S = 10.0
ANEW_S = 180.0
"""For a new one to start, and to take the place."""


@click.command()
@click.option("--data-dir", help="Whose balancer; else FLEET_DATA_DIR or ~/.fleet-manager.")
@click.option("--anew", is_flag=True, help="Have a new process take its place.")
@click.option("--json", "as_json", is_flag=True, help="Write what has changed as JSON.")
def command(data_dir: str | None, *, anew: bool, as_json: bool) -> None:
    """Have the herd that runs here read its settings file again.

    The file is herd-balancer.env in the data directory, with a line NAME=VALUE for each FLEET_
    variable; what the environment of that herd, or its command line, says comes before it. What
    can change while herd runs does so at once, on every front; the rest is named, since it needs
    another start. A file with a mistake changes nothing.

    With --anew that other start: a new process, of the herd that is installed now and with all
    settings, takes the place of the one that runs. No client is refused, and what has begun is
    finished by the old one. If the new one cannot start, the old one goes on.
    """
    directory = default_data_dir() if data_dir is None else DataDir(Path(data_dir))
    told = _asked(directory, Word(ANEW), ANEW_S) if anew else _asked(directory, Word(RELOAD))
    if told.word == REFUSED:
        raise HerdError(f"the herd that runs stays: {told.why}" if anew else lines(told)[0])
    if anew:
        _tell_of(told, as_json=as_json)
        return
    if as_json:
        shown = {"changed": told.changed, "needs_restart": told.waiting, "note": told.why}
        click.echo(msgspec.json.encode(shown).decode())
        return
    for line in lines(told):
        click.echo(line)


def _tell_of(new: Word, *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode({"pid": new.pid, "version": new.version}).decode())
    else:
        click.echo(f"herd {new.version} (pid {new.pid}) runs; the one before ends what it has")


def _asked(directory: DataDir, word: Word, patience_s: float = PATIENCE_S) -> Word:
    if not platform.HAS_UNIX_SOCKETS:
        raise HerdError("on this system herd cannot be told", "start it again")
    try:
        talk = Talk(connect_unix(directory.door, timeout_s=PATIENCE_S), patience_s)
    except OSError as error:
        directory.check_readable()
        raise HerdError(
            f"no herd runs on {directory.root}", "name its directory with --data-dir"
        ) from error
    try:
        talk.say(word)
        return talk.hear()[0]
    except OSError as error:
        raise HerdError(f"the herd that runs does not answer: {error}") from error
    finally:
        talk.close()
