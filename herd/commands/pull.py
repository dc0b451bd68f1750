"""`herd pull`: a model onto a node's disk, with its progress."""

import asyncio
import sys
from collections.abc import Callable

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from herd import admin_token
from herd.commands.drain import data_dir_option, json_option, url_option
from herd.commands.status import OK, ask, balancer_url, read
from herd.dialects.names import key
from herd.errors import HerdError
from herd.http.client import FetchError, follow

SILENT_S = 120.0
"""How long a node may say nothing."""


class _Line(msgspec.Struct):
    """A line of progress, as Ollama writes it."""

    status: str = ""
    error: str = ""
    digest: str = ""
    total: int = 0
    completed: int = 0


class _Hardware(msgspec.Struct):
    disk_available_gb: float | None = None


class _Ollama(msgspec.Struct):
    models_available_sizes: dict[str, float | None] = {}


class _Node(msgspec.Struct):
    node_id: str
    hardware: _Hardware = msgspec.field(default_factory=_Hardware)
    ollama: _Ollama = msgspec.field(default_factory=_Ollama)


class _Status(msgspec.Struct):
    nodes: list[_Node] = []


class _Reader:
    """Takes the lines of an answer as they come; the last of them is kept."""

    def __init__(self, show: Callable[[_Line], None]) -> None:
        self._show = show
        self._rest = b""
        self.last = _Line()
        self.status = 0

    def heard(self, status: int, body: bytes) -> None:
        self.status = status
        *lines, self._rest = (self._rest + body).split(b"\n")
        for line in lines:
            if line.strip():
                self._take(line)

    def end(self) -> None:
        if self._rest.strip():
            self._take(self._rest)

    def _take(self, line: bytes) -> None:
        try:
            self.last = msgspec.json.decode(line, type=_Line)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            self.last = _Line(error=f"the balancer said {line[:200]!r}")
        self._show(self.last)


@click.command()
@click.argument("model")
@click.option("--node", help="Onto this node; else where it is already, or fits best.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@url_option
@data_dir_option
@json_option
def command(  # noqa: PLR0913 (one parameter an option)
    model: str, node: str | None, url: str | None, data_dir: str | None, *, yes: bool, as_json: bool
) -> None:
    """Pull a model onto a node's disk.

    For a balancer on another machine, FLEET_ADMIN_TOKEN holds its admin token.
    """
    address = url.rstrip("/") if url else balancer_url(data_dir)
    if not yes:
        confirm(_question(address, model, node), yes=False)
    body: dict[str, object] = {"model": model, "stream": True}
    if node:
        body["node_id"] = node
    last = order(address, "POST", "/api/pull", body, shown=not as_json)
    told = {"model": model, "status": last.status}
    click.echo(msgspec.json.encode(told).decode() if as_json else f"{model}: {last.status}")


def _question(address: str, model: str, node: str | None) -> str:
    """Return what to ask, with the size and the free disks, as far as the fleet knows them."""
    nodes = read(address, ask(address, "/fleet/status"), _Status).nodes
    sizes = [
        size
        for each in nodes
        for name, size in each.ollama.models_available_sizes.items()
        if key(name) == key(model) and size is not None
    ]
    free = [
        f"{each.node_id} {each.hardware.disk_available_gb:g} GiB"
        for each in nodes
        if node in {None, each.node_id} and each.hardware.disk_available_gb is not None
    ]
    what = f"{model} ({max(sizes):g} GB)" if sizes else f"{model} (its size is not known yet)"
    room = f"free disk: {', '.join(free)}" if free else "free disk: not known"
    return f"Pull {what} onto {node or 'the node where it fits best'} ({room})?"


def confirm(question: str, *, yes: bool) -> None:
    """Ask; in a script, where nobody can answer, raise unless `--yes` was given."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise HerdError("nobody is here to be asked", "say --yes if you mean it")
    if not click.confirm(question):
        raise HerdError("nothing was done")


def order(
    address: str, method: str, path: str, body: dict[str, object], *, shown: bool = False
) -> _Line:
    """Send an order, show its progress, and return its last line; raise what went wrong."""
    headers = [(b"Content-Type", b"application/json"), *admin_token.headers()]
    with _bar(shown) as show:
        reader = _Reader(show)
        try:
            asyncio.run(
                follow(
                    method,
                    address + path,
                    reader.heard,
                    headers=headers,
                    body=msgspec.json.encode(body),
                    silent_s=SILENT_S,
                )
            )
        except FetchError as error:
            if error.phase == "connect":
                raise HerdError(
                    f"no balancer answers at {address}: {error.text}",
                    "start it with `herd`, or give --url",
                ) from error
            if not reader.last.error:  # else what broke off has said why
                raise HerdError(f"{address}{path}: {error.text}") from error
        reader.end()
    if reader.last.error:
        raise HerdError(reader.last.error)
    if reader.status not in {0, OK}:
        raise HerdError(f"{address}{path} answered {reader.status}")
    return reader.last


class _bar:  # noqa: N801 (a word in a with statement)
    """A bar on the terminal, while there is something to show; nothing anywhere else."""

    def __init__(self, shown: bool) -> None:  # noqa: FBT001 (its only one)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=Console(stderr=True),
            disable=not (shown and sys.stderr.isatty()),
            transient=True,
        )
        self._task = self._progress.add_task("", total=None)

    def __enter__(self) -> Callable[[_Line], None]:
        self._progress.start()
        return self._show

    def __exit__(self, *_error: object) -> None:
        self._progress.stop()

    def _show(self, line: _Line) -> None:
        self._progress.update(
            self._task,
            description=line.status,
            total=line.total or None,
            completed=line.completed,
        )
