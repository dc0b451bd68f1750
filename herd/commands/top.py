"""`herd top`: the fleet as it works, once a second, on one screen."""

import sys
import time
from datetime import UTC, datetime

import click
import msgspec
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from herd.commands.drain import data_dir_option, url_option
from herd.commands.status import ask, balancer_url
from herd.errors import HerdError

MOST_REQUESTS = 12
SLOTS_AS_MARKS = 16
WIDTH = 140
"""Of what goes into a pipe or a file."""
_LEAST = {"when": 8, "waited": 7, "first byte": 10, "total": 7, "tokens": 6, "outcome": 9}
_TONES = {"online": "green", "degraded": "yellow", "offline": "red"}


class _Loaded(msgspec.Struct):
    name: str
    size_gb: float = 0.0


class _Ollama(msgspec.Struct):
    models_loaded: list[_Loaded] = []


class _Node(msgspec.Struct):
    node_id: str
    status: str = ""
    draining: bool = False
    ollama: _Ollama = msgspec.field(default_factory=_Ollama)


class _Queue(msgspec.Struct):
    model: str
    node_id: str = ""
    pending: int = 0
    in_flight: int = 0
    completed: int = 0
    failed: int = 0
    max_concurrent: int = 0
    predicted_wait_s: float | None = None


class Status(msgspec.Struct):
    """The part of `/fleet/status` that is shown."""

    nodes: list[_Node] = []
    queues: dict[str, _Queue] = {}


class Trace(msgspec.Struct):
    """A request or attempt, as `/dashboard/api/traces` has it."""

    timestamp: float
    model: str
    node_id: str | None = None
    status: str = ""
    queue_ms: float | None = None
    time_to_first_token_ms: float | None = None
    latency_ms: float | None = None
    completion_tokens: int | None = None


class _Traces(msgspec.Struct):
    traces: list[Trace] = []


@click.command()
@click.option("--every", default=1.0, show_default=True, help="Seconds between two looks.")
@click.option("--once", is_flag=True, help="Show it once; so where there is no terminal.")
@url_option
@data_dir_option
def command(every: float, url: str | None, data_dir: str | None, *, once: bool) -> None:
    """Watch the fleet: nodes, slots, lines, the last requests. Ctrl-C ends it."""
    address = url.rstrip("/") if url else balancer_url(data_dir)
    if once or not sys.stdout.isatty():
        Console(width=None if sys.stdout.isatty() else WIDTH).print(
            screen(address, *_look(address))
        )
        return
    pause_s = max(0.2, every)
    with Live(screen(address, *_look(address)), screen=True, auto_refresh=False) as live:
        while True:
            try:
                shown = screen(address, *_look(address))
            except HerdError as error:  # it may come back
                shown = Group(Text(error.what, style="bold red"), Text(error.next_step))
            live.update(shown, refresh=True)
            time.sleep(pause_s)


def _look(address: str) -> tuple[Status, list[Trace]]:
    try:
        status = msgspec.json.decode(ask(address, "/fleet/status"), type=Status)
        try:
            page = ask(address, f"/dashboard/api/traces?limit={MOST_REQUESTS}")
        except HerdError:  # the log is away; the fleet is not
            return status, []
        return status, msgspec.json.decode(page, type=_Traces).traces
    except msgspec.MsgspecError as error:
        raise HerdError(f"{address} does not answer like herd: {error}") from error


def screen(address: str, status: Status, traces: list[Trace]) -> RenderableType:
    """Return the whole screen."""
    queues = [queue for queue in status.queues.values() if queue.node_id]
    lines = [queue for queue in status.queues.values() if not queue.node_id]
    online = sum(node.status == "online" for node in status.nodes)
    running = sum(queue.in_flight for queue in queues)
    waiting = sum(queue.pending for queue in lines)
    head = (
        f"herd at {address}   {online} of {len(status.nodes)} nodes online   "
        f"{running} running   {waiting} waiting"
    )
    parts: list[RenderableType] = [Text(head, style="bold"), Text()]
    if not status.nodes:
        parts.append(Text("no node yet: run `herd node` on a machine with Ollama, or --node URL"))
    else:
        parts += [_nodes(status.nodes, queues), Text()]
    if lines:
        parts += [_lines(lines), Text()]
    if traces:
        parts.append(_requests(traces))
    return Group(*parts)


def _nodes(nodes: list[_Node], queues: list[_Queue]) -> Table:
    table = _table("node", "status", "model", "slots", "done", "failed")
    for node in nodes:
        mine = {queue.model: queue for queue in queues if queue.node_id == node.node_id}
        sizes = {model.name: model.size_gb for model in node.ollama.models_loaded}
        word = "draining" if node.draining else node.status
        first = [_name(node.node_id), _name(word, style=_TONES.get(node.status, ""))]
        for model in dict.fromkeys((*sizes, *(q.model for q in mine.values() if q.in_flight))):
            queue = mine.get(model) or _Queue(model)
            size = f" {sizes[model]:.1f} GB" if model in sizes else " (loading)"
            table.add_row(
                *first,
                _name(model + size),
                Text(_slots(queue)),
                Text(str(queue.completed)),
                Text(str(queue.failed), style="red" if queue.failed else ""),
            )
            first = [Text(), Text()]
        if first[0].plain:
            table.add_row(*first, Text("nothing in memory", style="dim"))
    return table


def _lines(lines: list[_Queue]) -> Table:
    table = _table("model", "waiting", "the last in line waits about")
    for queue in lines:
        wait = "not known" if queue.predicted_wait_s is None else f"{queue.predicted_wait_s:.1f} s"
        table.add_row(_name(queue.model), Text(str(queue.pending), style="yellow"), Text(wait))
    return table


def _requests(traces: list[Trace]) -> Table:
    table = _table("when", "model", "node", "waited", "first byte", "total", "tokens", "outcome")
    for trace in traces:
        when = datetime.fromtimestamp(trace.timestamp, UTC).astimezone().strftime("%H:%M:%S")
        times = (trace.queue_ms, trace.time_to_first_token_ms, trace.latency_ms)
        table.add_row(
            Text(when),
            _name(trace.model),
            _name(trace.node_id or "-"),
            *(Text(_time(each)) for each in times),
            Text(str(trace.completion_tokens or "-")),
            _name(trace.status, style="" if trace.status == "completed" else "red"),
        )
    return table


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in names:
        cut = name in {"model", "node"}  # what is too wide is cut there, not in the figures
        table.add_column(Text(name), no_wrap=True, min_width=None if cut else _LEAST.get(name))
    return table


def _name(text: str, style: str = "") -> Text:
    """Return a name from the network, which does nothing to the terminal."""
    return Text("".join(c if c.isprintable() else "?" for c in text), style=style)


def _slots(queue: _Queue) -> str:
    """Return a mark for each slot, full or free; of many only the numbers."""
    used, most = queue.in_flight, queue.max_concurrent
    if not 0 < most <= SLOTS_AS_MARKS:
        return f"{used} of {most}"
    return "#" * used + "." * max(0, most - used)


def _time(value_ms: float | None) -> str:
    if value_ms is None:
        return "-"
    return f"{value_ms / 1000:.2f} s" if value_ms >= 100 else f"{value_ms:.0f} ms"  # noqa: PLR2004 (a tenth of a second)
