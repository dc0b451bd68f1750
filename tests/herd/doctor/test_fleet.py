"""What `herd doctor` says of a balancer and its nodes."""

import asyncio
from email.utils import formatdate

import pytest

from herd.doctor import fleet
from herd.doctor.finding import Finding
from herd.http.client import Response
from tests.herd.small_server import SmallServer

NOW_S = 1_760_000_000.0


def looked(server: SmallServer, *nodes: dict[str, str], ready: int = 200) -> list[Finding]:
    async def main() -> list[Finding]:
        async with server.running():
            told = [{"ollama_url": server.url, **node} for node in nodes]
            server.answers |= {
                "/readyz": (ready, b"recording is off"),
                "/fleet/status": (200, {"nodes": told}),
                "/dashboard/api/health": (200, {"recommendations": ADVICE}),
            }
            return await fleet.balancer(server.url)

    return asyncio.run(main())


ADVICE = [
    {"title": "small is away", "severity": "critical", "fix": "start it"},
    {"title": "studio loads again and again", "severity": "warning", "fix": "more room"},
    {"title": "a detail", "severity": "info"},
]


def by_about(found: list[Finding]) -> dict[str, str]:
    return {each.about: each.state for each in found}


def test_a_node_that_answers_is_good_and_the_health_page_is_told() -> None:
    server = SmallServer()
    server.ollama()
    found = looked(server, {"node_id": "studio", "status": "online"})
    assert by_about(found)["node studio"] == "good"
    assert by_about(found)["balancer"] == "good"
    health = [(each.state, each.text) for each in found if each.about == "health"]
    assert health == [("bad", "small is away"), ("note", "studio loads again and again")]


def test_a_node_that_cannot_be_reached_from_here_says_what_to_do() -> None:
    gone = {"node_id": "gone", "status": "online", "ollama_url": "http://127.0.0.1:9"}
    (found,) = [each for each in looked(SmallServer(), gone) if each.about == "node"]
    assert found.state == "bad"
    assert "OLLAMA_HOST=0.0.0.0" in found.fix
    assert "herd node" in found.fix


def test_an_offline_node_is_bad() -> None:
    found = looked(SmallServer(), {"node_id": "gone", "status": "offline"})
    assert by_about(found)["node gone"] == "bad"


def test_no_node_says_how_to_get_one() -> None:
    (found,) = [each for each in looked(SmallServer()) if each.about == "nodes"]
    assert found.state == "bad"
    assert "herd node" in found.fix


def test_a_balancer_that_records_nothing_is_bad() -> None:
    found = looked(SmallServer(), ready=503)
    assert found[0].state == "bad"
    assert "recording is off" in found[0].text


@pytest.mark.parametrize("value", [True, False])
def test_whether_it_is_to_be_found_is_what_it_was_started_with(*, value: bool) -> None:
    async def main() -> bool:
        async with SmallServer().running() as server:
            rows = [{"key": "port", "value": 11435}, {"key": "mdns", "value": value}]
            server.answers = {"/dashboard/api/settings": (200, {"settings": rows})}
            return await fleet.advertises(server.url)

    assert asyncio.run(main()) is value


def test_nobody_answers() -> None:
    (found,) = asyncio.run(fleet.balancer("http://127.0.0.1:9"))
    assert (found.about, found.state) == ("balancer", "bad")


@pytest.mark.parametrize(
    ("date", "skew_s"), [(formatdate(NOW_S + 90), 90.0), ("soon", None), ("", None)]
)
def test_the_clock_of_a_node_is_read_from_its_answer(date: str, skew_s: float | None) -> None:
    answer = Response(200, ((b"Date", date.encode()),), b"")
    assert fleet.skew_s(answer, NOW_S) == skew_s


def test_a_clock_that_is_wrong_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ahead(_url: str) -> float:
        return 120.0

    monkeypatch.setattr(fleet, "_skew_s", ahead)
    server = SmallServer()
    server.ollama()
    found = looked(server, {"node_id": "studio", "status": "online"})
    assert [each.text for each in found if "clock" in each.text] == ["its clock is 120 s ahead"]
