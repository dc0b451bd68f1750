"""Models that are to stay in a node's memory: `/fleet/pin`, and the same for the dashboard.

The keys are those of ollama-herd. A pin is a fact that control records and carries out; it is
answered once control's view has it, with `wait` once the model is in memory. Without a node herd
picks one: where the model is in memory, else where the most room is left.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Annotated, Final

import msgspec

from events import ModelPinned, ModelUnpinned
from herd.dialects.names import key
from herd.http import places
from herd.http.exchange import Exchange
from herd.http.parameters import ParameterError, Parameters
from herd.http.problems import JSON_UTF8, BadRequestError
from herd.http.routes import Handler, Methods
from herd.http.settling import Settling
from herd.link.client import Control, LinkFullError
from herd.link.messages import NodeView, View
from herd.tasks import spawn

PATH: Final = "/fleet/pin"
BELOW: Final = PATH + "/"
DASHBOARD: Final = "/dashboard/api/pinned-models"
SHARE: Final = 0.8
"""Of a node's memory: what pinned models may take of it, unless it is forced."""
OVER_WEIGHTS: Final = 1.2
"""Memory of a model that is not loaded, over its size on the disk."""
GIB: Final = 1024**3
LONGEST_S: Final = 600.0


class Asked(msgspec.Struct):
    """A model that is to stay in memory, and how it is asked for."""

    model: str
    node_id: str = ""
    wait: bool = False
    timeout_s: Annotated[float, msgspec.Meta(ge=0, le=LONGEST_S)] = 30.0
    force: bool = False
    pinned: bool = True
    """Of the dashboard's route alone: false ends it."""


class RefusedError(Exception):
    """A pin that cannot be: a status, and what is answered."""

    def __init__(self, status: int, text: str, **more: object) -> None:
        """Keep both."""
        super().__init__(text)
        self.status = status
        self.answer: dict[str, object] = {"error": text, **more}


class Pins:
    """Shows and changes which models stay where."""

    def __init__(self, control: Control, settling: Settling) -> None:
        """Answer from control's view."""
        self._control = control
        self._settling = settling

    def methods(self, admin: Callable[[Handler], Handler]) -> Methods:
        """Return what answers `/fleet/pin`; changes are an admin's."""
        change, unpin = admin(self._change), admin(self._unpin)
        return {b"GET": self._show, b"POST": change, b"DELETE": unpin}

    def below(self) -> Methods:
        """Return what answers `/fleet/pin/MODEL`."""
        return {b"DELETE": self._unpin_named}

    def _show(self, exchange: Exchange) -> None:
        view = self._control.view
        told: dict[str, object] = {"env_pins": (), "per_node": view.pinned, "max_count": None}
        _say(exchange, 200, told | {"pins": rows(view)})

    def _change(self, exchange: Exchange) -> None:
        self._answered(exchange, self._changed)

    def _unpin(self, exchange: Exchange) -> None:
        self._answered(exchange, lambda given: self._unpinned(given, _asked(given)))

    def _unpin_named(self, exchange: Exchange) -> None:
        def named(given: Exchange) -> None:
            node_id = Parameters(given.request.query).text("node_id")
            self._unpinned(given, Asked(given.request.path.removeprefix(BELOW), node_id))

        self._answered(exchange, named)

    def _answered(self, exchange: Exchange, answer: Callable[[Exchange], None]) -> None:
        try:
            self._must_hold()
            answer(exchange)
        except RefusedError as refused:
            _say(exchange, refused.status, refused.answer)
        except BadRequestError as error:
            _say(exchange, error.status, {"error": error.what})
        except ParameterError as error:
            _say(exchange, 400, {"error": str(error)})
        except LinkFullError as error:
            _say(exchange, 503, {"error": f"{error.what}; try again in a moment"})

    def _must_hold(self) -> None:
        if not self._control.connected:
            raise RefusedError(503, "control is away, and should be back soon; try again")
        if not self._control.view.recording:
            text = "the log cannot be written, so nothing would be kept; make room on the disk"
            raise RefusedError(503, text)

    def _changed(self, exchange: Exchange) -> None:
        asked = _asked(exchange)
        if not asked.pinned:
            self._unpinned(exchange, asked)
            return
        view = self._control.view
        model = places.spelled(view, asked.model)
        node = chosen(view, model, asked)
        if not asked.force:
            _must_fit(view, node, model)
        self._control.tell(ModelPinned(node_id=node.node_id, model=model, by=exchange.peer))
        spawn(self._pinned(exchange, asked, node, model), name=f"pin {model}")

    async def _pinned(self, exchange: Exchange, asked: Asked, node: NodeView, model: str) -> None:
        """Answer once it is seen; with `wait` once the model is in memory, or it took too long."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        seen = await self._settling.seen(lambda view: model in view.pinned.get(node.node_id, ()))
        if not seen:
            _say(exchange, 503, {"error": "control has not confirmed it; look again: herd pin"})
            return
        told: dict[str, object] = {"ok": True, "model": model, "pinned_node": node.node_id}
        told["per_node"] = self._control.view.pinned
        if asked.wait:
            ready = await self._settling.seen(
                lambda view: any(
                    each.node_id == node.node_id and is_there(each, model) for each in view.nodes
                ),
                within_s=asked.timeout_s,
            )
            told["ready"] = ready
            told["ready_after_ms"] = round((loop.time() - began_s) * 1000) if ready else None
        _say(exchange, 200, told)

    def _unpinned(self, exchange: Exchange, asked: Asked) -> None:
        view = self._control.view
        found = [
            (node_id, each)
            for node_id, models in view.pinned.items()
            for each in models
            if key(each) == key(asked.model) and asked.node_id in {"", node_id}
        ]
        if not found:
            where = f" on '{asked.node_id}'" if asked.node_id else ""
            text = f"model '{asked.model}' is not pinned{where}"
            raise RefusedError(404, text, per_node=view.pinned)
        for node_id, model in found:
            self._control.tell(ModelUnpinned(node_id=node_id, model=model, by=exchange.peer))
        spawn(self._gone(exchange, found), name=f"unpin {asked.model}")

    async def _gone(self, exchange: Exchange, found: Sequence[tuple[str, str]]) -> None:
        gone = await self._settling.seen(lambda view: not set(found) & set(_pairs(view)))
        if not gone:
            _say(exchange, 503, {"error": "control has not confirmed it; look again: herd pin"})
            return
        told: dict[str, object] = {"ok": True, "model": found[0][1]}
        told["unpinned_from"] = [node_id for node_id, _ in found]
        _say(exchange, 200, told | {"per_node": self._control.view.pinned})


def rows(view: View) -> list[dict[str, object]]:
    """Return each pin, and whether the model is where it should be."""
    nodes = {node.node_id: node for node in view.nodes}
    found: list[dict[str, object]] = []
    for node_id, model in _pairs(view):
        node = next((each for name, each in nodes.items() if name == node_id), None)
        state = "away"
        if node is not None and node.status != "offline":
            state = "loaded" if is_there(node, model) else "not in memory"
            if not places.has(node, model):
                state = "not on its disk"
        found.append({"node_id": node_id, "model": model, "state": state})
    return found


def is_there(node: NodeView, model: str) -> bool:
    """Whether a model is in a node's memory."""
    return any(each.name == model for each in node.resident)


def _pairs(view: View) -> list[tuple[str, str]]:
    return [(node_id, model) for node_id, models in view.pinned.items() for model in models]


def chosen(view: View, model: str, asked: Asked) -> NodeView:
    """Return the node to pin a model on. Raises if there is none that can have it in memory."""
    if asked.node_id:
        known = [node.node_id for node in view.nodes]
        if asked.node_id not in known:
            text = (
                f"no node is called '{asked.node_id}'; the fleet has: {', '.join(known) or 'none'}"
            )
            raise RefusedError(400, text, known_nodes=known)
        node = places.named(view, asked.node_id)
        if not places.has(node, model):
            text = f"'{asked.node_id}' does not have model '{asked.model}': pull it there first"
            raise RefusedError(404, text)
        return node
    having = places.having(view, model)
    if not having:
        away = ", ".join(node.node_id for node in places.away(view, model))
        text = f"model '{asked.model}' is only on nodes that are offline: {away}"
        unknown = f"model '{asked.model}' not found: pull it first"
        raise RefusedError(503 if away else 404, text if away else unknown)

    def rank(node: NodeView) -> tuple[bool, bool, bool, int]:
        pinned = model in view.pinned.get(node.node_id, ())
        room_bytes = budget_bytes(node) - taken_bytes(view, node)
        well = node.status == "online" and not node.draining
        return not pinned, not well, not is_there(node, model), -room_bytes

    return min(having, key=rank)


def _must_fit(view: View, node: NodeView, model: str) -> None:
    """Raise `RefusedError` if pinned models would take too much of a node's memory."""
    if not memory_bytes(node) or model in view.pinned.get(node.node_id, ()):
        return
    wanted, taken, budget = needs_bytes(node, model), taken_bytes(view, node), budget_bytes(node)
    if wanted + taken <= budget:
        return
    already = {each: _gb(needs_bytes(node, each)) for each in view.pinned.get(node.node_id, ())}
    raise RefusedError(
        409,
        f"'{model}' takes {_gb(wanted)} GiB of '{node.node_id}', where pinned models take "
        f"{_gb(taken)} already and may take {_gb(budget)}: unpin another, or force it",
        requested_gb=_gb(wanted),
        already_pinned_gb=_gb(taken),
        budget_gb=_gb(budget),
        node_total_gb=_gb(memory_bytes(node)),
        already_pinned=already,
    )


def memory_bytes(node: NodeView) -> int:
    """Return the memory that models run in: the graphics card's, else the system's; 0 unknown."""
    return node.facts.vram_bytes or node.facts.memory_bytes


def budget_bytes(node: NodeView) -> int:
    """Return what pinned models may take of a node."""
    most = int(SHARE * memory_bytes(node))
    return min(most, node.limits.max_bytes) if node.limits.max_bytes else most


def needs_bytes(node: NodeView, model: str) -> int:
    """Return the memory that a model takes on a node, or will."""
    for resident in node.resident:
        if resident.name == model and resident.size_bytes:
            return resident.size_bytes
    return int(OVER_WEIGHTS * next((m.size_bytes for m in node.models if m.name == model), 0))


def taken_bytes(view: View, node: NodeView) -> int:
    """Return the memory that the pinned models of a node take, or will."""
    return sum(needs_bytes(node, model) for model in view.pinned.get(node.node_id, ()))


def _gb(size: int) -> float:
    return round(size / GIB, 2)


def _asked(exchange: Exchange) -> Asked:
    try:
        asked = msgspec.json.decode(exchange.request.body, type=Asked)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RefusedError(400, f'write {{"model": NAME, "node_id": NODE}}: {error}') from error
    if not asked.model.strip():
        raise RefusedError(400, "model is required")
    return asked


def _say(exchange: Exchange, status: int, answer: object) -> None:
    exchange.respond(status, (JSON_UTF8,), msgspec.json.encode(answer))
