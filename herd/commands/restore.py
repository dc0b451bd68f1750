"""`herd restore`: a backup, brought into a data directory where nothing is yet."""

from datetime import datetime
from pathlib import Path

import click

from herd.backup import restore
from herd.paths import DataDir, default_data_dir


@click.command("restore")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--data-dir", help="The data directory; else FLEET_DATA_DIR or ~/.fleet-manager.")
def command(file: Path, data_dir: str | None) -> None:
    """Bring back what `herd backup` saved: settings, keys, and the whole log.

    The data directory must have no log yet: nothing is ever written over. The next `herd run` there
    goes on where the backup ends, with all that was learned.
    """
    directory = default_data_dir() if data_dir is None else DataDir(Path(data_dir))
    manifest = restore(file, directory)
    when = datetime.fromtimestamp(manifest.made_at).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    click.echo(f"restored to {directory.root}: the herd {manifest.version} of {when}")
    named = "" if data_dir is None else f" --data-dir {data_dir}"
    click.echo(f"  check it    herd replay{named} --check\n  start it    herd run{named}")
