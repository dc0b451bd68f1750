"""`herd top`: the fleet at work, drawn again every second."""

import asyncio
import sys
import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

import click
import msgspec
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from herd import admin_token
from herd.commands.status import AWAY, OK, PATIENCE_S, balancer_url, refusal
from herd.errors import HerdError
from herd.finite import Finite
from herd.http.client import FetchError, fetch
from herd.tables import printable

WIDE: Final = 100
"""Columns of a terminal that has room for everything."""
IN_ONE_MS: Final = 20.0
"""Between first and last byte; an answer that took less came in one piece, made before it."""
BAR: Final = 8
"""Characters of a bar."""
RECENT: Final = 50
"""Requests asked for; as many are shown as there are lines."""
_PAGES: Final = ("/fleet/status", "/fleet/queue", f"/dashboard/api/traces?limit={RECENT}")
_COLOURS: Final = {
    "online": "green",
    "degraded": "yellow",
    "draining": "yellow",
    "offline": "red",
    "sleeping": "blue",
    "completed": "green",
    "failed": "red",
    "rejected": "red",
    "cancelled": "yellow",
}


class Loaded(msgspec.Struct):
    """A model in memory."""

    name: str


class Ollama(msgspec.Struct):
    """What a node's server holds."""

    models_loaded: list[Loaded] = []


class Part(msgspec.Struct):
    """Of a machine: memory or processors."""

    total_gb: float = 0.0
    used_gb: float = 0.0
    utilization_pct: float = 0.0


class Node(msgspec.Struct):
    """A node, as far as it is drawn."""

    node_id: str
    status: str = ""
    draining: bool = False
    ollama: Ollama = msgspec.field(default_factory=Ollama)
    memory: Part | None = None
    cpu: Part | None = None


class Fleet(msgspec.Struct):
    """What is said of all."""

    current: bool = True


class Status(msgspec.Struct):
    """`/fleet/status`."""

    nodes: list[Node]
    fleet: Fleet = msgspec.field(default_factory=Fleet)


class Slots(msgspec.Struct):
    """A model on a node, or its line."""

    model: str
    node_id: str = ""
    pending: int = 0
    in_flight: int = 0
    completed: int = 0
    failed: int = 0
    max_concurrent: int = 0
    predicted_wait_s: float | None = None


class Queues(msgspec.Struct):
    """`/fleet/queue`."""

    queues: dict[str, Slots] = {}


class Trace(msgspec.Struct):
    """A request that has ended."""

    request_id: str
    timestamp: float
    model: str
    status: str
    node_id: str | None = None
    app: str | None = None
    latency_ms: float | None = None
    queue_ms: float | None = None
    time_to_first_token_ms: float | None = None
    completion_tokens: int | None = None


class Traces(msgspec.Struct):
    """`/dashboard/api/traces`."""

    traces: list[Trace] = []


class Frame(msgspec.Struct):
    """All that one picture shows."""

    url: str
    status: Status
    queues: Queues
    traces: Traces


@click.command()
@click.option("--url", help="The balancer; else the one that runs here, or FLEET_PORT.")
@click.option("--data-dir", help="Whose balancer; else FLEET_DATA_DIR or ~/.fleet-manager.")
@click.option("--every", "every_s", default=1.0, type=Finite(0.2, 60), help="Seconds.")
@click.option("--once", is_flag=True, help="Draw one picture and end; so does a pipe.")
def command(url: str | None, data_dir: str | None, every_s: float, *, once: bool) -> None:
    """Watch the fleet at work: nodes, lines, the last requests.

    It is drawn again every second, until Ctrl-C. A balancer that goes away is waited for. Works
    over ssh; in a pipe, or with --once, it is one plain picture.
    """
    address = url.rstrip("/") if url else balancer_url(data_dir)
    if once or not sys.stdout.isatty():
        console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
        console.print(drawn(_frame(address), console.height, console.width))
        return
    _live(address, every_s)


def _live(address: str, every_s: float) -> None:
    console = Console(highlight=False)
    picture = drawn(_frame(address), console.height, console.width)
    try:
        with Live(picture, console=console, screen=True, auto_refresh=False) as live:
            while True:
                try:
                    picture = drawn(_frame(address), console.height, console.width)
                except HerdError as error:
                    live.update(Group(Text(f"{error}; trying again", "red"), picture), refresh=True)
                else:
                    live.update(picture, refresh=True)
                time.sleep(every_s)
    except KeyboardInterrupt:
        return


def _frame(address: str) -> Frame:
    status, queues, traces = asyncio.run(_asked(address))
    try:
        return Frame(
            address,
            msgspec.json.decode(status, type=Status),
            msgspec.json.decode(queues, type=Queues),
            msgspec.json.decode(traces, type=Traces),
        )
    except msgspec.MsgspecError as error:
        raise HerdError(
            f"{address} does not answer like herd: {error}", "give its address with --url"
        ) from error


async def _asked(address: str) -> list[bytes]:
    """Return the bodies of all pages; the last requests are missing while the log is away."""
    headers = admin_token.headers()
    try:
        answers = await asyncio.gather(
            *(
                fetch("GET", address + page, headers=headers, timeout_s=PATIENCE_S)
                for page in _PAGES
            )
        )
    except FetchError as error:
        raise HerdError(
            f"no balancer answers at {address}: {error.text}", "start it with `herd`, or give --url"
        ) from error
    if answers[0].status != OK:
        raise refusal(address, _PAGES[0], answers[0])
    return [answer.body if answer.status == OK else b"{}" for answer in answers]


def drawn(frame: Frame, lines: int, width: int) -> Group:
    """Return the picture, so many lines high and columns wide at most."""
    wide = width >= WIDE
    parts: list[Text | Table] = [_title(frame, wide=wide), Text()]
    if not frame.status.nodes:
        parts.append(Text("no node yet: run `herd node` on a machine with Ollama, or `--node URL`"))
    else:
        parts.append(_nodes(frame, wide=wide))
    waiting = [each for each in frame.queues.queues.values() if each.pending]
    if waiting:
        parts += [Text(), _lines(waiting)]
    left = (
        lines - (6 if wide else 7) - len(frame.status.nodes) - (len(waiting) + 2 if waiting else 0)
    )
    if frame.traces.traces and left > 0:
        parts += [Text(), _recent(frame.traces.traces[:left], wide=wide)]
    return Group(*parts)


def _title(frame: Frame, *, wide: bool) -> Text:
    nodes, queues = frame.status.nodes, frame.queues.queues.values()
    online = sum(node.status == "online" for node in nodes)
    running = sum(each.in_flight for each in queues)
    waiting = sum(each.pending for each in queues)
    done = sum(each.completed for each in queues)
    failed = sum(each.failed for each in queues)
    title = Text("herd ", "bold").append(f"at {frame.url}", "not bold")
    title.append("   " if wide else "\n")
    title.append(f"{online} of {len(nodes)} nodes online   {running} running   ")
    title.append(f"{waiting} waiting", "yellow" if waiting else "")
    title.append(f"   {done:,} done   ")
    title.append(f"{failed:,} failed", "red" if failed else "")
    if not frame.status.fleet.current:
        title.append("   control does not answer: this is what was", "red")
    return title


def _nodes(frame: Frame, *, wide: bool) -> Table:
    nodes = sorted(frame.status.nodes, key=lambda each: each.node_id)
    agents = any(node.cpu is not None or node.memory is not None for node in nodes)
    machine = ((">CPU", ">MEMORY") if wide else (">CPU",)) if agents else ()
    table = _table("NODE…", "STATUS", "RUNNING", "", *machine, "MODELS IN MEMORY…")
    for node in nodes:
        own = [each for each in frame.queues.queues.values() if each.node_id == node.node_id]
        busy = {each.model: each.in_flight for each in own}
        held = {each.name for each in node.ollama.models_loaded}
        running = sum(busy.values())
        usable = [each for each in own if each.model in held or each.in_flight]
        slots = 0 if node.status in AWAY else sum(each.max_concurrent for each in usable)
        status = "draining" if node.draining and node.status == "online" else node.status
        told = (_cpu(node.cpu), _memory(node.memory))
        table.add_row(
            _text(node.node_id),
            Text(printable(status), _COLOURS.get(status, "")),
            _bar(running, max(slots, running)),
            f"{running}/{slots}" if slots else f"{running}",
            *told[: len(machine)],
            _text(", ".join(_busy(each.name, busy) for each in node.ollama.models_loaded)),
        )
    return table


def _cpu(cpu: Part | None) -> str:
    return "" if cpu is None else f"{cpu.utilization_pct:.0f} %"


def _busy(model: str, running: dict[str, int]) -> str:
    return f"{model} ({running[model]})" if running.get(model) else model


def _memory(memory: Part | None) -> str:
    if memory is None or not memory.total_gb:
        return ""
    return f"{memory.used_gb:.0f} of {memory.total_gb:.0f} GB"


def _lines(waiting: Iterable[Slots]) -> Table:
    table = _table("WAITING FOR…", ">REQUESTS", ">PREDICTED WAIT")
    for each in sorted(waiting, key=lambda line: -line.pending):
        wait_s = each.predicted_wait_s
        table.add_row(
            _text(each.model), str(each.pending), "" if wait_s is None else f"{wait_s:.1f} s"
        )
    return table


def _recent(traces: Sequence[Trace], *, wide: bool) -> Table:
    times = (">WAITED", ">FIRST BYTE", ">TOOK")
    header = ("ENDED", "MODEL…", "NODE…", *(("APP…", *times, ">TOKENS/S") if wide else times), "")
    table = _table(*header)
    for trace in traces:
        took = (
            _seconds(trace.queue_ms),
            _seconds(trace.time_to_first_token_ms),
            _seconds(trace.latency_ms),
        )
        table.add_row(
            datetime.fromtimestamp(trace.timestamp).astimezone().strftime("%H:%M:%S"),
            _text(trace.model),
            _text(trace.node_id or ""),
            *((_text(trace.app or ""), *took, _pace(trace)) if wide else took),
            Text(printable(trace.status), _COLOURS.get(trace.status, "")),
        )
    return table


def _seconds(milliseconds: float | None) -> str:
    return "" if milliseconds is None else f"{milliseconds / 1000:.2f} s"


def _pace(trace: Trace) -> str:
    """Return tokens a second; of an answer in one piece over all the time that its node had it."""
    first_ms, whole_ms = trace.time_to_first_token_ms, trace.latency_ms
    if not trace.completion_tokens or first_ms is None or not whole_ms:
        return ""
    took_ms = whole_ms if whole_ms - first_ms < IN_ONE_MS else whole_ms - first_ms
    return f"{trace.completion_tokens / took_ms * 1000:.0f}"


def _bar(value: int, most: int) -> Text:
    filled = round(BAR * value / most) if most else 0
    return Text("█" * filled, "cyan").append("░" * (BAR - filled), "dim")


def _text(text: str) -> Text:
    return Text(printable(text), overflow="ellipsis", no_wrap=True)


def _table(*header: str) -> Table:
    """Return a table without rows: `>` before a header is of numbers, `…` after it may be cut."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for name in header:
        right, cut = name.startswith(">"), name.endswith("…")
        title = _text(name.removeprefix(">").removesuffix("…"))
        table.add_column(title, justify="right" if right else "left", no_wrap=not cut)
    return table
