"""Nodes that speak TLS with a certificate of a name: their agent relays, and the doctor looks."""

import asyncio
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.certificates import Authority
from tests.e2e.conftest import StartHerd
from tests.e2e.herds import Program, command
from tests.e2e.nodes import SMALL, Nodes
from tests.e2e.wire import ask, chat


class Terminator:
    """Takes TLS connections, and passes what is in them on to a node that speaks plainly."""

    def __init__(self, certificate: str, key: str, to: str) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._to = urlsplit(to)
        self._sock = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._sock.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        loop = self._loop
        asyncio.set_event_loop(loop)
        serving = asyncio.start_server(self._took, sock=self._sock, ssl=self._context)
        loop.set_exception_handler(_silent)
        server = loop.run_until_complete(serving)
        loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()

    async def _took(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inside = await asyncio.open_connection(self._to.hostname, self._to.port)
        await asyncio.gather(_passed(reader, inside[1]), _passed(inside[0], writer))


def _silent(_loop: asyncio.AbstractEventLoop, _context: dict[str, Any]) -> None:
    """Say nothing of clients that leave in the middle."""


async def _passed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except (OSError, ssl.SSLError):
        pass
    finally:
        writer.close()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def secure(authority: Authority, pair: Nodes) -> Iterator[Terminator]:
    """The node `alpha` as https, with a certificate that has only a name."""
    made = Terminator(*authority.issue("localhost"), pair.url("alpha"))
    yield made
    made.close()


def doctor(data_dir: Path) -> dict[str, str]:
    done = command("doctor", "--json", "--data-dir", str(data_dir))
    return {each["about"]: each["state"] for each in json.loads(done.stdout)}


def test_an_agent_relays_for_a_node_whose_certificate_only_has_a_name(
    start_herd: StartHerd, secure: Terminator, authority: Authority, tmp_path: Path
) -> None:
    herd = start_herd()
    words = ["-m", "herd", "node", "--ollama-host", f"https://localhost:{secure.port}"]
    words += ["--node-id", "tower", "--router-url", herd.url, "--ca-file", str(authority.file)]
    agent = Program([*words, "--data-dir", str(tmp_path / "agent"), "--relay"], {})
    try:
        agent.hears("connected to the balancer")
        herd.until_online("tower")
        for stream in (False, True):
            answer = ask(herd.url, "/api/chat", chat(SMALL, stream=stream))
            assert (answer.status, answer.node, answer.retries) == (200, "tower", 0)
        assert doctor(herd.data_dir)["node tower"] in {"good", "note"}
    finally:
        agent.clear()


def test_a_doctor_believes_whom_the_balancer_believes(
    start_herd: StartHerd, secure: Terminator, authority: Authority
) -> None:
    url = f"https://localhost:{secure.port}"
    trusting = start_herd(f"{url},name=a", wait_for=("a",), FLEET_CA_FILE=str(authority.file))
    assert doctor(trusting.data_dir)["node a"] == "good"
    careless = start_herd(f"{url},name=b,insecure", wait_for=("b",))
    assert doctor(careless.data_dir)["node b"] == "good"
