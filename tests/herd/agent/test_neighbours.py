"""Agents and balancers one version apart understand each other, in both directions.

`tests/golden/heartbeats.ndjson` has what agents of earlier versions sent, for the same machine:
lines are appended, never changed.
"""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from events import HeartbeatReceived, Limits
from herd.agent.payload import parse_heartbeat
from tests.herd.agent.test_heartbeat import Stage
from tests.herd.agent.test_payload import FACTS, MODELS, RESIDENT
from tests.herd.small_server import SmallServer

GOLDEN = Path(__file__).parents[2] / "golden" / "heartbeats.ndjson"
SENT = GOLDEN.read_bytes().splitlines()
_Object = dict[str, Any]
_Several = list[Any]
PEER = "192.168.1.20"


@pytest.mark.parametrize("number", range(len(SENT)))
def test_what_an_older_agent_said_means_what_it_meant(number: int) -> None:
    fact = parse_heartbeat(SENT[number], PEER)
    assert isinstance(fact, HeartbeatReceived)
    assert (fact.node_id, fact.url) == ("studio", "http://192.168.1.20:11434")
    disk = {"disk_bytes": fact.facts.disk_bytes, "disk_free_bytes": fact.facts.disk_free_bytes}
    assert fact.facts == msgspec.structs.replace(FACTS, **disk)
    assert (fact.resident, fact.models) == (RESIDENT, MODELS)
    assert fact.limits == Limits(), "who says nothing of limits has none"


def _with_more(value: Any) -> Any:
    """Add something unknown to each object."""
    if isinstance(value, dict):
        inner = {name: _with_more(each) for name, each in msgspec.convert(value, _Object).items()}
        return inner if _is_by_name(inner) else {**inner, "of_a_newer_agent": {"what": [1, None]}}
    if isinstance(value, list):
        return [_with_more(each) for each in msgspec.convert(value, _Several)]
    return value


def _is_by_name(found: dict[str, Any]) -> bool:
    """Whether its keys are names of models."""
    return any(":" in name for name in found)


def test_what_a_newer_agent_says_beside_it_does_no_harm() -> None:
    more = msgspec.json.encode(_with_more(msgspec.json.decode(SENT[-1])))
    assert more.count(b"of_a_newer_agent") > 8
    assert parse_heartbeat(more, PEER) == parse_heartbeat(SENT[-1], PEER)


@pytest.mark.parametrize(
    "answer",
    [
        {"status": "ok"},
        {"status": "ok", "of_a_newer_balancer": {"what": [1, None]}, "challenge": 5},
        "no object",
    ],
)
def test_an_agent_takes_any_answer_that_is_a_yes(answer: object) -> None:
    async def play() -> None:
        ollama, balancer = SmallServer(), SmallServer()
        ollama.ollama()
        balancer.answers["/heartbeat"] = (200, answer)
        async with ollama.running(), balancer.running():
            stage = Stage(ollama, balancer)
            async with stage.living():
                await stage.beats(2)
            assert [line for line in stage.said if "refuses" in line] == []

    asyncio.run(play())
