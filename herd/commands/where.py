"""`herd where`: every path and address that herd uses here."""

import click
import msgspec

from herd.config import load
from herd.processes import run_file


@click.command()
@click.option("--data-dir", help="The data directory; else FLEET_DATA_DIR or ~/.fleet-manager.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def command(data_dir: str | None, *, as_json: bool) -> None:
    """Show every path and address that herd uses here."""
    settings = load({} if data_dir is None else {"data_dir": data_dir})
    directory = settings.directory
    found = run_file.read(directory)
    running = found is not None and "supervisor" in run_file.living(found)
    places = {
        "address": found.url if found is not None and running else "",
        "data_dir": str(directory.root),
        "journal": str(directory.journal),
        "sealed": str(directory.sealed),
        "snapshots": str(directory.snapshots),
        "database": str(directory.database),
        "open_sql": str(directory.open_sql),
        "log_file": str(directory.jsonl),
        "run_file": str(directory.run_file),
        "settings_file": str(directory.settings_file),
        "door": str(directory.door),
        "control_socket": str(directory.control_socket),
        "logd_socket": str(directory.logd_socket),
        "admin_token": str(directory.admin_token),
        "join_token": str(directory.join_token),
        "node_key": str(directory.node_key),
    }
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(places), indent=2).decode())
        return
    for name, place in places.items():
        click.echo(f"{name:<15} {place or 'not running'}")
