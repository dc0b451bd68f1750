"""`herd status`: the fleet as the running balancer sees it."""

import asyncio
import contextlib
import shutil
import sys
import time
from typing import TypeVar

import click
import msgspec

from herd import admin_token
from herd.config import load
from herd.errors import HerdError
from herd.http import tls
from herd.http.client import FetchError, Response, fetch
from herd.processes import run_file
from herd.terminal import printable

T = TypeVar("T")

PATIENCE_S = 5.0
WATCH_EVERY_S = 2.0
LEAST_WIDTH = 10
"""Characters that are left of a column on a narrow terminal."""
OK, NOT_FOUND = 200, 404
AWAY = {"offline", "sleeping"}


class _Resident(msgspec.Struct):
    name: str


class _Ollama(msgspec.Struct):
    models_loaded: list[_Resident] = []
    models_available: list[str] = []
    version: str = ""


class _Node(msgspec.Struct):
    node_id: str
    status: str
    draining: bool = False
    paused: str = ""
    waking: bool = False
    ollama_url: str = ""
    ollama: _Ollama = msgspec.field(default_factory=_Ollama)


class _Queue(msgspec.Struct):
    model: str
    node_id: str = ""
    pending: int = 0
    in_flight: int = 0
    completed: int = 0
    failed: int = 0
    concurrency: int = 0


class _Fleet(msgspec.Struct):
    current: bool = True


class _Status(msgspec.Struct):
    nodes: list[_Node]
    fleet: _Fleet = msgspec.field(default_factory=_Fleet)
    queues: dict[str, _Queue] = {}


@click.command()
@click.option("--url", help="The balancer; else the one that runs here, or FLEET_PORT.")
@click.option("--data-dir", help="Whose balancer; else FLEET_DATA_DIR or ~/.fleet-manager.")
@click.option("--json", "as_json", is_flag=True, help="Write the balancer's own JSON.")
@click.option("--watch", is_flag=True, help="Show it again every two seconds, until Ctrl-C.")
def command(url: str | None, data_dir: str | None, *, as_json: bool, watch: bool) -> None:
    """Show the fleet: nodes, models, queues."""
    address = url.rstrip("/") if url else balancer_url(data_dir)
    if as_json:
        click.echo(ask(address, "/fleet/status").decode())
        return
    _print(address)
    with contextlib.suppress(KeyboardInterrupt):
        while watch:
            time.sleep(WATCH_EVERY_S)
            click.clear()
            _print(address)


def _print(address: str) -> None:
    status = read(address, ask(address, "/fleet/status"), _Status)
    click.echo(f"herd at {address}: {_count(len(status.nodes), 'node')}")
    if not status.fleet.current:
        click.echo("control does not answer: this is how the fleet was when it last did")
    if not status.nodes:
        click.echo("no node yet: run `herd node` on a machine with Ollama, or `--node URL`;")
        click.echo("`herd nodes list` shows those that wait to be let in")
        return
    _show("NODE STATUS ADDRESS RESIDENT MODELS VERSION", [_node_row(n) for n in status.nodes])
    if status.queues:
        header = "MODEL NODE RUNNING SLOTS WAITING DONE FAILED"
        away = {node.node_id for node in status.nodes if node.status in AWAY}
        _show(header, [_queue_row(q, away) for q in status.queues.values()])


class _Refused(msgspec.Struct):
    error: str = ""


def balancer_url(data_dir: str | None = None) -> str:
    """Return where the balancer of this machine is, running or not.

    A directory that somebody named is that of the herd he means: if none runs there, another one
    must not be asked, least of all to change. `FLEET_DATA_DIR` names it too, unless `FLEET_PORT`
    is set beside it and says where to ask.
    """
    settings = load({} if data_dir is None else {"data_dir": data_dir})
    if data_dir is not None or ("data_dir" in settings.fixed and "port" not in settings.fixed):
        found: run_file.RunFile | None = run_file.running(
            settings.directory, otherwise="give --url"
        )
    else:
        found = run_file.read(settings.directory)
    certificate = settings.tls_cert if found is None else found.tls_cert
    plain = run_file.local_url(settings.host, settings.port, secure=bool(certificate))
    address = plain if found is None else found.url
    if certificate:
        tls.pin(address, certificate)
    return address


def ask(address: str, path: str) -> bytes:
    """Return the body of a balancer's answer, or raise with what to do."""
    try:
        headers = admin_token.headers()
        answer = asyncio.run(fetch("GET", address + path, headers=headers, timeout_s=PATIENCE_S))
    except FetchError as error:
        raise HerdError(
            f"no balancer answers at {address}: {error.text}", "start it with `herd`, or give --url"
        ) from error
    if answer.status != OK:
        raise refusal(address, path, answer)
    return answer.body


def read(address: str, body: bytes, form: type[T]) -> T:
    """Return what a balancer has answered; raise if no herd answers so."""
    try:
        return msgspec.json.decode(body, type=form)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise HerdError(
            f"{address} does not answer like herd: {error}",
            "give the address of a balancer with --url",
        ) from error


def refusal(address: str, path: str, answer: Response) -> HerdError:
    """Return why the balancer refused, in its own words if it says; or that it is none."""
    try:
        said = msgspec.json.decode(answer.body, type=_Refused).error
    except (msgspec.MsgspecError, UnicodeDecodeError):
        said = ""
    if not said and answer.status == NOT_FOUND:
        return HerdError(
            f"{address} is no herd, or an older one: {path} answered {answer.status}",
            "give the address of a balancer with --url",
        )
    return HerdError(said or f"{address}{path} answered {answer.status}")


def _node_row(node: _Node) -> list[str]:
    resident = ", ".join(model.name for model in node.ollama.models_loaded)
    on_disk = str(len(node.ollama.models_available))
    return [node.node_id, _said(node), node.ollama_url, resident, on_disk, node.ollama.version]


def _said(node: _Node) -> str:
    """Return how a node is; of one that takes no work, why."""
    if node.status in AWAY:
        return "waking" if node.waking else node.status
    if node.paused:
        return f"paused: {node.paused}"
    return "draining" if node.draining else node.status


def _queue_row(queue: _Queue, away: set[str]) -> list[str]:
    slots = "" if queue.node_id in away else queue.concurrency
    counts = (queue.in_flight, slots, queue.pending, queue.completed, queue.failed)
    return [queue.model, queue.node_id or "(waiting)", *map(str, counts)]


def _show(header: str, rows: list[list[str]]) -> None:
    """Write a table that needs no colour to be read; a terminal folds none of its lines."""
    table = [header.split(), *[[printable(cell) or "-" for cell in row] for row in rows]]
    widths = _fitted([max(map(len, column)) for column in zip(*table, strict=True)], _columns())
    click.echo()
    for row in table:
        cells = (_cut(cell, width).ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def _columns() -> int:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize


def _fitted(widths: list[int], room: int) -> list[int]:
    """Take from the widest column until all have room, or none is wide any more."""
    widths = list(widths)
    while sum(widths) + 2 * (len(widths) - 1) > room and max(widths) > LEAST_WIDTH:
        widths[widths.index(max(widths))] -= 1
    return widths


def _cut(cell: str, width: int) -> str:
    return cell if len(cell) <= width else cell[: width - 1] + "…"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
