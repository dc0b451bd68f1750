"""Agents and balancers one version apart understand each other, in both directions.

`tests/golden/heartbeats.ndjson` has what agents of earlier versions sent, made by the code of its
day, for the same machine: lines are appended, never changed.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from events import Gpu, HeartbeatReceived, Limits, NodeId
from herd.agent import tunnel
from herd.agent.keypair import Keypair
from herd.agent.payload import parse_heartbeat
from tests.herd.agent.stage import Stage
from tests.herd.agent.test_payload import FACTS, MODELS, RESIDENT, built
from tests.herd.small_server import SmallServer

GOLDEN = Path(__file__).parents[2] / "golden" / "heartbeats.ndjson"
SENT = GOLDEN.read_bytes().splitlines()
_Object = dict[str, Any]
_Several = list[Any]
PEER = "192.168.1.20"


LIMITS = Limits(
    paused="its owner uses it", max_requests=3, max_bytes=20_000_000_000, available_share=0.5
)
WAKE = msgspec.structs.replace(LIMITS, macs=("02:00:00:00:00:01",))
GPU = Gpu("RTX 4090", 24 << 30, 1 << 30, 0.25, 41.0, 72.5)
OLD = msgspec.structs.replace(FACTS, context_tokens=0)
DISK = msgspec.structs.replace(OLD, disk_bytes=512 * 1024**3, disk_free_bytes=100_000_000_000)
MAC = msgspec.structs.replace(DISK, unified_memory=True)
SET = msgspec.structs.replace(MAC, context_tokens=FACTS.context_tokens)
FIRST = HeartbeatReceived(
    node_id=NodeId("studio"),
    url="http://192.168.1.20:11434",
    facts=OLD,
    resident=RESIDENT,
    models=MODELS[:2],
)
MEANT: list[dict[str, Any]] = [
    {},
    {},
    {},
    {"facts": DISK},
    {"facts": DISK, "limits": LIMITS},
    {"facts": DISK, "limits": WAKE},
    {"url": "relay://studio"},
    {"facts": DISK, "limits": WAKE, "gpus": (GPU,)},
    {"facts": MAC, "limits": WAKE, "gpus": (GPU,)},
    {"facts": MAC, "limits": WAKE, "gpus": (GPU,), "models": MODELS},
    {"facts": MAC, "limits": WAKE, "gpus": (GPU,), "models": MODELS},
    {"facts": SET, "limits": WAKE, "gpus": (GPU,), "models": MODELS},
]
"""Of each line: what it tells beside the first."""


@pytest.mark.parametrize("number", range(len(MEANT)))
def test_what_an_older_agent_said_means_what_it_meant(number: int) -> None:
    assert parse_heartbeat(SENT[number], PEER) == msgspec.structs.replace(FIRST, **MEANT[number])


def test_the_last_line_says_all_that_an_agent_can_say_now() -> None:
    now = msgspec.json.decode(built(gpus=(GPU,), limits=WAKE, facts=SET))
    assert len(SENT) == len(MEANT)
    assert _keys(now) == _keys(msgspec.json.decode(SENT[-1])), "append what is sent now"


def _keys(value: Any, path: str = "") -> set[str]:
    """Return the names of all that is in it."""
    match value:
        case dict():
            inner = msgspec.convert(value, _Object).items()
            return {path}.union(*(_keys(each, f"{path}.{name}") for name, each in inner))
        case list():
            return {path}.union(*(_keys(each, path) for each in msgspec.convert(value, _Several)))
        case _:
            return {path}


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


@pytest.mark.parametrize("number", range(len(MEANT)))
def test_what_a_newer_agent_says_beside_it_does_no_harm(number: int) -> None:
    more = msgspec.json.encode(_with_more(msgspec.json.decode(SENT[number])))
    assert more.count(b"of_a_newer_agent") > 8
    assert parse_heartbeat(more, PEER) == parse_heartbeat(SENT[number], PEER)


@pytest.mark.parametrize("number", range(len(MEANT)))
def test_what_a_neighbour_leaves_out_is_what_it_is_by_default(number: int) -> None:
    sent = msgspec.convert(msgspec.json.decode(SENT[number]), _Object)
    for name in sent.keys() - {"node_id"}:
        less = {key: value for key, value in sent.items() if key != name}
        fact = parse_heartbeat(msgspec.json.encode(less), PEER)
        assert isinstance(fact, HeartbeatReceived)
        assert fact.reachable, "who does not say that it is not, is"


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


def _against(
    answer: tuple[int, object], tmp_path: Path, scene: Callable[[Stage], Awaitable[None]]
) -> None:
    """Have an agent that signs, and relays, speak to a balancer that gives that answer."""

    async def play() -> None:
        ollama, balancer = SmallServer(), SmallServer()
        ollama.ollama()
        balancer.answers["/heartbeat"] = answer
        async with ollama.running(), balancer.running():
            stage = Stage(ollama, balancer)
            stage.with_terms(Keypair(tmp_path / "node.key"), relay=True)
            async with stage.living():
                await scene(stage)

    asyncio.run(play())


def test_a_balancer_of_before_signatures_and_relays_is_served_and_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers 404 where a newer one takes connections, and passes over headers and fields."""
    monkeypatch.setattr(tunnel, "MOST_FAILED_S", 0.02)

    async def scene(stage: Stage) -> None:
        await stage.hears("knows no relay")
        beat = await stage.beats(5)
        assert beat.url == "relay://studio"
        told = [line for line in stage.said if "relay on" in line]
        assert (len(told), [line for line in stage.said if "refuses" in line]) == (1, [])
        assert "connected to the balancer" in stage.said[1]

    _against((200, {"status": "ok"}), tmp_path, scene)


@pytest.mark.parametrize("body", [{"error": "who are you?"}, {"detail": "who are you?"}])
def test_a_refusal_without_a_challenge_is_told_and_asked_again(
    tmp_path: Path, body: dict[str, str]
) -> None:
    async def scene(stage: Stage) -> None:
        assert "401 who are you?" in await stage.hears("refuses")
        await stage.beats(3)
        stage.balancer.answers["/heartbeat"] = (200, {"status": "ok"})
        await stage.hears("connected")

    _against((401, body), tmp_path, scene)
