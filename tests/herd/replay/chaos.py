"""A log of a time in which everything goes wrong: unequal nodes, failures, drains, new policies."""

import random
from functools import cache

from actors.core.policies import POLICIES
from events import DrainRequested, NodeDialect, NodeId, NodeSilent, Recorded, SettingsChanged
from tests.actors.cast import MODEL, OTHER_MODEL, configured, heartbeat, probed, unreachable
from tests.actors.fleet import Fleet

NODES = {"ada": 1, "bob": 2, "cyd": 3, "dan": 0, "eve": 4}
"""With their slots; 0: to be learned."""
THIRD_MODEL = "gemma3:4b"
MODELS = (MODEL, MODEL, MODEL, OTHER_MODEL, OTHER_MODEL, THIRD_MODEL, "nobody-has:this")
ROUTES = ("/api/chat", "/v1/chat/completions")


@cache
def chaos(seed: int, steps: int = 1200) -> list[Recorded]:
    """Return the log; nothing in it failed inside herd."""
    chance = random.Random(seed)  # noqa: S311 (a story, no secret)
    fleet = Fleet()
    for name in NODES:
        _answer(fleet, chance, name)
    for _ in range(steps):
        _go_on(fleet, chance)
    assert not fleet.failures()
    return fleet.playing.log


def _go_on(fleet: Fleet, chance: random.Random) -> None:
    running, waiting = fleet.held(in_flight=True), fleet.held(in_flight=False)
    what = chance.random()
    name = chance.choice(list(NODES))
    if what < 0.45:
        fields = {"route": chance.choice(ROUTES), "deadline_s": chance.choice((0.0, 0.0, 30.0))}
        fleet.receive(chance.choice(list(fleet.fronts)), chance.choice(MODELS), **fields)
    elif what < 0.75 and running:
        fleet.complete(*chance.choice(running))
    elif what < 0.83 and running:
        fleet.fail_attempt(*chance.choice(running), chance.choice(("connect", "first_byte")))
    elif what < 0.85 and running:
        fleet.break_off(*chance.choice(running), chance.choice(("node", "client")))
    elif what < 0.87 and (running or waiting):
        fleet.leave(*chance.choice(running or waiting))
    elif what < 0.95:
        _change(fleet, chance, name)
    elif what < 0.96:
        policy = chance.choice(list(POLICIES))
        old = fleet.state.settings.policy
        fleet.play(SettingsChanged(key="policy", old=old, new=policy))
    elif what < 0.963:
        fleet.restart(lost_grants=chance.randrange(3))
        for each in NODES:
            _answer(fleet, chance, each)
    else:
        fleet.wait(chance.choice((0.02, 1.0, 12.0)))


def _change(fleet: Fleet, chance: random.Random, name: str) -> None:
    match chance.randrange(6):
        case 0:
            fleet.play(unreachable(name))
        case 1:
            fleet.play(NodeSilent(node_id=NodeId(name), silent_s=chance.choice((16.0, 31.0))))
        case 2:
            draining = chance.random() < 0.7
            fleet.play(DrainRequested(node_id=NodeId(name), draining=draining, by="ada"))
        case 3:
            fleet.play(heartbeat("gus", MODEL, OTHER_MODEL), next(iter(fleet.fronts)))
        case _:
            _answer(fleet, chance, name)


def _answer(fleet: Fleet, chance: random.Random, name: str) -> None:
    """Let a node say what it has: some models on disk, fewer of them in memory."""
    has = [model for model in (MODEL, OTHER_MODEL, THIRD_MODEL) if chance.random() < 0.8]
    loaded = tuple(model for model in has if chance.random() < 0.5)
    dialect: NodeDialect = "openai" if name == "eve" else "ollama"
    fleet.play(configured(name, NODES[name]))
    fleet.play(probed(name, *has, resident=loaded, dialect=dialect))
    if chance.random() < 0.3:
        fleet.play(DrainRequested(node_id=NodeId(name), draining=False, by="ada"))
