"""What-if against the truth: fleets and policies A and B, both played on the same machines.

Only the log of A is shown to what-if, as it would be written. It re-runs A and predicts B; the
truth is B, played on the true machines with the true lengths. All pairs are drawn from their seeds:
`seen` ones were looked at while the models were made, `held out` ones were not.

The truth is chance, too: where herd learns slots, or a node is nearly full, a millisecond decides.
So A and B are truly played three times, with arrivals shifted by less than 2 ms, and the median is
taken. How far the true change differs from play to play is published beside the error.
"""

import argparse
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from random import Random
from time import perf_counter

import msgspec

from actors.core.state import State
from benchmarks.machine import Json, Row, begin, publish, quantile, table
from events import (
    ConfigurationLoaded,
    NodeConfigured,
    NodeFacts,
    NodeId,
    NodeProbed,
    Recorded,
    decode,
    encode,
)
from herd.platform import core_count
from herd.simulator.hardware import NodeSpec, decode_tokens_per_s, prefill_tokens_per_s, slots_for
from herd.simulator.physics import Machine
from herd.simulator.profiles import mini, studio, tower, with_slots
from herd.virtual.script import Arrival, Happening, Line
from herd.virtual.traffic import CHAT_ANSWERS, CHAT_PROMPTS, Share, traffic
from herd.virtual.world import World
from herd.whatif.change import Change
from herd.whatif.compare import answer
from herd.whatif.evidence import gather
from herd.whatif.figures import Figures, figure, figures, middle

START_US = 1_760_000_000_000_000
SEEN = (*range(1, 25), 1007, 1021, 1027)
HELD_OUT = range(3001, 3041)
PLAIN = ("resident-first", "least-connections", "round-robin", "random")
"""The policies that the seen pairs are drawn from; named here, so that a seed stays its pair."""
ALL = ("soonest", *PLAIN)
"""Those that the held out pairs are drawn from."""
PLAYS = 3
SHIFT_US = 2000
REQUESTS = 1500
MODELS = ("llama3.2:3b", "qwen2.5:7b", "llama3.3:70b")
FLEETS = (
    (studio, tower, mini),
    (studio, tower),
    (tower, mini),
    (studio, mini),
    (tower, tower, mini),
    (studio, studio, tower, mini),
)
KINDS = ("policy", "policy", "without", "add", "slots", "policy")
UTILISATION = (0.3, 0.95)
ALIKE = 0.02
"""Where the truth differs by less, there is no winner."""
LEAST_S = 0.1
"""Of a time that is so short already, a change is not told in per cent."""
TIMES = ("completion", "ttft", "wait")


class Pair(msgspec.Struct, frozen=True):
    """A and B."""

    seed: int
    kind: str
    specs: tuple[NodeSpec, ...]
    told: bool
    """The nodes tell their slots and memory, as with agents; else herd has to find out."""
    policy: str
    change: Change
    arrivals: tuple[Arrival, ...]
    says: str


class Measured(msgspec.Struct, frozen=True):
    """What came of a pair."""

    seed: int
    kind: str
    says: str
    a: Figures
    """Truly; the median of the plays."""
    again: Figures
    b: Figures
    """Truly; the median of the plays."""
    whatif: Figures
    took_s: float
    chance: tuple[float, float]
    """The least and the largest true change of p95 of completion, from play to play."""
    undecided: bool
    """What-if says that neither is better, as its own plays reach into one another."""

    def certain(self) -> bool:
        """Whether every true play has the same winner."""
        return self.chance[0] > 1 + ALIKE or self.chance[1] < 1 - ALIKE

    def change(self, time: str) -> tuple[float, float]:
        """Return how many times as long p95 is in B, in truth and as predicted."""
        real = figure(self.b, time, "p95") / max(1e-3, figure(self.a, time, "p95"))
        told = figure(self.whatif, time, "p95") / max(1e-3, figure(self.again, time, "p95"))
        return real, told

    def error(self, time: str) -> float:
        """Return by how much the predicted change misses the true one."""
        real, told = self.change(time)
        return told / real - 1 if real else 0.0

    def right(self) -> bool | None:
        """Whether it names the better of the two by p95 of completion; None: they are alike."""
        real, told = self.change("completion")
        return None if abs(real - 1) <= ALIKE else (real > 1) == (told > 1)


def drawn(seed: int) -> Pair:
    """Return the pair of a seed."""
    policies = PLAIN if seed in SEEN else ALL
    random = Random(seed)  # noqa: S311 (a sample of fleets)
    made = random.choice(FLEETS)
    specs = tuple(
        msgspec.structs.replace(profile(), name=f"{profile().name}{place}")
        for place, profile in enumerate(made, start=1)
    )
    there = [name for name in MODELS if any(_has(spec, name) for spec in specs)]
    mix = [Share(random.uniform(1, 5), name) for name in there if random.random() < 0.7]
    mix = mix or [Share(1, there[0])]
    told, policy = random.random() < 0.5, random.choice(policies)
    kind, change = _change(random, seed, specs, [p for p in policies if p != policy], mix)
    used = random.uniform(*UTILISATION)
    burstiness = random.choice((1.0, 1.5, 2.0))
    per_s = used * _capacity_per_s(specs, mix)
    arrivals = traffic(
        mix,
        count=REQUESTS,
        per_s=per_s,
        start_us=START_US + 1_000_000,
        seed=seed,
        burstiness=burstiness,
    )
    fleet = "+".join(spec.name for spec in specs)
    models = " ".join(share.model for share in mix)
    how = "told" if told else "not told"
    says = f"{fleet} {how}, {models}, {used:.0%} used: {policy} -> {', '.join(change.words())}"
    return Pair(seed, kind, specs, told, policy, change, tuple(arrivals), says)


def _change(
    random: Random,
    seed: int,
    specs: Sequence[NodeSpec],
    others: Sequence[str],
    mix: Sequence[Share],
) -> tuple[str, Change]:
    kind, models = KINDS[seed % len(KINDS)], [share.model for share in mix]
    if kind == "without":
        spare = [
            spec
            for spec in specs
            if all(any(_has(other, m) for other in specs if other is not spec) for m in models)
        ]
        if spare:
            return kind, Change(without=(NodeId(random.choice(spare).name),))
        kind = "policy"
    if kind == "add":
        return kind, Change(added={NodeId("new"): random.choice(specs).name})
    if kind == "slots":
        spec = random.choice(specs)
        return kind, Change(slots={NodeId(spec.name): spec.facts.slots * 2})
    return kind, Change(settings={"policy": random.choice(others)})


def _has(spec: NodeSpec, name: str) -> bool:
    return any(model.facts.name == name for model in spec.models)


def _capacity_per_s(specs: Sequence[NodeSpec], mix: Sequence[Share]) -> float:
    """Return about how many requests of a mix a fleet serves in a second."""
    whole = sum(share.weight for share in mix)
    needed = 0.0
    for share in mix:
        rate = 0.0
        for spec in specs:
            for model in spec.models:
                if model.facts.name == share.model:
                    slots = slots_for(spec, model)
                    decode_s = (
                        CHAT_ANSWERS.median_tokens * 1.2 / decode_tokens_per_s(spec, model, slots)
                    )
                    prompt_s = CHAT_PROMPTS.median_tokens * 1.2 / prefill_tokens_per_s(spec, model)
                    rate += 1 / (decode_s + prompt_s)
        needed += share.weight / whole / rate
    return 1 / needed


def fleet(pair: Pair, specs: Sequence[NodeSpec], policy: str) -> Iterator[Line]:
    """Yield what control learns of a fleet."""
    urls = {spec.name: f"http://{spec.name}:11434" for spec in specs}
    settings = ConfigurationLoaded(settings={"policy": policy, "nodes": " ".join(urls.values())})
    yield Happening(at_us=START_US, fact=settings)
    for spec in specs:
        node_id = NodeId(spec.name)
        slots = pair.change.slots.get(node_id, 0) if spec not in pair.specs else 0
        facts = spec.facts if pair.told else NodeFacts(version=spec.facts.version)
        models = tuple(model.facts for model in spec.models)
        named = NodeConfigured(node_id=node_id, url=urls[spec.name], slots=slots)
        probed = NodeProbed(
            node_id=node_id, reachable=True, facts=facts, resident=(), models=models
        )
        yield Happening(at_us=START_US, fact=named)
        yield Happening(at_us=START_US, fact=probed)


def played(
    pair: Pair, specs: Sequence[NodeSpec], policy: str, play: int = 0
) -> tuple[Figures, list[bytes]]:
    """Play the truth; return its figures and its log. Any play but the first is shifted."""
    log: list[bytes] = []
    random = Random(play)  # noqa: S311 (a shift)
    arrivals = [
        msgspec.structs.replace(
            each, at_us=each.at_us + (random.randrange(SHIFT_US) if play else 0)
        )
        for each in pair.arrivals
    ]
    arrivals.sort(key=lambda each: each.at_us)

    def write(record: Recorded) -> None:
        log.append(encode(record))

    machines = {NodeId(spec.name): Machine(spec) for spec in specs}
    world = World(machines, start_us=START_US, observe=write)
    world.run([*fleet(pair, specs, policy), *arrivals])
    return figures(world.outcomes), log


def truly(pair: Pair) -> tuple[list[NodeSpec], str]:
    """Return the machines and the policy of B."""
    change = pair.change
    specs = [spec for spec in pair.specs if spec.name not in change.without]
    specs = [
        with_slots(spec, change.slots[NodeId(spec.name)]) if spec.name in change.slots else spec
        for spec in specs
    ]
    for node_id, like in change.added.items():
        (model,) = [spec for spec in pair.specs if spec.name == like]
        specs.append(msgspec.structs.replace(model, name=node_id))
    return specs, str(change.settings.get("policy", pair.policy))


def measured(seed: int) -> Measured:
    """Play both, and ask what-if."""
    pair = drawn(seed)
    first, log = played(pair, pair.specs, pair.policy)
    a = [first, *(played(pair, pair.specs, pair.policy, play)[0] for play in range(1, PLAYS))]
    b = [played(pair, *truly(pair), play)[0] for play in range(PLAYS)]
    changes = [new.completion.p95 / was.completion.p95 for was, new in zip(a, b, strict=True)]
    began = perf_counter()
    told, _ = answer(gather(State(), map(decode, log)), pair.change)
    took_s = perf_counter() - began
    assert told.whatif is not None
    assert told.recorded == first
    chance = min(changes), max(changes)
    return Measured(
        seed=seed,
        kind=pair.kind,
        says=pair.says,
        a=middle(a),
        again=told.rerun,
        b=middle(b),
        whatif=told.whatif,
        took_s=took_s,
        chance=chance,
        undecided=any("neither is better" in doubt for doubt in told.doubts),
    )


def summary(results: Sequence[Measured]) -> dict[str, Json]:
    """Return the errors of some pairs."""
    told: dict[str, Json] = {"pairs": len(results), "all": _errors(results)}
    told["that_differ"] = _errors([each for each in results if each.right() is not None])
    judged = [each for each in results if each.right() is not None]
    told["winners"] = len(judged)
    told["winners_right"] = sum(bool(each.right()) for each in judged)
    decided = [each for each in judged if not each.undecided]
    told["decided_winners"] = len(decided)
    told["decided_winners_right"] = sum(bool(each.right()) for each in decided)
    certain = [each for each in judged if each.certain()]
    told["certain_winners"] = len(certain)
    told["certain_winners_right"] = sum(bool(each.right()) for each in certain)
    spreads = [each.chance[1] / each.chance[0] - 1 for each in results]
    told["true_change_spread_median"] = round(quantile(spreads, 0.5), 4)
    told["true_change_spread_largest"] = round(max(spreads), 4)
    own = [figure(r.again, "completion", "p95") / figure(r.a, "completion", "p95") for r in results]
    told["rerun_completion_p95_error_median"] = round(quantile([abs(o - 1) for o in own], 0.5), 4)
    told["rerun_completion_p95_error_largest"] = round(max(abs(o - 1) for o in own), 4)
    return told


def _errors(results: Sequence[Measured]) -> dict[str, Json]:
    """Return the errors of the change of p95, of pairs where A has any such time at all."""
    told: dict[str, Json] = {}
    for time in TIMES:
        errors = [
            abs(each.error(time)) for each in results if figure(each.a, time, "p95") > LEAST_S
        ]
        told[time] = {
            "pairs": len(errors),
            "median": round(quantile(errors, 0.5), 4),
            "p90": round(quantile(errors, 0.9), 4),
            "largest": round(max(errors, default=0.0), 4),
            "within_15_percent": sum(error <= 0.15 for error in errors),
        }
    return told


def _shown(results: Sequence[Measured]) -> list[Row]:
    return [
        [
            f"{each.seed} {each.kind}: {each.says}",
            figure(each.a, "completion", "p95"),
            figure(each.again, "completion", "p95"),
            figure(each.b, "completion", "p95"),
            figure(each.whatif, "completion", "p95"),
            *(f"{each.error(time):+.1%}" for time in TIMES),
            f"{each.chance[0]:.2f}-{each.chance[1]:.2f}",
            {None: "-", True: "right", False: "WRONG"}[each.right()],
        ]
        for each in results
    ]


def measure(groups: dict[str, Sequence[int]], *, keep: bool) -> None:
    """Measure, show and keep all of it."""
    result: dict[str, Json] = {"machine": begin("whatif"), "requests": REQUESTS}
    head = ("pair", "A", "re-run", "B", "what if", *TIMES, "true change", "winner")
    with ProcessPoolExecutor(max(1, core_count())) as pool:
        for name, seeds in groups.items():
            results = list(pool.map(measured, seeds))
            told = summary(results)
            print(
                table(
                    f"{name}: p95 of completion, s, and errors of its change", head, _shown(results)
                )
            )
            print("\n" + "\n".join(f"{key}: {value}" for key, value in told.items()))
            pairs: list[Json] = [msgspec.to_builtins(each) for each in results]
            result[name] = {"summary": told, "pairs": pairs}
    publish("whatif", result, keep=keep)


def main(arguments: list[str] | None = None) -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.whatif", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="four pairs, nothing kept")
    parser.add_argument("--seen", action="store_true", help="only these pairs, nothing kept")
    told = parser.parse_args(arguments)
    if told.quick or told.seen:
        measure({"seen": SEEN[:4] if told.quick else SEEN}, keep=False)
    else:
        measure({"seen": SEEN, "held out": HELD_OUT}, keep=True)


if __name__ == "__main__":
    main()
