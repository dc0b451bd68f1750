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
from actors.core.facts import again_s, facts_of, timed
from actors.core.foresight import AHEAD, most_saved, saved
from actors.core.foresight import OTHERS as FORESEEN_OTHERS
from actors.core.kept import FREE, Seat
from actors.core.learning import BATCH_COST
from actors.core.missing import lateness
from actors.core.owning import limit_of
from actors.core.placement import SHOWN, Choice, draw
from actors.core.promising import barred
from actors.core.sharing import own_portion
from actors.core.standing import fitting_seats
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
ROUNDING = 1e-6
"""What comes out of two sums of the same is no further apart."""
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
    options = weighing.options(takers)
    best = options[0][0]
    if weighing.stood < best and weighing.waiting(full) < best:
        return None
    return _choice(request, options, len(takers))


def _choice(request: Request, options: list[Option], considered: int) -> Choice:
    best = options[0]
    tied = 1
    while tied < len(options) and options[tied][:2] == best[:2]:
        tied += 1
    drawn = draw(request) if tied > 1 else 0
    if drawn:
        options.insert(0, options.pop(drawn % tied))
    shown = tuple([_shown(each) for each in options[:SHOWN]])
    return Choice(options[0][3].node, shown, considered - len(shown), drawn, POLICY)


class _Weighing:
    """One request, and what weighs with it wherever it goes."""

    def __init__(self, state: State, request: Request) -> None:
        self._state = state
        self._request = request
        facts = self._facts = facts_of(state, request.model)
        self._prompt = prompt_tokens(facts.asked, request)
        self._answer = expected_tokens(facts.asked, request)
        self._own_s = facts.alone_s
        if state.settings.lengths_by_size:
            self._own_s *= own_portion(state, request)
        line = state.lines[request.model].waiting
        self._line = max(1, len(line))
        """A load serves them all."""
        head = state.requests[next(iter(line), request.request_id)]
        self._stood_s = (state.recorded_at - (head.waits_since_us or head.received_us)) / US
        """How long the first of its line has waited."""
        self.stood = self._stood_s / self._own_s
        """The least that waiting can come to, in stretch."""
        self._now = state.kept.instant
        self._patient = state.settings.patience
        self._foresees = state.settings.foresight
        self._others = FORESEEN_OTHERS if self._foresees else OTHERS
        if state.settings.running_by_length:
            self._others = OTHERS_BY_LENGTH
        self._until_one_ends = inf
        """What it is to wait until a model beside its own, idle one ends, in stretch."""

    def options(self, takers: list[Seat]) -> list[Option]:
        """Weigh those that could take it now, the best first, as many as are shown or more.

        What has to be loaded is not weighed where it is behind all that are shown, also if all that
        a load could save counted for it, and nothing against it.
        """
        found = [self.free(seat) for seat in takers if seat.kind == FREE]
        if len(found) == len(takers):
            found.sort()
            return found
        if self._foresees:
            timed(self._state, self._facts.model)
        most = inf
        if len(found) >= SHOWN:
            found.sort()
            most = found[SHOWN - 1][0] + ROUNDING
            if self._foresees:
                most += AHEAD * most_saved(self._facts)
        found += [
            self.cold(seat)
            for seat in takers
            if seat.kind != FREE and (most == inf or self._least(seat) <= most)
        ]
        found.sort()
        return found

    def _least(self, seat: Seat) -> float:
        work_s = self._prompt * seat.token_s + self._answer * seat.step_s
        return (seat.load_s + work_s * (seat.known.working + 1)) / self._own_s

    def free(self, seat: Seat) -> Option:
        """Weigh a free slot."""
        state, known, in_flight = self._state, seat.known, seat.slots.in_flight
        prompt, answer = self._uncached(seat.node), self._answer
        models = known.working + (not in_flight)
        prefill_s, decode_s = prompt * seat.token_s, answer * seat.step_s
        work_s = prefill_s * models + decode_s * models * (1.0 + BATCH_COST * in_flight)
        wait_s = self._load_left_s(seat) if seat.waits else 0.0
        if in_flight:
            lost = within(state, seat, self._facts, prefill_s, decode_s)
        else:
            lone_s = prefill_s + decode_s
            lost, ends_s = beside(state, known, lone_s)
            if self._patient and known.working:
                self._wait_for_one(known.working, ends_s, lone_s, lost)
        cost = (wait_s + work_s) / self._own_s + self._others * lost + SPARING * known.spared
        return cost, in_flight, seat.node.node_id, seat, wait_s

    def _wait_for_one(self, others: int, ends_s: float, lone_s: float, lost: float) -> None:
        cost = (ends_s + lone_s * others + self._stood_s) / self._own_s
        cost += self._others * lost * (others - 1) / others
        self._until_one_ends = min(self._until_one_ends, cost)

    def cold(self, seat: Seat) -> Option:
        """Weigh a load."""
        if seat.weighed_at != self._now:
            self._weigh_load(seat)
        wait_s, missed, foreseen = seat.weighed
        known = seat.known
        work_s = self._prompt * seat.token_s + self._answer * seat.step_s
        lost, _ = beside(self._state, known, work_s)
        work_s *= known.working + 1
        cost = (wait_s + work_s) / self._own_s + self._others * lost
        cost += LOADING * seat.load_s / self._facts.alone_s + EVICTION * missed / self._line
        cost += SPARING * known.spared
        if self._foresees:
            cost -= foreseen
        return cost, 0, seat.node.node_id, seat, wait_s

    def _weigh_load(self, seat: Seat) -> None:
        """Note what is the same for all who ask for the model at this instant."""
        state, known = self._state, seat.known
        wait_s = seat.load_s
        for other in known.coming:
            wait_s += left_of_load_s(state, seat.node, other)
        missed = foreseen = 0.0
        if self._foresees:
            foreseen = saved(known, self._facts)
        for victim in seat.leaving:
            facts = timed(state, victim)
            others = max(0, len(facts.times_s) - 1)
            late = lateness(facts.rate, again_s(known, victim), facts.alone_s)
            missed += facts.wanted * late / (1 + 2 * others)
            if self._foresees:
                foreseen -= saved(known, facts)
        seat.weighed = wait_s, missed, AHEAD * foreseen
        seat.weighed_at = self._now

    def waiting(self, full: list[Seat]) -> float:
        """Return what it is to wait for a slot where the model is in memory, in stretch.

        Or, with `patience`, until a model beside its own, idle one has no more work.
        """
        if not full:
            return self._until_one_ends
        pace_per_s = best_s = 0.0
        for seat in full:
            models = seat.known.working + (not seat.slots.in_flight)
            limit = limit_of(seat.node, seat.slots)
            prefill_s = self._uncached(seat.node) * seat.token_s * models
            decode_s = self._answer * seat.step_s * models
            full_s = prefill_s + decode_s * (1.0 + BATCH_COST * (limit - 1))
            pace_per_s += limit / max(LEAST_S, full_s + prefill_s * (limit - 1))
            lasts_s = full_s + (self._load_left_s(seat) if seat.waits else 0.0)
            if not best_s or lasts_s < best_s:
                best_s = lasts_s
        ahead = _ahead(self._state, self._request)
        for_slot = ((ahead + 1) / pace_per_s + best_s + self._stood_s) / self._own_s
        return min(for_slot, self._until_one_ends)

    def _uncached(self, node: Node) -> float:
        if not self._request.prefixes:
            return self._prompt
        return self._prompt * (1.0 - cached_share(node, self._request))

    def _load_left_s(self, seat: Seat) -> float:
        return left_of_load_s(self._state, seat.node, self._facts.model)


def _ahead(state: State, request: Request) -> int:
    """Return how many wait for the model before a request."""
    ahead = 0
    for request_id in state.lines[request.model].waiting:
        if request_id == request.request_id:
            break
        ahead += 1
    return ahead


def _shown(option: Option) -> Candidate:
    cost, in_flight, node_id, seat, wait_s = option
    score = 100.0 / (1.0 + max(0.0, cost))
    return Candidate(node_id, seat.kind == FREE, in_flight, seat.slots.limit, wait_s, score)
