"""Whom herd believes: nodes with certificates of their own, and its own balancer."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from herd.config import Settings, load
from herd.errors import HerdError
from herd.http import tls
from herd.http.client import FetchError, fetch
from herd.http.server import listen
from herd.http.tls import Renewal
from herd.http.upstream import Pool
from herd.node_address import parse_node
from tests.certificates import Authority
from tests.herd.http.conftest import Run
from tests.herd.http.sockets import Echo
from tests.herd.http.test_upstream import asked


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    monkeypatch.setattr(tls, "belief", tls.Belief())  # this process's own, put back
    return Authority(tmp_path)


@asynccontextmanager
async def secured(certificate: str, key: str) -> AsyncGenerator[str]:
    listener = await listen(Echo(), host="127.0.0.1", tls=Renewal(certificate, key).context)
    try:
        yield f"https://127.0.0.1:{listener.port}"
    finally:
        listener.abort()
        await asyncio.sleep(0)


def settings(url: str, ca_file: str = "", *, insecure: bool = False) -> Settings:
    node = parse_node(f"{url},insecure" if insecure else url)
    return Settings(nodes=(node,), ca_file=ca_file)


def test_a_node_is_believed_by_its_authority_or_if_it_is_said_so(
    authority: Authority, run: Run
) -> None:
    async def main() -> None:
        async with secured(*authority.issue()) as url:
            pool = Pool(url)
            tls.believe(settings(url))
            assert "TLS failed" in (await asked(pool)).error
            tls.believe(settings(url, str(authority.file)))
            assert (await asked(pool)).body == b"POST /x {}"
            again = await asked(pool)
            assert again.connection is not None
            assert again.connection.reused
            pool.close()
            tls.believe(settings(url, insecure=True))
            assert (await asked(Pool(url))).body == b"POST /x {}"
            async with secured(*authority.issue()) as other:
                with pytest.raises(FetchError, match="TLS failed"):
                    await fetch("GET", other)

    run(main())


def test_a_pinned_certificate_is_believed_by_any_name_and_no_other_is(
    authority: Authority, run: Run
) -> None:
    async def main() -> None:
        ours = authority.issue("nowhere.test")
        async with (
            secured(*ours) as url,
            secured(*authority.issue("nowhere.test", into="other")) as other,
        ):
            tls.pin(url, ours[0])
            tls.pin(other, ours[0])
            assert (await fetch("GET", url)).status == 200
            with pytest.raises(FetchError, match="TLS failed"):
                await fetch("GET", other)

    run(main())


def test_a_file_without_certificates_is_named(authority: Authority, tmp_path: Path) -> None:
    del authority
    for name in ("none.pem", "nonsense.pem"):
        file = tmp_path / name
        if name == "nonsense.pem":
            file.write_text("nonsense")
        with pytest.raises(HerdError, match=f"FLEET_CA_FILE: .*{name} has no certificates"):
            tls.believe(Settings(ca_file=str(file)))


def test_insecure_is_a_word_about_one_node_and_about_https() -> None:
    node = parse_node("https://tower:11434,slots=2,insecure")
    assert (node.url, node.slots, node.insecure) == ("https://tower:11434", 2, True)
    assert load({"nodes": (node,)}).flat()["nodes"] == "https://tower:11434,slots=2,insecure"
    with pytest.raises(HerdError, match="is no option"):
        parse_node("http://tower:11434,insecure")
