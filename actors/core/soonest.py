"""`soonest/1`: each request goes where it is predicted to finish soonest, counting what that costs.

All is weighed in *stretch*: time over the time that a request of the model takes alone on the best
node (Bender et al., "Flow and stretch metrics for scheduling continuous job streams", 1998), so
that a minute weighs more for one who asks a small model than for one who asks a large one. Of a
candidate with a slot free now:

    (wait for a load + service) / alone    what this request gets
    + `OTHERS` x what it takes from those that run there, each over its own alone
    + `EVICTION` x what it costs to bring back the models that have to make room
    + `LOADING` x the load itself
    - with the setting `foresight`, what the load saves those who will ask (`foresight`)
    + `SPARING` x the part of the machine that its owner uses himself

A cold node is a candidate only if it can make room at once, by idle models. The best one is taken,
unless waiting for a slot where the model is in memory comes to less: then the request waits, for
those before it in line too. What the first of them has waited already is expected to come once
more: so nobody waits long for a node that does not go on. Equal costs go to the fewest in flight,
then by the draw.
"""

from typing import NamedTuple

from actors.core.caching import cached_share
from actors.core.estimates import (
    alone_s,
    answer_tokens,
    demand,
    is_coming,
    is_planned,
    left_of_load_s,
    load_s,
    loading,
    mean_s,
    prompt_tokens,
    rates_s,
)
from actors.core.fitting import can_hold, must_load, victims
from actors.core.foresight import OTHERS as FORESEEN_OTHERS
from actors.core.foresight import Foresight
from actors.core.learning import BATCH_COST
from actors.core.missing import copies, miss
from actors.core.observing import working
from actors.core.owning import crowded, exhausted, limit_of
from actors.core.placement import SHOWN, Choice, draw, slots_of, usable
from actors.core.promising import barred
from actors.core.slots import Slots
from actors.core.state import US, Node, Request, State
from events import Candidate

POLICY = "soonest/1"
OTHERS = 0.3
"""The weight of what others lose: they have begun, and may end before it counts."""
LOADING = 0.25
"""The weight of a load: it takes memory and bandwidth, and two nodes do not load for two requests
that come together."""
EVICTION = 10.0
"""The weight of an eviction. The load that it leads to is not all: that one evicts in its turn."""
SPARING = 1.0
"""The weight of an owner who uses his machine himself: what another node may take longer."""
LEAST_S = 1e-6
"""Of a service: some servers say that prompts and answers have no tokens."""


class Option(NamedTuple):
    """A node that could take the request now."""

    cost: float
    """In stretch."""
    node: Node
    slots: Slots
    wait_s: float
    """For a load."""
    resident: bool


def soonest(state: State, request: Request) -> Choice | None:
    """Choose by `soonest/1`; None also if it had better wait."""
    weighing = _Weighing(state, request)
    nodes = usable(state, request)
    for node in [each for each in nodes if can_hold(each, request.model)] or nodes:
        if not state.promises or not barred(state, node, request.model):
            weighing.weigh(node)
    return weighing.choice()


class _Weighing:
    """One request, its options, and what waiting promises."""

    def __init__(self, state: State, request: Request) -> None:
        self._state = state
        self._request = request
        self._model = request.model
        self._asked = demand(state, request.model)
        self._prompt = prompt_tokens(self._asked, request)
        self._answer = answer_tokens(self._asked)
        self._alone_s = alone_s(state, request.model)
        self._ahead, self._line = _place(state, request)
        self._stood_s = _stood_s(state, request)
        self._options: list[Option] = []
        self._pace_per_s = 0.0
        self._best_s = 0.0
        self._copies: dict[str, int] | None = None
        self._foresight = Foresight(state) if state.settings.foresight else None
        self._others = OTHERS if self._foresight is None else FORESEEN_OTHERS

    def weigh(self, node: Node) -> None:
        """Look at one node."""
        model = self._model
        slots = slots_of(node, model)
        if crowded(node, model, self._state.recorded_at):
            return
        if must_load(node, model, self._state.recorded_at):
            if not exhausted(node):
                self._weigh_cold(node, slots)
            return
        models = working(node) + (not slots.in_flight)
        limit = limit_of(node, slots)
        prompt = self._prompt
        if self._request.prefixes:
            prompt *= 1.0 - cached_share(node, self._request)
        token_s, step_s = rates_s(node, model)
        prefill_s = prompt * token_s * models
        decode_s = self._answer * step_s * models
        wait_s = 0.0
        if (slots.in_flight or is_planned(node, model)) and is_coming(node, model):
            wait_s = left_of_load_s(self._state, node, model)
        if slots.in_flight >= limit or exhausted(node):
            full_s = prefill_s + decode_s * (1.0 + BATCH_COST * (limit - 1))
            self._pace_per_s += limit / max(LEAST_S, full_s + prefill_s * (limit - 1))
            if not self._best_s or wait_s + full_s < self._best_s:
                self._best_s = wait_s + full_s
        else:
            work_s = prefill_s + decode_s * (1.0 + BATCH_COST * slots.in_flight)
            taken = self._taken(node, models, prompt * token_s)
            cost = (wait_s + work_s) / self._alone_s + self._others * taken + _spared(node)
            self._options.append(Option(cost, node, slots, wait_s, resident=True))

    def _weigh_cold(self, node: Node, slots: Slots) -> None:
        leaving = victims(node, self._model)
        if leaving is None:
            return
        model = self._model
        wait_s = takes_s = load_s(node, model)
        for other in loading(node):
            wait_s += left_of_load_s(self._state, node, other)
        missed = 0.0
        if leaving and self._copies is None:
            self._copies = copies(self._state)
        for victim in leaving:
            others = max(0, (self._copies or {}).get(victim, 0) - 1)
            missed += miss(self._state, node, victim, others)
        models = working(node) + 1
        token_s, step_s = rates_s(node, model)
        work_s = (self._prompt * token_s + self._answer * step_s) * models
        taken = self._taken(node, models, self._prompt * token_s)
        cost = (wait_s + work_s) / self._alone_s + self._others * taken
        cost += LOADING * takes_s / self._alone_s + EVICTION * missed / self._line
        cost += _spared(node)
        if self._foresight is not None:
            cost -= self._foresight.of_load(node, model, leaving)
        self._options.append(Option(cost, node, slots, wait_s, resident=False))

    def choice(self) -> Choice | None:
        """Return the best, unless waiting is better."""
        options = self._options
        if not options:
            return None
        options.sort(key=_order)
        best = options[0]
        if self._pace_per_s:
            waits_s = (self._ahead + 1) / self._pace_per_s + self._best_s + self._stood_s
            if waits_s / self._alone_s < best.cost:
                return None
        tied = 1
        while tied < len(options) and _order(options[tied])[:2] == _order(best)[:2]:
            tied += 1
        drawn = draw(self._request) if tied > 1 else 0
        options.insert(0, options.pop(drawn % tied))
        shown = tuple([_shown(each) for each in options[:SHOWN]])
        return Choice(options[0].node, shown, len(options) - len(shown), drawn, POLICY)

    def _taken(self, node: Node, models: int, prompt_s: float) -> float:
        """Return what the request takes from those that run on a node, in stretch."""
        total = 0.0
        state, own = self._state, self._model
        new = own not in node.slots or not node.slots[own].in_flight
        for model, slots in node.slots.items():
            n = slots.in_flight
            if not n or (model != own and not new):
                continue
            asked = demand(state, model)
            left_s = mean_s(asked, node, model, n, models - new) / 2
            lost_s = prompt_s + left_s * BATCH_COST if model == own else left_s / (models - new)
            total += n * lost_s / alone_s(state, model)
        return total


def _place(state: State, request: Request) -> tuple[int, int]:
    """Return how many wait for the model before a request, and in all: a load serves them all."""
    waiting = state.lines[request.model].waiting
    ahead = 0
    for request_id in waiting:
        if request_id == request.request_id:
            break
        ahead += 1
    return ahead, max(1, len(waiting))


def _stood_s(state: State, request: Request) -> float:
    """Return how long the first of a request's line has waited."""
    head = state.requests[next(iter(state.lines[request.model].waiting), request.request_id)]
    return (state.recorded_at - (head.waits_since_us or head.received_us)) / US


def _spared(node: Node) -> float:
    """Return what it takes from a node's owner, in stretch."""
    return SPARING * (1.0 - node.limits.available_share)


def _order(option: Option) -> tuple[float, int, str]:
    return option.cost, option.slots.in_flight, option.node.node_id


def _shown(option: Option) -> Candidate:
    score = 100.0 / (1.0 + max(0.0, option.cost))
    slots = option.slots
    return Candidate(
        option.node.node_id, option.resident, slots.in_flight, slots.limit, option.wait_s, score
    )
