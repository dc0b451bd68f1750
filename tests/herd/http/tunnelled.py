"""A front, a node that listens on loopback, and the agent's end of the relay between them."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from events import NodeId
from herd.agent.keypair import Keypair
from herd.agent.tunnel import Tunnel
from herd.http.detour import detour
from herd.http.tunnels import Tunnels
from herd.link.messages import PinView
from tests.herd.http.fleet import Control, Node, Script, fronting, node

LAP = NodeId("lap")
URL = "relay://lap"


class Relayed:
    """All three."""

    def __init__(self, control: Control, server: Node, keys: Keypair, port: int) -> None:
        self.control = control
        self.server = server
        self.keys = keys
        self.port = port
        self.said: list[str] = []
        self.tunnel = self.agent(server.url)

    @property
    def front(self) -> Tunnels:
        assert self.control.front is not None
        return self.control.front.tunnels

    def agent(self, ollama_url: str) -> Tunnel:
        return Tunnel("lap", ollama_url, self.keys, self.said.append, wanted=True)

    async def opens(self) -> None:
        """Open the connections, and wait for one."""
        await self.tunnel.look("192.0.2.1", reachable=True)
        self.tunnel.follow(f"http://127.0.0.1:{self.port}")

    def pins(self, **pins: PinView) -> None:
        """Have the front hear whose keys count."""
        view = msgspec.structs.replace(
            self.control.view, pins={NodeId(name): pin for name, pin in pins.items()}
        )
        self.control.view = view
        assert self.control.front is not None
        self.control.front.view_changed(view)


@asynccontextmanager
async def relayed(
    path: Path, script: Script, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[Relayed]:
    keys = Keypair(path / "node.key")
    async with node(script) as server:
        control = Control(*[URL] * 20)
        async with fronting(control) as listener:
            made = Relayed(control, server, keys, listener.port)
            monkeypatch.setattr(detour, "spares", made.front)
            made.pins(lap=PinView(keys.public))
            try:
                yield made
            finally:
                made.tunnel.close()
