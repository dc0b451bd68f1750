"""A balancer that speaks TLS, to clients, agents, commands, and another balancer."""

from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import msgspec
import pytest
from openai import DefaultHttpxClient, OpenAI

from tests.certificates import Authority
from tests.e2e.conftest import StartHerd
from tests.e2e.herds import Composition, Herd, Program, command, until
from tests.e2e.nodes import SIMULATED, SMALL, Nodes
from tests.e2e.wire import ask, chat


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def secured(
    authority: Authority, composition: Composition, pair: Nodes, tmp_path: Path
) -> Iterator[Herd]:
    """A balancer before one node, with a certificate of the authority."""
    certificate, key = authority.issue()
    herd = Herd(
        tmp_path / "data",
        composition,
        pair.flags()[:1],
        FLEET_TLS_CERT=certificate,
        FLEET_TLS_KEY=key,
    )
    try:
        line = herd.hears("  https://")
        herd.url = "https://127.0.0.1:" + line.strip().rpartition(":")[2]
        yield herd
        assert herd.stop() == 0, herd.tail()
    finally:
        herd.clear()


def got(url: str, path: str, authority: Authority) -> bytes:
    with urlopen(url + path, context=authority.trusting()) as answer:  # noqa: S310 (https)
        body: bytes = answer.read()
        return body


def test_clients_commands_and_agents_follow(
    secured: Herd, authority: Authority, pair: Nodes, tmp_path: Path
) -> None:
    with DefaultHttpxClient(verify=authority.trusting()) as http:
        client = OpenAI(base_url=f"{secured.url}/v1", api_key="unused", http_client=http)
        stream = client.chat.completions.create(
            model=SMALL, messages=[{"role": "user", "content": "hello"}], stream=True
        )
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
        assert text.startswith(f"{SIMULATED} alpha.")
    assert got(secured.url, "/dashboard", authority).startswith(b"<!doctype html>")
    with pytest.raises(URLError, match="CERTIFICATE"):
        urlopen(f"{secured.url}/api/tags")  # noqa: S310 (https)

    status = command("status", "--data-dir", str(secured.data_dir))
    assert "alpha" in status.stdout, status.stderr
    drained = command("drain", "alpha", "--data-dir", str(secured.data_dir))
    assert drained.returncode == 0, drained.stderr

    words = ["-m", "herd", "node", "--ollama-host", pair.url("beta"), "--node-id", "beta"]
    words += ["--router-url", secured.url, "--data-dir", str(tmp_path)]
    wary = Program(words, {})
    agent = Program([*words, "--ca-file", str(authority.file)], {})
    try:
        assert "FLEET_CA_FILE" in wary.hears("TLS failed")
        agent.hears("connected to the balancer https://")

        def joined() -> bool:
            nodes = msgspec.json.decode(got(secured.url, "/fleet/status", authority))["nodes"]
            return "beta" in {node["node_id"] for node in nodes}

        assert until(joined, within_s=5.0), "another front hears of it a moment later"
    finally:
        wary.clear()
        agent.clear()


def test_it_is_a_node_like_any_other(
    secured: Herd, authority: Authority, start_herd: StartHerd
) -> None:
    outer = start_herd(
        f"{secured.url},name=inner", wait_for=("inner",), FLEET_CA_FILE=str(authority.file)
    )
    answer = ask(outer.url, "/api/chat", chat(SMALL))
    assert (answer.status, answer.node) == (200, "inner")
    assert ask(outer.url, "/api/show", {"model": SMALL}).status == 200
    streamed = ask(outer.url, "/api/chat", chat(SMALL, stream=True))
    assert streamed.body.count(b"\n") > 5


def test_what_is_no_certificate_ends_the_start(tmp_path: Path) -> None:
    given = ("--data-dir", str(tmp_path), "--port", "0", "--tls-cert", str(tmp_path / "no.pem"))
    failed = command("run", *given)
    assert failed.returncode == 1
    assert "no.pem cannot be read" in failed.stderr
