"""What `herd doctor` says of the balancer that the agent of this machine is to join."""

import asyncio

import pytest
from click.testing import CliRunner

from herd.commands import doctor
from herd.doctor import afar
from herd.doctor.finding import Finding
from herd.http.client import Response
from tests.herd.small_server import SmallServer


def seen(ready: int = 200) -> dict[str, Finding]:
    async def main() -> list[Finding]:
        async with SmallServer().running() as server:
            told = {"status": "control is away", "recording": True}
            server.answers = {"/readyz": (ready, told)}
            return await afar.balancer(server.url)

    return {each.about: each for each in asyncio.run(main())}


def test_one_that_answers_is_well() -> None:
    assert seen()["balancer"].state == "good"
    away = seen(503)["balancer"]
    assert (away.state, "control is away" in away.text) == ("bad", True)


@pytest.mark.parametrize(("ahead_s", "state"), [(90.0, "bad"), (-90.0, "bad"), (3.0, "good")])
def test_clocks_that_differ_are_said(
    monkeypatch: pytest.MonkeyPatch, ahead_s: float, state: str
) -> None:
    def ahead(_answer: Response, _now_s: float) -> float:
        return ahead_s

    monkeypatch.setattr(afar, "skew_s", ahead)
    assert seen()["clock"].state == state


def test_one_that_is_not_reached_is_named_by_the_agents_own_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FLEET_NODE_ROUTER_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("FLEET_MDNS", "false")
    said = CliRunner().invoke(doctor.command, [])
    assert said.exit_code == 1
    assert "balancer: http://127.0.0.1:1 is not reached from here" in said.output
    assert "firewall" in said.output
