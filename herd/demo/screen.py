"""The demo's picture: nodes, queues, last requests, and what to try. Data in, tables out."""

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from herd.demo.recent import Row

MODEL = "llama3.3:70b"
SHORT_S = 0.1
"""Below this, seconds are shown as milliseconds."""


class Resident(msgspec.Struct):
    """A model in a node's memory."""

    name: str
    size_gb: float | None = None


class Ollama(msgspec.Struct):
    """What a node holds."""

    models_loaded: list[Resident] = []
    models_available: list[str] = []


class Node(msgspec.Struct):
    """A node, as `/fleet/status` shows it."""

    node_id: str
    status: str
    ollama_url: str = ""
    ollama: Ollama = msgspec.field(default_factory=Ollama)


class Queue(msgspec.Struct):
    """One model on one node, or one that waits for any."""

    model: str
    node_id: str = ""
    pending: int = 0
    in_flight: int = 0
    completed: int = 0
    failed: int = 0
    max_concurrent: int = 0


class Status(msgspec.Struct):
    """The part of `/fleet/status` that the demo shows."""

    nodes: list[Node] = []
    queues: dict[str, Queue] = {}


def picture(
    title: str, status: Status, rows: list[Row], counts: str, hints: list[str]
) -> RenderableType:
    """Return the whole screen."""
    return Group(
        Text(title, style="bold"),
        Text(),
        _nodes(status),
        Text(),
        _queues(status),
        Text(),
        _requests(rows),
        Text(counts, style="dim"),
        Text(),
        *(Text(hint, style="cyan") for hint in hints),
    )


def hints(url: str, model: str, route: str) -> list[str]:
    """Return what to type in another terminal."""
    body = f'{{"model":"{model}","stream":false,"messages":[{{"role":"user","content":"hello"}}]}}'
    return [
        f"Look at it in a browser: {url}/dashboard",
        "Try it in another terminal:",
        f"  curl -s {url}{route} -d '{body}'",
        f'  OpenAI SDK: OpenAI(base_url="{url}/v1", api_key="not-needed"), model="{model}"',
    ]


def _nodes(status: Status) -> Table:
    table = _table("node", "status", "address", "in memory", "running", "done", "failed")
    for node in status.nodes:
        mine = [queue for queue in status.queues.values() if queue.node_id == node.node_id]
        running = sum(queue.in_flight for queue in mine)
        resident = [_sized(model) for model in node.ollama.models_loaded]
        table.add_row(
            node.node_id,
            Text(node.status, style="green" if node.status == "online" else "red"),
            node.ollama_url,
            ", ".join(resident) or "-",
            str(running),
            str(sum(queue.completed for queue in mine)),
            str(sum(queue.failed for queue in mine)),
        )
    return table


def _sized(model: Resident) -> str:
    return model.name if model.size_gb is None else f"{model.name} {model.size_gb:.0f} GB"


def _queues(status: Status) -> Table:
    table = _table("model", "node", "running / slots", "waiting")
    for queue in sorted(status.queues.values(), key=lambda queue: (queue.model, queue.node_id)):
        slots = f"{queue.in_flight} / {queue.max_concurrent}" if queue.node_id else "-"
        waiting = str(queue.pending) if queue.pending or not queue.node_id else "-"
        table.add_row(queue.model, queue.node_id or "(any)", slots, waiting)
    return table


def _requests(rows: list[Row]) -> Table:
    table = _table("last requests", "route", "node", "waited", "first byte", "total", "tokens", "")
    for row in rows:
        outcome = f"{row.outcome}, {row.retries} retried" if row.retries else row.outcome
        table.add_row(
            row.model,
            row.route,
            row.node_id or "-",
            _seconds(row.queue_s),
            _seconds(row.ttft_s),
            _seconds(row.service_s),
            str(row.tokens or "-"),
            outcome,
        )
    return table


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", expand=False)
    for name in names:
        table.add_column(name, no_wrap=True)
    return table


def _seconds(value: float) -> str:
    if not value:
        return "-"
    return f"{value:.2f} s" if value >= SHORT_S else f"{value * 1000:.0f} ms"
