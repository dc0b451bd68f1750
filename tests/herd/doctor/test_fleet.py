"""What `herd doctor` says of a balancer and its nodes."""

import asyncio
from email.utils import formatdate

import pytest

from herd.config import Settings
from herd.doctor import fleet
from herd.doctor.finding import Finding
from herd.http.client import Response
from herd.node_address import NodeAddress
from tests.herd.small_server import DEEP, SmallServer

NOW_S = 1_760_000_000.0
READY = (200, {"status": "ready", "recording": True})


def looked(
    server: SmallServer, *nodes: dict[str, str], ready: tuple[int, object] = READY
) -> list[Finding]:
    async def main() -> list[Finding]:
        async with server.running():
            told = [{"ollama_url": server.url, **node} for node in nodes]
            server.answers |= {
                "/readyz": ready,
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


@pytest.mark.parametrize(
    ("ready", "text"),
    [
        ((200, {"status": "ready", "recording": False}), "answers, and records nothing"),
        ((503, {"status": "control is away", "recording": True}), "control is away"),
        ((200, b"<html>Router"), "is no herd (200): <html>Router"),
        ((404, b"404 page not found"), "is no herd (404): 404 page not found"),
        ((200, DEEP), "is no herd (200)"),
    ],
)
def test_a_balancer_that_is_none_or_not_well_is_bad(ready: tuple[int, object], text: str) -> None:
    found = looked(SmallServer(), ready=ready)
    assert found[0].state == "bad"
    assert text in found[0].text


@pytest.mark.parametrize("value", [True, False])
def test_whether_it_is_to_be_found_is_what_it_was_started_with(*, value: bool) -> None:
    assert started({"port": 11435, "mdns": value}).mdns is value


def test_whom_it_believes_is_what_it_was_started_with() -> None:
    told = started({"ca_file": "/ca.pem", "nodes": "https://tower:8443,name=t,insecure http://a:1"})
    assert told.ca_file == "/ca.pem"
    assert [(node.url, node.insecure) for node in told.nodes] == [
        ("https://tower:8443", True),
        ("http://a:1", False),
    ]


def test_a_balancer_that_tells_no_settings_is_believed_to_have_ours() -> None:
    ours = Settings(ca_file="/ours.pem", nodes=(NodeAddress("http://a:1"),))
    found = asyncio.run(fleet.started("http://127.0.0.1:9", ours))
    assert found is ours


def test_where_it_listens_is_what_it_was_started_with() -> None:
    found = started({"host": "127.0.0.1", "port": 11500})
    assert (found.host, found.port) == ("127.0.0.1", 11500)


def started(values: dict[str, object]) -> Settings:
    async def main() -> Settings:
        async with SmallServer().running() as server:
            rows = [{"key": key, "value": value} for key, value in values.items()]
            server.answers = {"/dashboard/api/settings": (200, {"settings": rows})}
            return await fleet.started(server.url, Settings())

    return asyncio.run(main())


def test_a_node_whose_agent_relays_and_cannot_be_looked_at_is_not_called_gone() -> None:
    lap = {"node_id": "lap", "status": "online", "ollama_url": "relay://lap"}
    (found,) = [each for each in looked(SmallServer(), lap) if each.about == "node lap"]
    assert found.state == "note"
    assert "relays" in found.text


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
