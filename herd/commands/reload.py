"""`herd reload`: the herd that runs reads its settings again."""

from pathlib import Path

import click
import msgspec

from herd import platform
from herd.errors import HerdError
from herd.paths import DataDir, default_data_dir
from herd.processes.reloading import lines
from herd.processes.talk import REFUSED, RELOAD, Talk, Word
from herd.unix_sockets import connect_unix

PATIENCE_S = 10.0


@click.command()
@click.option("--data-dir", help="Whose balancer; else FLEET_DATA_DIR or ~/.fleet-manager.")
@click.option("--json", "as_json", is_flag=True, help="Write what has changed as JSON.")
def command(data_dir: str | None, *, as_json: bool) -> None:
    """Have the herd that runs here read its settings file again.

    The file is herd-balancer.env in the data directory, with a line NAME=VALUE for each FLEET_
    variable; what the environment of that herd, or its command line, says comes before it. What
    can change while herd runs does so at once, on every front; the rest is named, since it needs
    another start (`herd run --replace`). A file with a mistake changes nothing.
    """
    told = _asked(default_data_dir() if data_dir is None else DataDir(Path(data_dir)))
    if told.word == REFUSED:
        raise HerdError(lines(told)[0])
    if as_json:
        shown = {"changed": told.changed, "needs_restart": told.waiting, "note": told.why}
        click.echo(msgspec.json.encode(shown).decode())
        return
    for line in lines(told):
        click.echo(line)


def _asked(directory: DataDir) -> Word:
    if not platform.HAS_UNIX_SOCKETS:
        raise HerdError("on this system herd cannot be told", "start it again")
    try:
        talk = Talk(connect_unix(directory.door, timeout_s=PATIENCE_S), patience_s=PATIENCE_S)
    except OSError as error:
        raise HerdError(
            f"no herd runs on {directory.root}", "name its directory with --data-dir"
        ) from error
    try:
        talk.say(Word(RELOAD))
        return talk.hear()[0]
    except OSError as error:
        raise HerdError(f"the herd that runs does not answer: {error}") from error
    finally:
        talk.close()
