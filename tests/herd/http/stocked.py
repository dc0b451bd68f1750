"""A front before simulated nodes whose disks change, in one process."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec

from events import (
    Event,
    NodeFacts,
    ResidentModel,
)
from herd.http.client import Response, fetch
from herd.link.messages import NodeView
from herd.simulator import profiles
from herd.simulator.node import SimulatedNode
from tests.herd.http.fleet import Control, fronting, node_view, view
from tests.herd.simulator.talk import simulated, told

TINY = "smollm2:135m"
SIZE = profiles.SMOLLM.facts.size_bytes
LOOKS_AFTER_S = 0.05


class Seeing(Control):
    """Looks at the nodes a moment after it was told something, as control does."""

    fleet: "Fleet | None" = None

    def tell(self, event: Event) -> None:
        super().tell(event)
        asyncio.get_running_loop().call_later(LOOKS_AFTER_S, self._look)

    def _look(self) -> None:
        if self.fleet is not None and self.front is not None:
            self.fleet.look()
            self.front.view_changed(self.view)


class Fleet:
    """A front before two simulated nodes: `big` has all models, `small` only the small one."""

    def __init__(self, control: Seeing, port: int, nodes: dict[str, SimulatedNode]) -> None:
        self.control = control
        self.port = port
        self.nodes = nodes

    def look(self) -> None:
        """See the nodes as they are now."""
        self.control.view = view(*(_seen(name, node) for name, node in self.nodes.items()))

    async def ask(
        self, path: str, body: object = None, *, method: str = "POST", node: str = ""
    ) -> Response:
        data = body if isinstance(body, bytes) else json.dumps(body).encode() if body else b""
        headers = ((b"X-Herd-Node", node.encode()),) if node else ()
        return await fetch(
            method, f"http://localhost:{self.port}{path}", body=data, headers=headers
        )

    async def has(self, name: str) -> set[str]:
        found = await told(self.nodes[name], "/api/tags")
        return {row["name"] for row in found["models"]}


def _seen(name: str, node: SimulatedNode) -> NodeView:
    models = [model.facts for model in node.shelf.models]
    facts = NodeFacts(memory_bytes=node.spec.facts.memory_bytes)
    resident = tuple(
        ResidentModel(name=each.model.facts.name) for each in node.engine.up_to_date().resident()
    )
    found = node_view(name, *models, facts=facts, resident=resident)
    return msgspec.structs.replace(found, url=node.url)


@asynccontextmanager
async def fleet(time_scale: float = 1000.0) -> AsyncGenerator[Fleet]:
    async with AsyncExitStack() as stack:
        specs = {"big": profiles.studio(), "small": profiles.mini()}
        nodes = {
            name: await stack.enter_async_context(simulated(spec, time_scale))
            for name, spec in specs.items()
        }
        control = Seeing()
        listener = await stack.enter_async_context(fronting(control))
        made = control.fleet = Fleet(control, listener.port, nodes)
        made.look()
        yield made


async def listed(herd: Fleet) -> set[str]:
    found = await herd.ask("/api/tags", method="GET")
    return {row["name"] for row in msgspec.json.decode(found.body)["models"]}
