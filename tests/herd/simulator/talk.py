"""Speak to a simulated node in bytes, in this process."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from herd.http.client import Response, fetch
from herd.simulator import profiles
from herd.simulator.hardware import NodeSpec
from herd.simulator.node import SimulatedNode
from tests.herd.http.sockets import Client, client

SMALL, BIG, EMBED = "llama3.2:3b", "llama3.3:70b", "nomic-embed-text"
FAST = 1000.0
"""A time scale at which nothing takes long."""


@asynccontextmanager
async def simulated(
    spec: NodeSpec | None = None, time_scale: float = FAST
) -> AsyncGenerator[SimulatedNode]:
    node = SimulatedNode(spec or profiles.studio(), time_scale=time_scale)
    await node.start()
    try:
        yield node
    finally:
        await node.stop()


async def ask(
    node: SimulatedNode, path: str, body: dict[str, Any] | bytes | None = None
) -> Response:
    """GET without a body, POST with one."""
    if body is None:
        return await fetch("GET", node.url + path)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await fetch("POST", node.url + path, body=data)


async def told(node: SimulatedNode, path: str, body: dict[str, Any] | None = None) -> Any:
    """The JSON of a good answer."""
    answer = await ask(node, path, body)
    assert answer.status == 200, answer
    return json.loads(answer.body)


def post(path: str, body: dict[str, Any]) -> bytes:
    data = json.dumps(body).encode()
    return b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (
        path.encode(),
        len(data),
        data,
    )


def chat(model: str = SMALL, text: str = "hello", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}


@asynccontextmanager
async def streaming(node: SimulatedNode, body: dict[str, Any]) -> AsyncGenerator[Client]:
    """A chat whose first line has come."""
    async with client(node.port) as made:
        made.send(post("/api/chat", body))
        assert b"200 OK" in await made.head()
        await made.until(b'"done":false}\n\r\n')
        yield made


async def until(condition: Any, within_s: float = 5.0) -> None:
    """Wait for something the node does by itself once it has heard of it."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 (the node is watched from outside)
            await asyncio.sleep(0.001)


def lines(body: bytes) -> list[Any]:
    assert body.endswith(b"\n")
    return [json.loads(line) for line in body.splitlines()]
