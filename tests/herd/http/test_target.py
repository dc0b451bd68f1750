"""Addresses, and the ways to connect: a Unix socket is a node's address like any other."""

import asyncio
import sys
from pathlib import Path

import pytest

from events import AttemptFailed
from herd.agent.payload import parse_heartbeat
from herd.http.client import fetch
from herd.http.target import FetchError, Target
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import QUIET, Ask, Control, Node, fronting, post
from tests.herd.http.sockets import client
from tests.herd.http.test_relay import ANSWER


def test_a_socket_is_a_path_and_its_host_is_this_machine() -> None:
    target = Target("http+unix://%2Frun%2FMy%20Ollama.sock/api/tags?x=1")
    assert target.unix == "/run/My Ollama.sock"
    assert (target.path, target.authority, target.secure) == ("/api/tags?x=1", "localhost", False)
    assert not Target("http://localhost:1/").unix


@pytest.mark.parametrize("url", ["http+unix:///run/x.sock", "unix://%2Fx", "https+unix://%2Fx"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(FetchError):
        Target(url)


def test_no_agent_can_name_a_socket_of_this_machine() -> None:
    """A heartbeat must not make the balancer talk to what listens beside it."""
    body = b'{"node_id":"evil","ollama_host":"http+unix://%2Frun%2Fdocker.sock"}'
    with pytest.raises(ValueError, match="ollama_host"):
        parse_heartbeat(body, "127.0.0.1")


if sys.platform != "win32":

    async def _sums(ask: Ask) -> None:
        ask.answer(ANSWER)

    def test_requests_and_probes_reach_a_node_at_a_socket(run: Run, tmp_path: Path) -> None:
        async def main() -> None:
            here = Node(_sums)
            path = tmp_path / "ollama.sock"
            path.unlink(missing_ok=True)
            server = await asyncio.start_unix_server(here.serve, path)
            url = f"http+unix://{str(path).replace('/', '%2F')}"
            control = Control(url, url)
            async with fronting(control) as listener, client(listener.port) as one:
                for _ in range(2):
                    post(one, "/api/chat", QUIET)
                    assert (await one.answer())[1] == ANSWER
                got = await fetch("POST", f"{url}/api/show", body=b"{}")
            assert (got.status, got.body) == (200, ANSWER)
            assert b"\r\nHost: localhost\r\n" in here.asks[0].head
            assert here.connections == 2, "one of the front's, used again, and the probe's"
            server.close()
            await here.stop()

        run(main())

    def test_a_socket_where_nobody_listens_is_unreachable(run: Run, tmp_path: Path) -> None:
        async def main() -> None:
            url = f"http+unix://{str(tmp_path / 'none.sock').replace('/', '%2F')}"
            control = Control(url)
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/api/chat", QUIET)
                failed = await control.heard(AttemptFailed)
                assert (failed.phase, failed.error) == ("connect", "no such socket")

        run(main())
