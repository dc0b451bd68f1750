"""The oracle: what one could do who knows every service time, the machines and their memory.

A central queue that binds late. Whenever anything happens, those who wait are looked at in order,
and each goes where it and those that it delays lose least by what is true, or waits on. It sees the
machines themselves, at once, and knows how long each answer will be and how often each model will
be asked for. It does not know when the next request comes, and loads nothing before that.

No one rule is best in every run. So there are several (`RULES`), and a bound is the best of them.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from heapq import heapify, heapreplace
from typing import Literal, NamedTuple

from actors.core.state import US
from benchmarks.placement.truth import Truth, working
from benchmarks.placement.workload import best_s
from herd.simulator.hardware import DEFAULT_LOADED_MODELS, NodeSpec
from herd.simulator.physics import NEVER, Finished, Job, Loaded, Machine, Output, Refused, Tokens
from herd.simulator.runner import Runner
from herd.virtual.script import Arrival, Outcome

HORIZON_S = 120.0
"""A model that is asked for within this time is missed."""

LOOKED_AT = 4
"""Of those who wait for one model, at one instant: the first ones by the order."""


class Rules(NamedTuple):
    """How it weighs; times are over the least that a request can take."""

    order: Literal["came", "short", "due"] = "short"
    """Who is looked at first: who came first; whose answer takes least; of these, who can still
    be in time."""
    others: float = 1.0
    """The weight of what those that run lose."""
    eviction: float = 10.0
    """The weight of bringing back what has to go."""
    loading: float = 0.25
    """The weight of a load itself."""
    stood: float = 0.0
    """How much of what the first of a line has waited counts for going at once."""
    ahead: float = 0.0
    """The weight of what a load saves those who will ask within `HORIZON_S`."""
    patient: bool = False
    """Whether one may wait for another model to have no work on a machine."""


class Option(NamedTuple):
    """What a request could do."""

    cost: float
    node: str
    leaving: tuple[str, ...] = ()
    goes: bool = True


class Waiting(NamedTuple):
    """A request that is nowhere yet."""

    arrival: Arrival
    least_s: float
    due_s: float

    @property
    def model(self) -> str:
        """The model that it is for."""
        return self.arrival.request.model


class Oracle:
    """One run on one fleet."""

    def __init__(
        self, specs: Sequence[NodeSpec], asked: Sequence[Arrival], rules: Rules, start_us: int
    ) -> None:
        """Look at everything that will be asked; instants are counted from `start_us`."""
        self.outcomes: list[Outcome] = []
        self._rules = rules
        self._start_us = start_us
        self._asked = asked
        self._machines = {spec.name: Machine(spec) for spec in specs}
        self._due_s = dict.fromkeys(self._machines, NEVER)
        self._truths = {spec.name: Truth(spec) for spec in specs}
        self._least_s = [best_s(specs, each) for each in asked]
        lasts_s = (asked[-1].at_us - asked[0].at_us) / US
        counts = Counter(each.request.model for each in asked)
        self._per_s = {model: count / lasts_s for model, count in counts.items()}
        total: defaultdict[str, float] = defaultdict(float)
        for each, least_s in zip(asked, self._least_s, strict=True):
            total[each.request.model] += least_s
        self._alone_s = {model: total[model] / count for model, count in counts.items()}
        prompt = sum(each.prompt_tokens for each in asked) // len(asked)
        output = sum(each.output_tokens for each in asked) // len(asked)
        self._mean = prompt, output
        self._waiting: list[Waiting] = []
        self._running: dict[int, Waiting] = {}
        self._sent: dict[int, tuple[str, float, bool]] = {}
        self._first_s: dict[int, float] = {}
        self._now_s = 0.0
        self._lines: Counter[str] = Counter()

    def run(self) -> list[Outcome]:
        """Play it to the end."""
        coming = 0
        asked = self._asked
        while coming < len(asked) or self._running or self._waiting:
            arrives_s = NEVER
            if coming < len(asked):
                arrives_s = (asked[coming].at_us - self._start_us) / US
            due_s, first = min((due_s, node) for node, due_s in self._due_s.items())
            self._now_s = min(arrives_s, due_s)
            changed = False
            if due_s <= self._now_s:
                machine = self._machines[first]
                changed = self._hear(machine.advance(self._now_s))
                self._due_s[first] = machine.next_event_at()
            if arrives_s <= self._now_s:
                least_s = self._least_s[coming]
                self._waiting.append(Waiting(asked[coming], least_s, _due_s(arrives_s, least_s)))
                coming += 1
                changed = True
            if changed and self._waiting:
                self._bind()
        return self.outcomes

    def _hear(self, outputs: list[Output]) -> bool:
        """Take what happened in; return whether anybody could be bound by it."""
        changed = False
        for output in outputs:
            if isinstance(output, Tokens):
                self._first_s.setdefault(output.job, output.at_s)
            elif isinstance(output, Finished | Refused):
                self._ended(output)
                changed = True
            else:
                changed |= isinstance(output, Loaded)
        return changed

    def _ended(self, output: Finished | Refused) -> None:
        each = self._running.pop(output.job)
        node, sent_s, cold = self._sent[output.job]
        came_s = (each.arrival.at_us - self._start_us) / US
        self.outcomes.append(
            Outcome(
                request_id=each.arrival.request.request_id,
                model=each.model,
                node_id=node,
                at_us=each.arrival.at_us,
                how="completed" if isinstance(output, Finished) else "failed",
                wait_s=sent_s - came_s,
                ttft_s=self._first_s.get(output.job, output.at_s) - came_s,
                total_s=output.at_s - came_s,
                cold=cold,
            )
        )

    # Who goes where.

    def _bind(self) -> None:
        """Send whoever had better go now; look again, since each changes what the others can do."""
        again = True
        while again:
            again = False
            self._waiting.sort(key=self._key)
            self._lines = Counter(each.model for each in self._waiting)
            oldest: dict[str, float] = {}
            for each in self._waiting:
                came_s = (each.arrival.at_us - self._start_us) / US
                oldest[each.model] = min(oldest.get(each.model, NEVER), came_s)
            slots: dict[str, list[tuple[float, str]]] = {}
            looked: Counter[str] = Counter()
            for each in self._waiting:
                looked[each.model] += 1
                if looked[each.model] > LOOKED_AT:
                    continue
                option = self._best(each, self._now_s - oldest[each.model], slots)
                if option is not None and option.goes:
                    self._send(each, option)
                    self._waiting.remove(each)
                    again = True
                    break

    def _key(self, each: Waiting) -> tuple[float, float, int]:
        came_us = each.arrival.at_us
        if self._rules.order == "came":
            return 0.0, 0.0, came_us
        late = self._rules.order == "due" and self._now_s + each.least_s > each.due_s
        return float(late), each.least_s, came_us

    def _send(self, each: Waiting, option: Option) -> None:
        machine = self._machines[option.node]
        for model in option.leaving:
            self._hear(machine.unload(self._now_s, model))
        cold = each.model not in machine.runners
        number = len(self._sent) + 1
        self._running[number] = each
        self._sent[number] = (option.node, self._now_s, cold)
        job = Job(
            id=number,
            model=each.model,
            prompt_tokens=each.arrival.prompt_tokens,
            output_tokens=each.arrival.output_tokens,
        )
        self._hear(machine.submit(self._now_s, job))
        self._due_s[option.node] = machine.next_event_at()

    def _best(
        self, each: Waiting, stood_s: float, slots: dict[str, list[tuple[float, str]]]
    ) -> Option | None:
        """Return what costs it and the others least: to go somewhere now, or to wait."""
        options: list[Option] = []
        for machine in self._machines.values():
            runner = machine.runners.get(each.model)
            if runner is None:
                option = self._cold(each, machine)
                if option is not None:
                    options.append(option)
            elif len(runner.active) + len(runner.waiting) < runner.slots:
                options.append(self._warm(each, machine, runner))
                if self._rules.patient:
                    options.extend(self._later(each, machine, runner))
        options.sort()
        slots_free = slots.setdefault(each.model, self._slots(each.model))
        if slots_free:
            at_s, node = slots_free[0]
            facts = self._truths[node]
            machine = self._machines[node]
            sharing = max(1, working(machine))
            work_s = facts.work_s(each.arrival, sharing, facts.slots)
            cost = (at_s + work_s + self._rules.stood * stood_s) / each.least_s
            if not options or cost < options[0].cost:
                heapreplace(slots_free, (at_s + work_s, node))
                return Option(cost, node, goes=False)
        return options[0] if options else None

    def _slots(self, model: str) -> list[tuple[float, str]]:
        """Return when each slot of a model that is taken now becomes free, as a heap."""
        found: list[tuple[float, str]] = []
        for node, machine in self._machines.items():
            runner = machine.runners.get(model)
            if runner is None or len(runner.active) + len(runner.waiting) < runner.slots:
                continue
            sharing = max(1, working(machine))
            facts = self._truths[node]
            wait_s = max(0.0, runner.ready_at_s - self._now_s) if runner.loading else 0.0
            for each in (*runner.active.values(), *runner.waiting):
                left_s = facts.left_s(each, sharing, len(runner.active))
                found.append((wait_s + left_s, node))
        heapify(found)
        return found

    def _warm(self, each: Waiting, machine: Machine, runner: Runner) -> Option:
        facts = self._truths[machine.spec.name]
        new = not runner.in_use
        sharing = max(1, working(machine) + new)
        wait_s = max(0.0, runner.ready_at_s - self._now_s) if runner.loading else 0.0
        batch = len(runner.active) + len(runner.waiting) + 1
        work_s = facts.work_s(each.arrival, sharing, batch)
        cost = (wait_s + work_s) / each.least_s
        cost += self._rules.others * self._lost(each, machine, sharing, work_s)
        return Option(cost, machine.spec.name)

    def _later(self, each: Waiting, machine: Machine, runner: Runner) -> Iterator[Option]:
        """Yield what it would be to wait until another model there has no more work."""
        models = working(machine)
        facts = self._truths[machine.spec.name]
        ends: list[float] = []
        for other in machine.runners.values():
            if other is not runner and other.in_use and not other.loading:
                left = [
                    facts.left_s(running, models, len(other.active))
                    for running in (*other.active.values(), *other.waiting)
                ]
                ends.append(max(left))
        if not ends or runner.in_use:
            return
        at_s = min(ends)
        work_s = facts.work_s(each.arrival, models, 1)
        cost = (at_s + work_s) / each.least_s
        cost += (
            self._rules.others * self._lost(each, machine, models, work_s) * (models - 1) / models
        )
        yield Option(cost, machine.spec.name, goes=False)

    def _cold(self, each: Waiting, machine: Machine) -> Option | None:
        facts = self._truths[machine.spec.name]
        if each.model not in facts.bytes:
            return None
        free = machine.spec.facts.vram_bytes - machine.vram_used_bytes() - facts.bytes[each.model]
        count = len(machine.runners) + len(machine.pending)
        most = machine.spec.facts.max_loaded_models or DEFAULT_LOADED_MODELS
        leaving: list[str] = []
        missed = 0.0
        if machine.pending:
            return None
        if free < 0 or count >= most:
            idle = [
                (self._missed(name, machine), name)
                for name, runner in machine.runners.items()
                if not runner.in_use and not runner.loading
            ]
            idle.sort()
            for cost, name in idle:
                leaving.append(name)
                missed += cost
                free += facts.bytes[name]
                count -= 1
                if free >= 0 and count < most:
                    break
            else:
                return None
        load = facts.loads_s[each.model]
        wait_s = load
        if machine.loading is not None:
            wait_s += max(0.0, machine.loading.ready_at_s - self._now_s)
        sharing = working(machine) + 1
        work_s = facts.work_s(each.arrival, sharing, 1)
        rules = self._rules
        cost = (wait_s + work_s) / each.least_s
        cost += rules.others * self._lost(each, machine, sharing, work_s)
        cost += rules.loading * load / self._alone_s[each.model]
        cost += rules.eviction * missed / self._lines[each.model]
        if rules.ahead:
            cost -= rules.ahead * self._saved(each.model, machine)
            for name in leaving:
                cost += rules.ahead * self._saved(name, machine)
        return Option(cost, machine.spec.name, tuple(leaving))

    def _saved(self, model: str, machine: Machine) -> float:
        """Return what a model in this memory saves those who will ask for it, by the best other."""
        mean = self._mean
        others = [
            self._truths[name].mean_s(model, mean, max(1, working(other)))
            for name, other in self._machines.items()
            if other is not machine and model in other.runners
        ]
        if not others:
            return 0.0
        sharing = max(1, working(machine) + (model not in machine.runners))
        own_s = self._truths[machine.spec.name].mean_s(model, mean, sharing)
        saved_s = max(0.0, min(others) - own_s)
        return self._per_s[model] * HORIZON_S * saved_s / self._alone_s[model]

    def _missed(self, model: str, machine: Machine) -> float:
        rate = self._per_s[model] * HORIZON_S
        again_s = self._truths[machine.spec.name].loads_s[model]
        others = sum(model in other.runners for other in self._machines.values()) - 1
        late = again_s / self._alone_s[model] * (1.0 + self._per_s[model] * again_s)
        return rate / (1.0 + rate) * late / (1 + 2 * others)

    def _lost(self, each: Waiting, machine: Machine, sharing: int, work_s: float) -> float:
        """Return what those that run there lose, each over its own least."""
        facts = self._truths[machine.spec.name]
        total = 0.0
        prefill_s = facts.prefill_s(each.model, each.arrival.prompt_tokens) * sharing
        for name, runner in machine.runners.items():
            own = name == each.model
            before = sharing - 1 if each.model not in machine.runners else sharing
            if not own and each.model in machine.runners:
                if machine.runners[each.model].in_use:
                    continue
                before = sharing - 1
            for running in (*runner.active.values(), *runner.waiting):
                mine = self._running[running.job.id]
                if own:
                    left_s = facts.left_s(running, sharing, len(runner.active))
                    lost_s = min(prefill_s, work_s) + 0.05 * min(left_s, work_s)
                else:
                    left_s = facts.left_s(running, max(1, before), len(runner.active))
                    lost_s = min(left_s / max(1, before), work_s / sharing)
                total += lost_s / mine.least_s
        return total


def _due_s(came_s: float, least_s: float) -> float:
    return came_s + max(10.0, 5.0 * least_s)


RULES = (
    Rules(),
    Rules(patient=True),
    Rules(patient=True, ahead=0.3),
    Rules(patient=True, ahead=1.0),
    Rules(order="due", patient=True, ahead=0.3),
)
"""By trial on the `tune` slices."""


def bounds(
    specs: Sequence[NodeSpec], asked: Sequence[Arrival], start_us: int
) -> list[list[Outcome]]:
    """Play a workload by each of the rules."""
    return [Oracle(specs, asked, rules, start_us).run() for rules in RULES]
