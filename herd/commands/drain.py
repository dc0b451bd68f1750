"""`herd drain` and `herd undrain`: a node takes no new work, or takes work again."""

import time

import click
import msgspec

from herd.admin import send
from herd.commands.status import ask, balancer_url, read

EXAMPLES = """\b
Examples:
  herd drain studio --wait && ssh studio sudo reboot
"""
LOOK_S = 0.5
"""Between two looks at what still runs there."""

url_option = click.option("--url", help="The balancer; else the one that runs here, or FLEET_PORT.")
data_dir_option = click.option(
    "--data-dir", help="Whose balancer; else FLEET_DATA_DIR or ~/.fleet-manager."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Write the answer as JSON.")


class _Queue(msgspec.Struct):
    node_id: str = ""
    in_flight: int = 0


class _Status(msgspec.Struct):
    queues: dict[str, _Queue] = {}


@click.command(epilog=EXAMPLES)
@click.argument("node")
@click.option("--wait", is_flag=True, help="Return when what runs there has ended.")
@url_option
@data_dir_option
@json_option
def command(node: str, url: str | None, data_dir: str | None, *, wait: bool, as_json: bool) -> None:
    """Send a node no new work; what runs there goes on to its end."""
    address = url.rstrip("/") if url else balancer_url(data_dir)
    answer = change(address, node, draining=True)
    running = _running(address, node)
    if not as_json:
        click.echo(
            f"{node} takes no new work; {running} running there. `herd undrain {node}` ends it"
        )
    while wait and running:
        time.sleep(LOOK_S)
        running = _running(address, node)
    if as_json:
        click.echo(msgspec.json.encode({**answer, "in_flight": running}).decode())
    elif wait:
        click.echo(f"{node} is idle")


def change(address: str, node: str, *, draining: bool) -> dict[str, object]:
    """Ask the balancer, and return its answer, or raise with what it says."""
    return send(address, "POST", "/fleet/drain", {"node_id": node, "draining": draining})


def _running(address: str, node: str) -> int:
    status = read(address, ask(address, "/fleet/status"), _Status)
    return sum(queue.in_flight for queue in status.queues.values() if queue.node_id == node)
