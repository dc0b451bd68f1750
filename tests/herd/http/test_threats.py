"""What `docs/threat-model.md` says that cannot be done, where no other test has tried it."""

import asyncio
import gzip
import logging
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest
import zstandard

from events import HeartbeatReceived, RequestCompleted
from herd.http.door import Door, NotAdmittedError
from herd.http.exchange import Exchange, Request
from herd.http.keyring import digest
from herd.http.opening import OPENED_BYTES
from herd.link.messages import KeyView, View
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import CHAT, QUIET, Ask, Control, fronting, header, node, post
from tests.herd.http.sockets import client
from tests.herd.http.test_gate import Wire

KEY = b"herd-a-key-of-a-test"
PEER = "192.168.7.4"


def heartbeat(**told: object) -> Exchange:
    request = Request()
    request.body = msgspec.json.encode({"node_id": "studio", "ollama": {}} | told)
    return Exchange(Wire(), request, PEER)


def admit(exchange: Exchange) -> object:
    _, [fact] = Door("open", "", unsigned=True).admitted(exchange, View(challenge="ab"))
    return fact


# SSRF: what herd asks is a node's address, and what it is told there


@pytest.mark.parametrize(
    "address",
    [
        "http://169.254.169.254",
        "http://[fe80::1]:11434",
        "http://[::ffff:169.254.169.254]:80",
        "http://224.0.0.251:5353",
        "http://255.255.255.255",
        "http://2852039166",
        "http://0xa9.0xfe.43518:80",
    ],
)
def test_an_agent_cannot_make_herd_ask_what_is_no_node(address: str) -> None:
    with pytest.raises(NotAdmittedError, match="no address of a node"):
        admit(heartbeat(ollama_host=address))


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:22",
        "http://localhost:22",
        "http://[::1]:9",
        "127.1:22",
        "http://2130706433:22",
        "http://017700000001",
        "http://0:22",
    ],
)
def test_loopback_means_the_agent_s_own(address: str) -> None:
    fact = admit(heartbeat(ollama_host=address))
    assert isinstance(fact, HeartbeatReceived)
    assert urlsplit(fact.url).hostname == PEER


@pytest.mark.parametrize(
    "address",
    [
        "file:///etc/passwd",
        "gopher://10.0.0.1:70",
        "http://u:p@10.0.0.1:11434",
        "http://10.0.0.1:11434/admin",
        "http://10.0.0.1:11434?x=1",
        "http://10.0.0.1:11434#x",
        "http://10.0.0.1:99999",
        "http://a\r\nX: y:80",
    ],
)
def test_an_address_is_a_host_and_a_port(address: str) -> None:
    with pytest.raises(ValueError, match="ollama_host"):
        admit(heartbeat(ollama_host=address))


def test_where_a_node_points_to_herd_does_not_go(run: Run) -> None:
    async def script(ask: Ask) -> None:
        ask.send(
            b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/secrets\r\n"
            b"Content-Length: 0\r\n\r\n"
        )

    async def main() -> None:
        async with node(script) as server:
            control = Control(server.url)
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/api/chat", QUIET)
                await one.answer()
            assert [ask.head.split()[1] for ask in server.asks] == [b"/api/chat"]

    run(main())


# Bombs and floods


def test_a_body_that_unpacks_itself_is_opened_up_to_a_bound(run: Run) -> None:
    zeros = b'{"model":"m","prompt":"' + b"0" * OPENED_BYTES + b'"}'
    bombs = [zstandard.compress(zeros), _of_unknown_size(zeros)]
    assert max(map(len, bombs)) < 10_000

    async def main() -> None:
        control = Control()
        async with fronting(control) as listener, client(listener.port) as one:
            for bomb in bombs:
                post(one, "/v1/responses", bomb, b"Content-Encoding: zstd")
                assert (await one.answer())[0].startswith(b"HTTP/1.1 413 ")
            far = zstandard.compress(zeros, 22)  # it asks for more memory than it may
            post(one, "/api/chat", far, b"Content-Encoding: zstd")
            assert (await one.answer())[0].startswith(b"HTTP/1.1 4")
            post(one, "/api/chat", gzip.compress(zeros), b"Content-Encoding: gzip")
            assert (await one.answer())[0].startswith(b"HTTP/1.1 415 ")
            post(one, "/heartbeat", bombs[0], b"Content-Encoding: zstd")
            assert (await one.answer())[0].startswith(b"HTTP/1.1 400 ")
        assert control.facts == []

    run(main())


def _of_unknown_size(data: bytes) -> bytes:
    packer = zstandard.ZstdCompressor().compressobj()
    return packer.compress(data) + packer.flush()


def test_a_node_is_asked_for_nothing_compressed_and_nothing_is_opened(run: Run) -> None:
    bomb = gzip.compress(b"0" * 1_000_000)

    async def script(ask: Ask) -> None:
        ask.send(
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(bomb), bomb)
        )

    async def main() -> None:
        async with node(script) as server:
            control = Control(server.url)
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/api/chat", QUIET, b"Accept-Encoding: gzip")
                assert (await one.answer())[1] == bomb, "as it came"
                assert (await control.heard(RequestCompleted)).completion_tokens == 0
            assert b"ccept-Encoding" not in server.asks[0].head

    run(main())


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"node_id":' + b"[" * 100_000, b'{"node_id":"a"']
)
def test_a_heartbeat_that_is_only_deep_is_refused(run: Run, body: bytes) -> None:
    async def main() -> None:
        control = Control()
        async with fronting(control) as listener, client(listener.port) as one:
            post(one, "/heartbeat", body)
            assert (await one.answer())[0].startswith(b"HTTP/1.1 400 ")
        assert control.facts == []

    run(main())


# Names


@pytest.mark.parametrize(
    "name", ["a\r\nX-Evil: 1", "a\nb", "<script>", "../etc", "a/b", "a b", "", "x" * 65, "ü", "a\0"]
)
def test_a_node_s_name_can_stand_anywhere(name: str) -> None:
    with pytest.raises(ValueError, match="node id"):
        admit(heartbeat(node_id=name))


def test_a_model_s_name_is_no_header(run: Run) -> None:
    async def main() -> None:
        control = Control()
        async with fronting(control) as listener, client(listener.port) as one:
            body = CHAT.replace(b"m:latest", b"m\\r\\nX-Evil: 1")
            post(one, "/api/chat", body)
            head, _ = await one.answer()
            assert head.startswith(b"HTTP/1.1 400 ")
            assert b"X-Evil" not in head
        assert control.facts == []

    run(main())


@pytest.mark.parametrize(
    "target",
    [
        "//fleet/keys",
        "/v1/models/../../fleet/keys",
        "/fleet/%6beys",
        "/fleet/keys/",
        "/fleet/keys%00",
        "/fleet\\keys",
        "/./fleet/keys",
        "http://localhost/fleet/keys",
    ],
)
def test_no_spelling_of_a_path_is_less_guarded(run: Run, target: str) -> None:
    async def main() -> None:
        async with fronting(Control()) as listener, client(listener.port) as one:
            one.send(
                b"GET %b HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n"
                % target.encode()
            )
            head, _ = await one.answer()
        assert head.split()[1] in {b"401", b"404"}

    run(main())


# Keys in what is written


def test_a_key_is_in_no_log_line_and_no_answer(
    run: Run, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    del tmp_path

    async def script(ask: Ask) -> None:
        ask.answer(b'{"error":"' + ask.head.replace(b"\r\n", b" ").replace(b'"', b"") + b'"}', 500)

    async def main() -> None:
        async with node(script) as server:
            control = Control(server.url)
            control.view = View(keys=(KeyView("laptop", digest(KEY)),))
            async with fronting(control) as listener, client(listener.port) as one:
                for shown in (b"Authorization: Bearer " + KEY, b"x-api-key: " + KEY):
                    control.urls = [server.url]
                    post(one, "/api/chat", QUIET, shown)
                    head, body = await one.answer()
                    assert KEY not in head + body, "a node that echoes has not seen it"
                post(one, "/api/chat", QUIET, b"x-api-key: " + KEY + b"-wrong")
                head, body = await one.answer()
                assert header(head, b"WWW-Authenticate") == b"Bearer"
                assert KEY not in head + body
            assert KEY not in msgspec.json.encode(control.facts)
            assert not any(KEY in ask.head for ask in server.asks)

    run(main())
    assert KEY.decode() not in caplog.text


def test_who_floods_with_wrong_keys_makes_no_event(run: Run) -> None:
    async def main() -> None:
        control = Control()
        control.view = View(keys=(KeyView("laptop", digest(KEY)),))
        async with fronting(control) as listener, client(listener.port) as one:
            for number in range(50):
                post(one, "/v1/chat/completions", QUIET, b"Authorization: Bearer %d" % number)
                assert (await one.answer())[0].startswith(b"HTTP/1.1 401 ")
            await asyncio.sleep(0)
        assert control.facts == []

    run(main())
