"""The agent's life against a small Ollama and a small balancer, on real sockets."""

import asyncio

import msgspec
import pytest

from events import Limits
from herd.agent import heartbeat
from herd.agent.tunnel import Tunnel
from herd.mdns import Balancer
from tests.herd.agent.stage import MACHINE, QUICK, Stage, play
from tests.herd.small_server import DEEP, OLLAMA_PS, SmallServer


def test_it_tells_what_the_node_is_and_has() -> None:
    async def scene(stage: Stage) -> None:
        async with stage.living():
            beat = await stage.beats()
            assert beat.node_id == "studio"
            assert beat.url == stage.ollama.url
            disk = {"disk_bytes": 0, "disk_free_bytes": 0}
            told = msgspec.structs.replace(beat.facts, **disk)
            assert told == msgspec.structs.replace(MACHINE, version="0.33.0")
            assert beat.facts.disk_bytes > 0, "Ollama is on this machine"
            assert [model.name for model in beat.resident] == ["llama3.2:3b"]
            assert [model.name for model in beat.models] == [
                "llama3.2:3b",
                "nomic-embed-text:latest",
            ]
            assert (beat.reachable, beat.draining) == (True, False)
            await stage.beats(5)
        assert stage.said == [f"connected to the balancer {stage.balancer.url}"]

    play(scene)


def test_what_its_owner_lends_is_told_each_time_and_a_pause_said_once() -> None:
    async def scene(stage: Stage) -> None:
        async with stage.living():
            assert (await stage.beats()).limits == Limits()
            stage.lent = Limits(paused="its owner is using it", max_requests=3)
            assert (await stage.beats(3)).limits == stage.lent
            stage.lent = Limits(max_requests=3)
            assert (await stage.beats(3)).limits == stage.lent
        assert stage.said[1:] == ["paused: its owner is using it", "takes work again"]

    play(scene)


def test_it_tells_the_card_towards_the_balancer_if_its_owner_lets_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scene(stage: Stage) -> None:
        stage.with_terms(wake="auto")
        async with stage.living():
            assert (await stage.beats()).limits.macs == ("3c:7c:3f:00:00:01",)
        stage.with_terms()
        async with stage.living():
            assert (await stage.beats()).limits == Limits()
        stage.with_terms(wake=("3c:7c:3f:00:00:02",))
        async with stage.living():
            assert (await stage.beats()).limits.macs == ("3c:7c:3f:00:00:02",)
        monkeypatch.setattr(heartbeat, "card_of", {"127.0.0.1": ""}.__getitem__)
        stage.with_terms(wake="auto")
        async with stage.living():
            await stage.beats(3)
        assert len([line for line in stage.said if "no network card has the address" in line]) == 1

    monkeypatch.setattr(heartbeat, "card_of", {"127.0.0.1": "3C:7C:3F:00:00:01"}.__getitem__)
    play(scene)


def test_it_looks_at_the_disk_rarely_and_when_something_unknown_is_in_memory() -> None:
    async def scene(stage: Stage) -> None:
        async with stage.living():
            await stage.beats(5)
            assert stage.ollama.asked.count("/api/tags") == 1
            running = [*OLLAMA_PS["models"], {"name": "new"}]
            stage.ollama.answers["/api/ps"] = (200, {"models": running})
            stage.ollama.answers["/api/tags"] = (200, {"models": running})
            beat = await stage.beats(2)
            assert [model.name for model in beat.models] == ["llama3.2:3b", "new:latest"]
            assert stage.ollama.asked.count("/api/tags") == 2
            stage.ollama.answers["/api/tags"] = (200, {"models": []})
            stage.ollama.answers["/api/ps"] = (200, {"models": [{"name": "deleted"}]})
            await stage.beats(5)
            assert stage.ollama.asked.count("/api/tags") == 3

    play(scene)


def test_a_dead_ollama_is_told_and_its_models_are_kept() -> None:
    async def scene(stage: Stage) -> None:
        async with stage.living():
            await stage.beats()
            answers, stage.ollama.answers = stage.ollama.answers, {}
            await stage.hears("no Ollama at")
            beat = await stage.beats()
            assert (beat.reachable, beat.resident) == (False, ())
            assert len(beat.models) == 2
            await stage.beats(3)
            stage.ollama.answers = answers
            await stage.hears("answers again")
            beat = await stage.beats()
            assert beat.reachable
            assert beat.resident
        assert len(stage.said) == 3

    play(scene)


def test_a_hanging_ollama_does_not_stop_the_heart() -> None:
    async def scene(stage: Stage) -> None:
        stage.ollama.silent = True
        async with stage.living():
            beat = await stage.beats(2)
            assert not beat.reachable
        assert "no answer within 0.2 s" in stage.said[0]

    play(scene)


def test_the_interval_counts_from_the_start_of_the_last() -> None:
    async def scene(stage: Stage) -> None:
        stage.with_terms(interval_s=0.3, ollama_timeout_s=0.25)
        stage.ollama.silent = True
        loop = asyncio.get_running_loop()
        async with stage.living():
            await stage.beats()
            began = loop.time()
            await stage.beats(3)
            assert 0.8 < loop.time() - began < 1.5

    play(scene)


def test_a_lost_balancer_is_said_once_and_found_again_at_its_place() -> None:
    async def scene(stage: Stage) -> None:
        elsewhere = SmallServer()
        elsewhere.answers = dict(stage.balancer.answers)
        async with elsewhere.running():
            stage.with_terms(router_url=elsewhere.url)
            living = stage.living()
            await living.__aenter__()
            await stage.beats(at=elsewhere)
        lost = await stage.hears("no balancer at")
        assert lost == f"no balancer at {elsewhere.url}: connection refused; trying again"
        async with elsewhere.running(elsewhere.port):
            await stage.hears("connected to the balancer", 2)
            await living.__aexit__(None, None, None)
        assert len(stage.said) == 3

    play(scene)


def test_a_balancer_that_moved_is_looked_for_on_the_network() -> None:
    async def scene(stage: Stage) -> None:
        stage.with_terms(router_url="")
        elsewhere = SmallServer()
        elsewhere.answers = dict(stage.balancer.answers)
        async with stage.living():
            await stage.hears("no balancer on this network yet")
            async with elsewhere.running():
                stage.balancers = [Balancer("home", (elsewhere.url,))]
                await stage.beats(at=elsewhere)
                await stage.hears(f"connected to the balancer home at {elsewhere.url}")
            await stage.hears("no balancer at")
            stage.balancers = [Balancer("home", (stage.balancer.url,))]
            await stage.beats()
            await stage.hears(f"connected to the balancer home at {stage.balancer.url}")

    play(scene)


def test_a_balancer_with_a_new_address_is_followed_at_the_first_miss() -> None:
    async def scene(stage: Stage) -> None:
        stage.with_terms(router_url="", lost_after=1_000)
        elsewhere = SmallServer()
        elsewhere.answers = dict(stage.balancer.answers)
        async with elsewhere.running():
            stage.balancers = [Balancer("home", (elsewhere.url,))]
            living = stage.living()
            await living.__aenter__()
            await stage.hears(f"connected to the balancer home at {elsewhere.url}")
            stage.balancers = [
                Balancer("another", (elsewhere.url,)),
                Balancer("home", (stage.balancer.url,)),
            ]
        await stage.hears(f"connected to the balancer home at {stage.balancer.url}")
        await living.__aexit__(None, None, None)
        assert len(stage.said) == 2

    play(scene)


def test_its_own_address_is_looked_up_for_each_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = iter(["192.0.2.7", "192.0.2.8"])

    def towards(_host: str, _port: int) -> str:
        return next(addresses, "192.0.2.9")

    monkeypatch.setattr("herd.agent.heartbeat.address_towards", towards)

    async def scene(stage: Stage) -> None:
        async with stage.living():
            await stage.beats(3)
        told = [msgspec.json.decode(body)["lan_ip"] for body in stage.balancer.bodies]
        assert told[:3] == ["192.0.2.7", "192.0.2.8", "192.0.2.9"]

    play(scene)


def test_a_refusal_is_said_once_with_its_reason() -> None:
    async def scene(stage: Stage) -> None:
        stage.balancer.answers["/heartbeat"] = (403, {"error": "set FLEET_ALLOW_UNSIGNED_NODES"})
        async with stage.living():
            await stage.beats(4)
            stage.balancer.answers["/heartbeat"] = (200, {"status": "ok"})
            await stage.hears("connected")
        assert stage.said[0] == (
            f"the balancer at {stage.balancer.url} refuses this node: "
            "403 set FLEET_ALLOW_UNSIGNED_NODES"
        )
        assert len(stage.said) == 2

    play(scene)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((200, b"<html>Router"), "200 <html>Router"),
        ((404, b"404 page not found"), "404 404 page not found"),
        ((200, DEEP), "200 "),
        ((403, DEEP), "403 "),
    ],
)
def test_what_is_no_balancer_is_not_taken_for_one(answer: tuple[int, bytes], reason: str) -> None:
    async def scene(stage: Stage) -> None:
        stage.balancer.answers["/heartbeat"] = answer
        async with stage.living():
            await stage.beats(3)
        assert len(stage.said) == 1
        assert stage.said[0].startswith(
            f"what answers at {stage.balancer.url} is no balancer; name one with --router-url: "
            + reason
        )

    play(scene)


def test_who_is_refused_relays_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(stage: Stage) -> None:
        paused = asyncio.Event()

        def pause(_tunnel: Tunnel) -> None:
            paused.set()

        monkeypatch.setattr(Tunnel, "pause", pause)
        async with stage.living():
            await stage.hears("connected")
            assert not paused.is_set()
            stage.balancer.answers["/heartbeat"] = (403, {"error": "another agent speaks"})
            await stage.hears("refuses this node")
        assert paused.is_set()

    play(scene)


def test_a_balancer_that_never_answered_is_missed_once() -> None:
    async def scene(stage: Stage) -> None:
        elsewhere = SmallServer()
        async with elsewhere.running():
            pass
        stage.with_terms(router_url=elsewhere.url)
        async with stage.living():
            await stage.hears("no balancer at")
            await asyncio.sleep(5 * QUICK.interval_s)
        assert len(stage.said) == 1

    play(scene)


def test_a_balancer_in_the_place_of_ollama_is_no_node() -> None:
    """`OLLAMA_HOST` leads clients to the balancer, and is where the agent looks for Ollama."""

    async def scene(stage: Stage) -> None:
        stage.ollama.answers["/api/version"] = (200, {"version": "0.33.0", "herd_version": "0.1.0"})
        async with stage.living():
            beat = await stage.beats(2)
        assert not beat.reachable
        assert not beat.models
        assert stage.said[0] == (
            f"no Ollama at {stage.ollama.url}: a balancer answers there (see OLLAMA_HOST); "
            "start it, or name it with --ollama-host"
        )

    play(scene)


def test_an_ollama_whose_answers_cannot_be_read_does_not_stop_the_heart() -> None:
    async def scene(stage: Stage) -> None:
        stage.ollama.answers["/api/ps"] = (200, DEEP)
        async with stage.living():
            beat = await stage.beats(3)
        assert not beat.reachable

    play(scene)


def test_an_ollama_that_the_balancer_cannot_reach_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def towards(_host: str, _port: int) -> str:
        return "127.1.1.1"

    monkeypatch.setattr("herd.agent.heartbeat.address_towards", towards)
    monkeypatch.setattr("herd.agent.tunnel.is_loopback", "127.0.0.1".__eq__)

    async def scene(stage: Stage) -> None:
        async with stage.living():
            line = await stage.hears("listens on loopback only, not on 127.1.1.1")
            assert "OLLAMA_HOST=0.0.0.0" in line

    play(scene)
