"""What is on the nodes' disks, for the dashboard: shown, pulled onto one, deleted from one.

`/dashboard/api/model-management`, `pull` and `delete`, with the keys of ollama-herd. A pull that is
asked for here goes on when the page that asked has gone; how far it is, control's view tells on
every front, and how it ended the log.
"""

from typing import Final

import msgspec

from events import ModelDeleted
from herd.clock import wall_s
from herd.health import catalogue
from herd.http import everywhere, places, problems
from herd.http.client import FetchError, follow
from herd.http.endpoints import fleet
from herd.http.endpoints.models import OK, Models
from herd.http.endpoints.pulls import Watched
from herd.http.everywhere import JSON_BODY
from herd.http.exchange import Exchange
from herd.http.history import History, Row, answer_later
from herd.http.problems import JSON_UTF8, BadRequestError
from herd.link.messages import NodeView
from herd.tasks import spawn

SHOWN: Final = "/dashboard/api/model-management"
PULL: Final = "/dashboard/api/pull"
DELETE: Final = "/dashboard/api/delete"

GIB: Final = 1024**3
DAY_S: Final = 86_400
USED_WITHIN_S: Final = 90 * DAY_S
UNUSED_AFTER_DAYS: Final = 7
ENDED_WITHIN_S: Final = 30
SILENT_S: Final = 120.0
"""How long a node may say nothing of a pull."""
_US: Final = 1_000_000


class Asked(msgspec.Struct, gc=False):
    """A model, and the node that it is to come to, or to go from."""

    model: str
    node_id: str = ""


class Stored:
    """Shows and changes what is on the disks."""

    def __init__(self, models: Models, history: History) -> None:
        """Work as the routes of Ollama's API do."""
        self._models = models
        self._history = history

    def show(self, exchange: Exchange) -> None:
        """Answer with every model on every disk, and how much it is used."""
        answer_later(exchange, self._shown())

    def pulls(self, exchange: Exchange) -> None:
        """Answer with the pulls under way, and those that ended a moment ago."""
        answer_later(exchange, self._pulls())

    def pull(self, exchange: Exchange) -> None:
        """Begin a pull, and answer at once."""
        try:
            asked = _asked(exchange)
            view = self._models.view
            chosen = places.named(view, asked.node_id) if asked.node_id else None
            node = chosen or places.for_pull(view, asked.model)
        except BadRequestError as error:
            _refuse(exchange, error)
            return
        model = places.spelled(view, asked.model)
        pull_id = self._models.next_id()
        watched = Watched(self._models.tell, pull_id, model, node.node_id, exchange.peer)
        spawn(_followed(node, asked.model, watched), name=f"pull {model}")
        told = {"ok": True, "status": "started", "model": model, "node_id": node.node_id}
        _say(exchange, 200, {**told, "pull_id": pull_id})

    def delete(self, exchange: Exchange) -> None:
        """Delete a model from one node's disk."""
        try:
            asked = _asked(exchange)
            node = places.named(self._models.view, asked.node_id)
        except BadRequestError as error:
            _refuse(exchange, error)
            return
        spawn(self._deleted(exchange, node, asked.model), name=f"delete {asked.model}")

    async def _deleted(self, exchange: Exchange, node: NodeView, model: str) -> None:
        body = msgspec.json.encode({"model": model})
        try:
            answer = await everywhere.asked(node, "DELETE", "/api/delete", body)
        except BadRequestError as error:
            _refuse(exchange, error)
            return
        except BaseException:
            exchange.fail()
            raise
        if answer.status != OK:
            said = problems.whole_error(answer.status, answer.body)
            _refuse(exchange, BadRequestError(f"{node.node_id} {said}", status=answer.status))
            return
        name = places.spelled(self._models.view, model)
        self._models.tell(ModelDeleted(node_id=node.node_id, model=name, by=exchange.peer))
        await self._models.settling.stocked(name, [node], there=False)
        told = {"ok": True, "status": "deleted", "model": name, "node_id": node.node_id}
        _say(exchange, 200, told)

    async def _shown(self) -> dict[str, object]:
        now_s = wall_s()
        bounds = {"from_us": int((now_s - USED_WITHIN_S) * _US), "to_us": int((now_s + 1) * _US)}
        rows = await self._history.rows("stored", bounds)
        used = {(str(row["node_id"]), str(row["model"])): row for row in rows}
        nodes = self._models.view.nodes
        pinned = self._models.view.pinned
        return {"nodes": [_disk(node, used, now_s, pinned.get(node.node_id, ())) for node in nodes]}

    async def _pulls(self) -> dict[str, object]:
        running: list[dict[str, object]] = [
            {
                "pull_id": pull.pull_id,
                "model": pull.model,
                "node_id": node.node_id,
                "status": "pulling",
                "completed_bytes": pull.completed_bytes,
                "total_bytes": pull.total_bytes,
                "error": "",
                "done": False,
            }
            for node in self._models.view.nodes
            for pull in node.pulls
        ]
        lately = {"from_us": int((wall_s() - ENDED_WITHIN_S) * _US)}
        ended: list[dict[str, object]] = [
            {
                "pull_id": row["pull_id"],
                "model": row["model"],
                "node_id": row["node_id"],
                "status": "success" if row["outcome"] == "done" else row["outcome"],
                "error": row["error"],
                "done": True,
            }
            for row in await self._history.rows("pulls_ended", lately)
        ]
        return {"pulls": running + ended}


async def _followed(node: NodeView, model: str, watched: Watched) -> None:
    error = ""
    body = msgspec.json.encode({"model": model, "stream": True})
    url = f"{node.url}/api/pull"
    try:
        await follow("POST", url, watched.heard, headers=JSON_BODY, body=body, silent_s=SILENT_S)
    except FetchError as failed:
        error = failed.text
    except BaseException as failed:
        watched.ended(f"herd failed: {type(failed).__name__}")
        raise
    watched.ended(error)


def _disk(
    node: NodeView,
    used: dict[tuple[str, str], Row],
    now_s: float,
    pinned: tuple[str, ...],
) -> dict[str, object]:
    resident = {model.name for model in node.resident}
    return {
        "node_id": node.node_id,
        "status": node.status,
        "models": [
            {
                "name": model.name,
                "display_name": model.name
                if (known := catalogue.find(model.name)) is None
                else known.title,
                "category": catalogue.category(model.name, model.capabilities),
                "size_gb": fleet.gib(model.size_bytes),
                "parameter_size": model.parameter_size,
                "quantization": model.quantization_level,
                "loaded_in_vram": model.name in resident,
                "pinned": model.name in pinned,
                **_use(used.get((node.node_id, model.name)), now_s),
            }
            for model in node.models
        ],
        "total_size_gb": _total_gb(node),
        **fleet.disk_gb(node.facts),
    }


def _total_gb(node: NodeView) -> float | None:
    """Return what all its models take of the disk; None where it does not tell of one."""
    sizes = [model.size_bytes for model in node.models]
    return round(sum(sizes) / GIB, 2) if all(sizes) else None


def _use(row: Row | None, now_s: float) -> dict[str, object]:
    last = None if row is None else row["last_used"]
    if row is None or not isinstance(last, int | float):
        return {"last_used": None, "days_unused": None, "total_requests": 0, "unused": True}
    days = max(0.0, now_s - last) / DAY_S
    return {
        "last_used": last,
        "days_unused": round(days, 1),
        "total_requests": row["total_requests"],
        "unused": days >= UNUSED_AFTER_DAYS,
    }


def _asked(exchange: Exchange) -> Asked:
    try:
        asked = msgspec.json.decode(exchange.request.body, type=Asked)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequestError(f'write {{"model": NAME, "node_id": NODE}}: {error}') from error
    if not asked.model.strip():
        raise BadRequestError("model is required")
    return asked


def _refuse(exchange: Exchange, error: BadRequestError) -> None:
    _say(exchange, error.status, {"error": error.what})


def _say(exchange: Exchange, status: int, answer: object) -> None:
    exchange.respond(status, (JSON_UTF8,), msgspec.json.encode(answer))
