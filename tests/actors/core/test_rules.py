"""What the editions of the rules decide otherwise: a log of before is decided again by its own."""

from collections import Counter

import pytest

from actors.core.standing import nowhere
from actors.core.state import State, dump, load
from events import (
    CarriedRequest,
    ControlStarted,
    FrontConnected,
    Lease,
    Limits,
    LoadFinished,
    ModelFacts,
    ModelPinned,
    NodeConfigured,
    NodeDiscovered,
    NodeFacts,
    NodeSilent,
    RecoveryEnded,
    ResidentModel,
    StreamsProgressed,
    StreamStarted,
    TimerFired,
)
from herd.control.restore import apply
from tests.actors.cast import (
    MODEL,
    OTHER_MODEL,
    SIZE_BYTES,
    attempt_failed,
    book,
    cancelled,
    completed,
    configured,
    heartbeat,
    in_memory,
    nid,
    node,
    probed,
    received,
    rid,
    settings,
    url,
)
from tests.playbook import FRONT, OTHER_FRONT, Cue, Playbook, after, by

RULES = pytest.mark.parametrize("rules", [0, 1])
ANSWER_S = 10.0


class Clients:
    """Applications that ask, and nodes that take `ANSWER_S` for each answer."""

    def __init__(self, *hosts: tuple[Cue, ...], **chosen: float) -> None:
        first = settings(policy="soonest", fair_shares=True, predictions=True, **chosen)
        self.play = book(first, *hosts)
        self.asked = 0
        self.got: Counter[tuple[str, str]] = Counter()

    def ask(self, app: str, model: str = MODEL) -> str:
        self.asked += 1
        self.play.given(received(f"q{self.asked}", model, app=app))
        return f"q{self.asked}"

    def keep(self, app: str, count: int, model: str = MODEL) -> None:
        """Ask as often as so many then wait or run, if none is refused."""
        there = sum(r.app == app and r.model == model for r in self.play.state.requests.values())
        for _ in range(count - there):
            self.ask(app, model)

    def waiting(self, app: str) -> list[str]:
        return [
            r.request_id for r in self.play.state.requests.values() if r.app == app and not r.lease
        ]

    def work(self, *models: str) -> None:
        """Time passes, and all that run are answered."""
        self.play.given(after(ANSWER_S), TimerFired())
        held = self.play.state.requests.values()
        for it in [each for each in held if each.lease and each.model in models]:
            usage = {"prompt_tokens": 100, "ttft_s": 0.5, "usage_source": "reported"}
            told = {"service_s": ANSWER_S, **usage}
            self.play.given(completed(it.request_id, it.node_id, it.lease, it.model, **told))
            self.got[it.app, it.model] += 1

    def warm(self, *models: str) -> None:
        """It is learned how long answers take."""
        for _ in range(12):
            for model in models:
                self.ask("warm", model)
            self.work(*models)


@RULES
def test_who_is_refused_gets_his_share_when_he_asks_again(rules: int) -> None:
    scene = Clients(node("ada", slots=1), rules=rules, max_queue=6)
    scene.warm(MODEL)
    for _ in range(3):
        scene.ask("x")
        scene.ask("y")
    for _ in range(100):
        scene.work(MODEL)
        scene.keep("y", 3)
        scene.keep("x", 8)

    assert (scene.got["x", MODEL] > 40) is bool(rules), scene.got


@RULES
def test_who_leaves_gets_his_share_when_he_asks_again(rules: int) -> None:
    scene = Clients(node("ada", slots=1), rules=rules)
    scene.warm(MODEL)
    scene.keep("y", 3)
    scene.keep("x", 4)
    for _ in range(100):
        scene.work(MODEL)
        scene.keep("y", 3)
        for name in scene.waiting("x")[:2]:
            scene.ask("x")
            scene.play.given(cancelled(name))
        scene.keep("x", 4)

    assert (scene.got["x", MODEL] > 40) is bool(rules), scene.got


@RULES
def test_who_had_much_of_one_model_waits_for_another_no_longer_than_the_bound(rules: int) -> None:
    hosts = [node(name, MODEL, slots=1) for name in ("a0", "a1", "a2")]
    scene = Clients(*hosts, node("b", OTHER_MODEL, slots=1), rules=rules, shares_over_models=True)
    scene.warm(MODEL, OTHER_MODEL)
    for turn in range(420):
        scene.keep("x", 6, OTHER_MODEL)
        scene.keep("y", 6, OTHER_MODEL)
        if turn < 360:
            scene.keep("x", 8)
        elif turn == 360:
            scene.got.clear()
        scene.work(MODEL, OTHER_MODEL)

    assert (scene.got["x", OTHER_MODEL] > 20) is bool(rules), scene.got


@pytest.mark.parametrize(("rules", "counted_s"), [(0, 30), (1, 10)])
def test_what_failed_counts_once_as_work_that_an_application_got(
    rules: int, counted_s: int
) -> None:
    hosts = [node(name, MODEL, slots=1) for name in ("n1", "n2", "n3")]
    scene = Clients(*hosts, node("b", OTHER_MODEL, slots=1), rules=rules, shares_over_models=True)
    scene.warm(MODEL, OTHER_MODEL)
    for _ in range(4):
        scene.ask("y", OTHER_MODEL)
    scene.ask("x", OTHER_MODEL)
    name = scene.ask("x")
    for _ in range(2):
        it = scene.play.state.requests[rid(name)]
        scene.play.given(attempt_failed(name, it.node_id, it.lease))

    [used] = [each for each in scene.play.state.used if each.app == "x"]
    assert round(used.work_us / 1e6) == counted_s


@RULES
def test_a_half_open_circuit_is_tried_beside_what_was_sent_before_it_opened(rules: int) -> None:
    play = book(settings(rules=rules, max_retries=0), *node("ada", slots=4))
    begun = StreamStarted(
        request_id=rid("long"), model=MODEL, node_id=nid("ada"), lease=Lease("1.1"), ttft_s=0.1
    )
    play.given(received("long"), begun)
    for name in ("r2", "r3", "r4"):
        play.given(received(name))
        play.given(attempt_failed(name, "ada", play.state.requests[rid(name)].lease))
    play.given(received("r5"), received("r6"))
    for second in range(1, 15):
        told = StreamsProgressed(progress=((rid("long"), 20 * second),))
        play.given(after(1.0), told, TimerFired())

    circuit = play.state.nodes[nid("ada")].circuits[MODEL]
    assert circuit.status == "half_open"
    assert bool(play.state.requests[rid("r5")].lease) is bool(rules)
    assert not play.state.requests[rid("r6")].lease  # one tries

    play.given(attempt_failed("long", "ada", Lease("1.1")))
    assert circuit.open_s == 10.0
    again = play.state.nodes[nid("ada")].circuits[MODEL]
    assert again.status == ("half_open" if rules else "open")


@RULES
def test_a_pinned_model_gives_way_where_its_owner_lends_no_more_and_comes_back(rules: int) -> None:
    lent = Limits(max_bytes=int(SIZE_BYTES * 1.5))
    ada = heartbeat("ada", MODEL, OTHER_MODEL, resident=in_memory(MODEL), limits=lent)
    pin = ModelPinned(node_id=nid("ada"), model=MODEL, by="op")
    play = book(settings(rules=rules, policy="soonest"), ada, pin)
    for number in range(8):  # somebody always asks for it
        play.given(received(f"m{number}"))
    play.given(received("other", OTHER_MODEL))
    for second in range(120):
        play.given(after(1.0), TimerFired())
        ada_now = play.state.nodes[nid("ada")]
        if ada_now.planned is not None:
            loaded = ada_now.planned.model
            play.given(LoadFinished(node_id=ada_now.node_id, model=loaded, load_s=1.0))
            facts = {"resident": in_memory(loaded), "limits": lent}
            play.given(heartbeat("ada", MODEL, OTHER_MODEL, **facts))
        for request in list(play.state.requests.values()):
            if request.lease:
                play.given(completed(request.request_id, "ada", request.lease, request.model))
        if second < 60:
            play.given(received(f"n{second}"))

    waits = [it.request_id for it in play.state.requests.values()]
    assert ("other" in waits, len(waits) > 10) == ((False, False) if rules else (True, True))
    assert list(play.state.nodes[nid("ada")].resident) == [MODEL]


@RULES
def test_nobody_is_promised_room_whose_front_is_away(rules: int) -> None:
    chosen: dict[str, float | str] = {"rules": rules, "policy": "soonest"}
    facts = NodeFacts(version="0.9", max_loaded_models=1)
    seen = heartbeat("ada", MODEL, OTHER_MODEL, resident=in_memory(MODEL), facts=facts)
    play = book(settings(**chosen), seen)
    play.given(received("mine"))
    play.given(by(OTHER_FRONT, received("other", OTHER_MODEL)))
    lease = play.state.requests[rid("mine")].lease
    runs = CarriedRequest(rid("mine"), MODEL, nid("ada"), lease)
    play.given(ControlStarted(epoch=2, version="test"), settings(**chosen))
    play.given(by(FRONT, FrontConnected(front=1, in_flight=(runs,))))
    play.given(RecoveryEnded(fronts=1, awaited=(OTHER_FRONT,)))
    for _ in range(25):
        play.given(after(1.0), TimerFired())

    assert bool(play.state.promises) is not bool(rules)


@RULES
def test_an_agent_that_moves_to_a_named_node_speaks_for_it(rules: int) -> None:
    play = book(settings(rules=rules), *node("bob", slots=1), heartbeat("ada", MODEL))
    play.given(heartbeat("ada", MODEL, url=url("bob")))

    assert (nid("bob") in play.state.nodes) is not bool(rules)


@RULES
def test_an_agent_that_has_moved_leaves_its_old_address_to_others(rules: int) -> None:
    old = "http://10.0.0.5:11434"
    play = book(settings(rules=rules, nodes=old), heartbeat("ada", MODEL, url=old))
    play.given(NodeSilent(node_id=nid("ada"), silent_s=31.0))
    play.given(NodeConfigured(node_id=nid("other"), url=old), probed("other", MODEL))
    play.given(heartbeat("ada", MODEL, url="http://10.0.0.9:11434"))

    assert (nid("other") in play.state.nodes) is bool(rules)


@RULES
def test_what_the_owner_loaded_and_herd_unloaded_is_too_large_again(rules: int) -> None:
    large = "big:70b"
    sizes = {MODEL: SIZE_BYTES, large: 5 * SIZE_BYTES}
    disk = tuple(ModelFacts(name=name, size_bytes=size) for name, size in sizes.items())
    lent = Limits(max_bytes=2 * SIZE_BYTES)
    beat = heartbeat("ada", facts=NodeFacts(version="0.9"), models=disk, limits=lent)
    play = book(settings(rules=rules, policy="soonest"), beat)
    ada = play.state.nodes[nid("ada")]
    assert ada.too_large == [large]
    his = (ResidentModel(name=large, size_bytes=sizes[large]),)
    play.given(heartbeat("ada", models=disk, resident=his, limits=lent))
    assert ada.too_large == []
    play.given(received("r1"), after(1.0), TimerFired())
    play.given(LoadFinished(node_id=nid("ada"), model=MODEL, error="answered 500"))

    assert not ada.resident
    assert ada.too_large == ([large] if rules else [])


def test_what_is_kept_of_a_row_follows_slots_that_are_no_longer_told() -> None:
    told = heartbeat("ada", MODEL, facts=NodeFacts(version="0.9", slots=2))
    play = book(settings(), told, *(received(f"r{n}") for n in range(5)))
    play.given(cancelled("r4"))
    assert nowhere(play.state, MODEL)

    play.given(heartbeat("ada", MODEL, facts=NodeFacts(version="0.9")))

    anew: State = load(dump(play.state))
    assert nowhere(play.state, MODEL) == nowhere(anew, MODEL) is False


def test_a_node_whose_discovery_was_cut_off_is_discovered_and_counts_right() -> None:
    play = book(settings(rules=1), configured("ada", 2), probed("ada", MODEL, resident=(MODEL,)))
    play.given(received("r1"), received("r2"))
    play.given(settings(rules=1))  # forgotten, and both run on
    play.given(configured("ada", 2))
    lines = [type(record.event) for record in play.log]
    cut = len(lines) - 1 - lines[::-1].index(NodeDiscovered)
    state = State()
    for record in play.log[:cut]:
        apply(state, record)
    ada = state.nodes[nid("ada")]
    assert not ada.announced

    again = Playbook()
    again.state, again.now_us, again.log = state, state.recorded_at + 1000, play.log[:cut]
    again.given(ControlStarted(epoch=2, version="test"), RecoveryEnded(fronts=0))
    assert ada.in_flight == 0
    again.given(configured("ada", 2))
    assert ada.announced
