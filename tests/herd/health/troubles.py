"""What is done to simulated fleets so that checks fire: each a scene of its own."""

from msgspec.structs import replace

from actors.core.placement import Choice
from actors.core.policies import place
from actors.core.state import Request, State
from events import Event, Limits, ModelPinned, NodeId, NodeKnocked, NodeSilent
from herd.simulator.hardware import NodeSpec
from herd.simulator.physics import Job, Machine, Output, Refused
from herd.simulator.profiles import LLAMA_3B, QWEN3_4B, QWEN_7B, mini, tower
from herd.virtual.script import Arrival
from tests.herd.health.scenes import VERSION, Deed, Scene

GIB = 1 << 30
TOWER, STUDIO = NodeId("tower"), NodeId("studio")
SMALL = replace(tower(), models=(LLAMA_3B, QWEN_7B))


def sized(gib: float, slots: int = 1, context_tokens: int = 8192) -> NodeSpec:
    """Return the tower with so much memory on its card."""
    facts = replace(SMALL.facts, vram_bytes=int(gib * GIB), slots=slots)
    return replace(SMALL, facts=facts, context_tokens=context_tokens)


# Agents and their nodes


def goes_silent(silent_s: float, *names: str) -> Deed:
    def does(scene: Scene) -> list[Event]:
        scene.silent |= set(names)
        return [NodeSilent(node_id=NodeId(name), silent_s=silent_s) for name in names]

    return does


def silent(silent_s: float, *names: str) -> Scene:
    return Scene(does={119: goes_silent(silent_s, *names)})


def asleep(*, wakes: bool) -> Scene:
    """The tower falls asleep, and is wanted: it alone has a model that is asked for."""
    macs = Limits(macs=("3c:7c:3f:00:00:01",))
    scene = Scene(
        SMALL,
        mini(),
        hours=1,
        does={0: says("tower", limits=macs), 30: goes_silent(31, "tower")},
    )
    if not wakes:
        scene.unwakeable.add(TOWER)
    return scene


def says(name: str, **otherwise: object) -> Deed:
    def does(scene: Scene) -> None:
        scene.said[name] = otherwise

    return does


def paused() -> Scene:
    return Scene(does={100: says("studio", limits=Limits(paused="its owner is using it"))})


def older() -> Scene:
    facts = replace(tower().facts, agent_version="0.9")
    return Scene(does={0: says("tower", facts=facts)})


def knocking() -> Scene:
    knock = NodeKnocked(node_id=NodeId("new"), node_key="k", url="http://new:11434", by="192.0.2.1")
    return Scene(does={100: lambda _: [knock]}, join="ask")


def pinned(model: str, *, breaks: bool = False) -> Scene:
    """A model pinned on the tower, which may fail to load it."""
    pin = ModelPinned(node_id=TOWER, model=model)
    scene = Scene(does={30: lambda _: [pin]})
    if breaks:
        scene.machines[TOWER] = Breaks(tower(), {model})
    return scene


# Machines


class Breaks(Machine):
    """One that fails some models, each time or now and then."""

    def __init__(self, spec: NodeSpec, models: set[str], every: int = 1) -> None:
        super().__init__(spec)
        self._broken, self._every, self._asked = models, every, 0

    def submit(self, now_s: float, job: Job) -> list[Output]:
        self._asked += 1
        if job.model in self._broken and self._asked % self._every == 0:
            said = "llama runner process has terminated"
            return [*self.advance(now_s), Refused(job.id, now_s, 500, said)]
        return super().submit(now_s, job)


class Deaf(Machine):
    """One that takes what comes, and does nothing."""

    def submit(self, now_s: float, job: Job) -> list[Output]:
        del job
        return self.advance(now_s)


def failing_now_and_then() -> Scene:
    scene = Scene()
    for name in (TOWER, STUDIO):
        scene.machines[name] = Breaks(scene.machine(name).spec, {"llama3.2:3b", "qwen2.5:7b"}, 2)
    return scene


def deaf() -> Scene:
    scene = Scene(hours=4)
    scene.machines[TOWER] = Deaf(tower())
    return scene


def slowed(times: float) -> Deed:
    """Throttle the tower by so much, also what is under way."""

    def does(scene: Scene) -> None:
        machine = scene.machine("tower")
        facts = machine.spec.facts
        slow = replace(facts, bandwidth_bytes_per_s=int(facts.bandwidth_bytes_per_s / times))
        machine.spec = replace(
            machine.spec, facts=slow, flops_per_s=machine.spec.flops_per_s / times
        )
        for runner in machine.runners.values():
            runner.spec = machine.spec

    return does


def throttled(per_hour: int) -> Scene:
    return Scene(hours=3, per_hour=per_hour, does={120: slowed(8)})


def card_lost(*, told: bool) -> Scene:
    """The tower alone; it loses its card, and its agent may know that it has one."""

    def lose(scene: Scene) -> None:
        machine = scene.machine("tower")
        for name in list(machine.runners):
            machine.unload(60.0 * scene.minute, name)
        facts = replace(machine.spec.facts, vram_bytes=0, bandwidth_bytes_per_s=60_000_000_000)
        machine.spec = replace(machine.spec, facts=facts, offload_bytes=64 * GIB)
        if not told:
            scene.said["tower"] = {"facts": replace(facts, agent_version=VERSION)}

    return Scene(SMALL, per_hour=30, does={60: lose})


def stops_at(minute: int) -> Scene:
    """Long streams are under way on the tower when all of it stands still."""

    def longer(arrival: Arrival) -> Arrival:
        request = replace(arrival.request, stream=True)
        return replace(arrival, request=request, output_tokens=5_000)

    return Scene(SMALL, hours=1, asks=longer, does={minute: slowed(1e9)}, per_hour=30)


# What clients do


def naming(contexts: dict[str, int], model: str = "llama3.2:3b", others: int = 0) -> Scene:
    """Ask the tower for one model, some applications with a context of their own."""

    def asks(arrival: Arrival) -> Arrival | None:
        request = arrival.request
        if request.model != model:
            return None
        return replace(arrival, request=replace(request, num_ctx=contexts.get(request.app, others)))

    return Scene(SMALL, asks=asks)


def writing(body_bytes: int) -> Scene:
    """One application sends so much, of which the node reads what its context holds."""

    def asks(arrival: Arrival) -> Arrival:
        if arrival.request.app != "app-0":
            return arrival
        read = min(8192, body_bytes // 4)
        return replace(
            arrival, request=replace(arrival.request, body_bytes=body_bytes), prompt_tokens=read
        )

    return Scene(SMALL, asks=asks, per_hour=30)


def for_the_large(patience_s: float) -> Scene:
    """Ask for a large model now and then, and wait so long for it."""

    def asks(arrival: Arrival) -> Arrival | None:
        if arrival.request.request_id[-1] not in "05":
            return None
        request = replace(arrival.request, model="llama3.3:70b")
        return replace(arrival, request=request, patience_s=patience_s, output_tokens=50)

    return Scene(asks=asks)


def crowded(per_hour: int, deadline_s: float = 0.0) -> Scene:
    """A small machine, and beside it a large one without any model that is asked for."""

    def asks(arrival: Arrival) -> Arrival | None:
        if arrival.request.model != "llama3.2:3b":
            return None
        return replace(arrival, request=replace(arrival.request, deadline_s=deadline_s))

    return Scene(
        mini(),
        replace(tower(), name="idle", models=(QWEN3_4B,)),
        hours=1,
        per_hour=per_hour,
        asks=asks,
    )


def beside(first: int, last: int) -> Scene:
    """Somebody asks the studio itself, once in each of these minutes."""

    def ask(scene: Scene) -> None:
        job = Job(id=10**9 + scene.minute, model="llama3.3:70b", prompt_tokens=10, output_tokens=5)
        scene.machine("studio").submit(60.0 * scene.minute, job)

    return Scene(does=dict.fromkeys(range(first, last + 1), ask))


# herd itself


def raising() -> Scene:
    """One of fifty decisions raises."""
    asked = iter(range(1, 10**6))

    def policy(state: State, request: Request) -> Choice | None:
        if next(asked) % 50 == 0:
            raise ValueError("no reason")
        return place(state, request)

    return Scene(policy=policy)


def records(*, on: bool) -> Deed:
    def does(scene: Scene) -> None:
        scene.watch.recording = on

    return does


def unrecorded(minute: int, until: int) -> Scene:
    return Scene(does={minute: records(on=False), until: records(on=True)})


def behind() -> Scene:
    """logd stands still for the second hour."""

    def stand(scene: Scene) -> None:
        scene.watch.look(scene.watch.state.recorded_at)
        scene.watch.takes_in = False

    return Scene(does={60: stand})


def looked_at(after_s: float) -> Scene:
    """Look so much later than the newest event by the machine's clock, which may have gone back."""
    scene = Scene()
    scene.look_after_s = after_s
    return scene
