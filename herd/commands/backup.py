"""`herd backup`: everything as one file, while herd runs."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from herd.backup import save
from herd.clock import wall_s
from herd.errors import HerdError
from herd.paths import DataDir, default_data_dir
from herd.progress import watched

NAME = "herd-%Y-%m-%d-%H%M%S.tar.gz"


@click.command("backup")
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--data-dir", help="The data directory; else FLEET_DATA_DIR or ~/.fleet-manager.")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@click.option("--json", "as_json", is_flag=True, help="Write what was saved as JSON.")
def command(file: Path | None, data_dir: str | None, *, force: bool, as_json: bool) -> None:
    """Save settings, keys and the whole log in one file, also while herd runs.

    FILE is herd-DATE.tar.gz in this directory unless you say otherwise. It holds the admin token,
    the join token, the settings file with whatever secrets are in it, and, hashed, the API keys:
    keep it as you keep those. `herd restore FILE`
    brings it back.
    """
    directory = default_data_dir() if data_dir is None else DataDir(Path(data_dir))
    if file is None:
        file = Path(datetime.fromtimestamp(wall_s(), UTC).astimezone().strftime(NAME))
    if file.exists() and not force:
        raise HerdError(f"{file} is there already", "name another file, or --force")
    manifest = save(directory, file, _watched)
    if as_json:
        told = {"file": str(file), **msgspec.structs.asdict(manifest)}
        click.echo(msgspec.json.encode(told))
        return
    size, packed = (bytes_ / 1e6 for bytes_ in (manifest.size_bytes, file.stat().st_size))
    click.echo(f"{manifest.files} files, {size:,.1f} MB, saved in {file} ({packed:,.1f} MB)")


def _watched(paths: Iterable[Path], total: int) -> Iterator[Path]:
    return watched(paths, total, "backup", every=1)
