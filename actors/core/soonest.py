"""`soonest/1`: each request goes where it is predicted to finish soonest, counting what that costs.

All is weighed in *stretch*: time over the time that a request of the model takes alone on the best
node (Bender et al., "Flow and stretch metrics for scheduling continuous job streams", 1998), so
that a minute weighs more for one who asks a small model than for one who asks a large one. With the
setting `lengths_by_size` what a request gets itself is over the time that it takes alone itself:
one who wants a word loses more by a minute than one who wants a page. Of a candidate with a slot
free now:

    (wait for a load + service) / alone    what this request gets
    + `OTHERS` x what it takes from those that run there, each over its own alone (`burden`), or,
      with `running_by_length`, `OTHERS_BY_LENGTH` x that, or with `foresight` that of its own
    + `EVICTION` x what it costs to bring back the models that have to make room
    + `LOADING` x the load itself
    - with the setting `foresight`, what the load saves those who will ask (`foresight`)
    + `SPARING` x the part of the machine that its owner uses himself

A cold node is a candidate only if it can make room at once, by idle models. The best one is taken,
unless waiting for a slot where the model is in memory comes to less: then the request waits, for
those before it in line too; with the setting `patience`, also unless waiting until another model
has no more work where it is in memory comes to less. What the first of them has waited already is
expected to come once more: so nobody waits long for a node that does not go on. Equal costs go to
the fewest in flight, then by the draw.
"""

from math import inf
from typing import TypeAlias

from actors.core.burden import beside, within
from actors.core.caching import cached_share
from actors.core.estimates import expected_tokens, left_of_load_s, prompt_tokens
from actors.core.foresight import AHEAD, saved
from actors.core.foresight import OTHERS as FORESEEN_OTHERS
from actors.core.kept import FREE, Seat
from actors.core.learning import BATCH_COST
from actors.core.missing import missed
from actors.core.owning import limit_of
from actors.core.placement import SHOWN, Choice, draw
from actors.core.promising import barred
from actors.core.sharing import own_portion
from actors.core.standing import again_s, facts_of, fastest_of, fitting_seats
from actors.core.state import US, Node, Request, State
from events import Candidate, NodeId

POLICY = "soonest/1"
OTHERS = 0.3
"""The weight of what others lose: they have begun, and may end before it counts."""
OTHERS_BY_LENGTH = 1.0
"""The same where their lengths are looked at."""
LOADING = 0.25
"""The weight of a load: it takes memory and bandwidth, and two nodes do not load for two requests
that come together."""
EVICTION = 10.0
"""The weight of an eviction. The load that it leads to is not all: that one evicts in its turn."""
SPARING = 1.0
"""The weight of an owner who uses his machine himself: what another node may take longer."""
LEAST_S = 1e-6
"""Of a service: some servers say that prompts and answers have no tokens."""


Option: TypeAlias = tuple[float, int, NodeId, Seat, float]
"""A node that could take the request now: its cost in stretch, what runs there, its name, its seat,
and the wait for a load in seconds. In this order the first is the best."""


def soonest(state: State, request: Request) -> Choice | None:
    """Choose by `soonest/1`; None also if it had better wait."""
    takers, full = fitting_seats(state, request)
    if takers and state.promises:
        takers = [seat for seat in takers if not barred(state, seat.node, request.model)]
        full = [seat for seat in full if not barred(state, seat.node, request.model)]
    if not takers:
        return None
    weighing = _Weighing(state, request)
    options = [weighing.free(seat) if seat.kind == FREE else weighing.cold(seat) for seat in takers]
    options.sort()
    if full and weighing.waiting(full) < options[0][0]:
        return None
    if state.settings.patience and weighing.until_one_ends(takers) < options[0][0]:
        return None
    return _choice(request, options)


def _choice(request: Request, options: list[Option]) -> Choice:
    best = options[0]
    tied = 1
    while tied < len(options) and options[tied][:2] == best[:2]:
        tied += 1
    drawn = draw(request) if tied > 1 else 0
    if drawn:
        options.insert(0, options.pop(drawn % tied))
    shown = tuple([_shown(each) for each in options[:SHOWN]])
    return Choice(options[0][3].node, shown, len(options) - len(shown), drawn, POLICY)


class _Weighing:
    """One request, and what weighs with it wherever it goes."""

    def __init__(self, state: State, request: Request) -> None:
        self._state = state
        self._request = request
        self._model = request.model
        facts = self._facts = facts_of(state, request.model)
        self._asked = facts.asked
        self._prompt = prompt_tokens(facts.asked, request)
        self._answer = expected_tokens(facts.asked, request)
        self._alone_s = facts.alone_s
        self._own_s = facts.alone_s
        if state.settings.lengths_by_size:
            self._own_s *= own_portion(state, request)
        self._line = max(1, len(state.lines[request.model].waiting))
        """A load serves them all."""
        self._now = state.kept.facts_at
        self._foresees = state.settings.foresight
        self._others = FORESEEN_OTHERS if self._foresees else OTHERS
        if state.settings.running_by_length:
            self._others = OTHERS_BY_LENGTH

    def free(self, seat: Seat) -> Option:
        """Weigh a free slot."""
        node, in_flight = seat.node, seat.slots.in_flight
        prompt = self._uncached(node)
        models = seat.known.working + (not in_flight)
        work_s = prompt * seat.token_s * models
        work_s += self._answer * seat.step_s * models * (1.0 + BATCH_COST * in_flight)
        wait_s = self._load_left_s(seat)
        if in_flight:
            lost = within(self._state, seat, self._facts, (prompt, self._answer), models)
        else:
            lone_s = prompt * seat.token_s + self._answer * seat.step_s
            lost, _ = beside(self._state, seat.known, lone_s)
        cost = (wait_s + work_s) / self._own_s + self._others * lost + _spared(node)
        return cost, in_flight, node.node_id, seat, wait_s

    def cold(self, seat: Seat) -> Option:
        """Weigh a load."""
        if seat.weighed_at != self._now:
            self._weigh_load(seat)
        wait_s, missed, foreseen = seat.weighed
        known, node = seat.known, seat.node
        work_s = self._prompt * seat.token_s + self._answer * seat.step_s
        lost, _ = beside(self._state, known, work_s)
        work_s *= known.working + 1
        cost = (wait_s + work_s) / self._own_s + self._others * lost
        cost += LOADING * seat.load_s / self._alone_s + EVICTION * missed / self._line
        cost += _spared(node)
        if self._foresees:
            cost -= foreseen
        return cost, 0, node.node_id, seat, wait_s

    def _weigh_load(self, seat: Seat) -> None:
        """Note what is the same for all who ask for the model at this instant."""
        state, known, node = self._state, seat.known, seat.node
        wait_s = seat.load_s
        for other in known.coming:
            wait_s += left_of_load_s(state, node, other)
        total = foreseen = 0.0
        if self._foresees:
            foreseen = saved(state, known, self._model, self._facts)
        for victim in seat.leaving:
            facts = facts_of(state, victim)
            others = max(0, len(fastest_of(state, victim, facts).times_s) - 1)
            total += missed(facts.rate, again_s(known, victim), facts.alone_s, others)
            if self._foresees:
                foreseen -= saved(state, known, victim, facts)
        seat.weighed = wait_s, total, AHEAD * foreseen
        seat.weighed_at = self._now

    def waiting(self, full: list[Seat]) -> float:
        """Return what it is to wait for a slot where the model is in memory, in stretch."""
        state, request = self._state, self._request
        pace_per_s = best_s = 0.0
        for seat in full:
            models = seat.known.working + (not seat.slots.in_flight)
            limit = limit_of(seat.node, seat.slots)
            prefill_s = self._uncached(seat.node) * seat.token_s * models
            decode_s = self._answer * seat.step_s * models
            full_s = prefill_s + decode_s * (1.0 + BATCH_COST * (limit - 1))
            pace_per_s += limit / max(LEAST_S, full_s + prefill_s * (limit - 1))
            lasts_s = self._load_left_s(seat) + full_s
            if not best_s or lasts_s < best_s:
                best_s = lasts_s
        ahead = _ahead(state, request)
        return ((ahead + 1) / pace_per_s + best_s + _stood_s(state, request)) / self._own_s

    def until_one_ends(self, seats: list[Seat]) -> float:
        """Return what it is to wait until a model beside its own, idle one ends, in stretch."""
        least = inf
        stood_s = _stood_s(self._state, self._request)
        for seat in seats:
            models = seat.known.working
            if seat.kind != FREE or seat.slots.in_flight or not models:
                continue
            work_s = self._uncached(seat.node) * seat.token_s + self._answer * seat.step_s
            lost, ends_s = beside(self._state, seat.known, work_s)
            cost = (ends_s + work_s * models + stood_s) / self._own_s
            least = min(least, cost + self._others * lost * (models - 1) / models)
        return least

    def _uncached(self, node: Node) -> float:
        if not self._request.prefixes:
            return self._prompt
        return self._prompt * (1.0 - cached_share(node, self._request))

    def _load_left_s(self, seat: Seat) -> float:
        return left_of_load_s(self._state, seat.node, self._model) if seat.waits else 0.0


def _ahead(state: State, request: Request) -> int:
    """Return how many wait for the model before a request."""
    ahead = 0
    for request_id in state.lines[request.model].waiting:
        if request_id == request.request_id:
            break
        ahead += 1
    return ahead


def _stood_s(state: State, request: Request) -> float:
    """Return how long the first of a request's line has waited."""
    head = state.requests[next(iter(state.lines[request.model].waiting), request.request_id)]
    return (state.recorded_at - (head.waits_since_us or head.received_us)) / US


def _spared(node: Node) -> float:
    """Return what it takes from a node's owner, in stretch."""
    return SPARING * (1.0 - node.limits.available_share)


def _shown(option: Option) -> Candidate:
    cost, in_flight, node_id, seat, wait_s = option
    score = 100.0 / (1.0 + max(0.0, cost))
    return Candidate(node_id, seat.kind == FREE, in_flight, seat.slots.limit, wait_s, score)
