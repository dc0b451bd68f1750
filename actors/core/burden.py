"""What one more request takes from those that run on a node.

Models take turns, so each of those that run goes on more slowly, for as long as both are there: it
loses at most what the new one takes alone, and at most what is left of itself. Those of the same
model wait while a prompt is taken in, and then go on in a larger batch (`within`). With the setting
`running_by_length` as much is thought to be left of one that runs as it was predicted to take in
all. What it has behind it tells little: lengths differ widely, and of those that are found running
most are long ones (the inspection paradox). Without the setting half of a mean request is thought
to be left of each, and the new one to stay as long as that.

What it loses is weighed over the time that it takes alone, and without the setting over that of a
mean request of its model.
"""

from math import inf

from actors.core.estimates import mean_s, rates_s, staying_s
from actors.core.facts import facts_of
from actors.core.kept import Facts, Known, Running, Seat
from actors.core.learning import BATCH_COST
from actors.core.state import State


def beside(state: State, known: Known, lone_s: float) -> tuple[float, float]:
    """Return what one more model takes from those at work on a node, and when the first ends.

    `lone_s` is the time that its request takes there alone. The one is in stretch, the other in
    seconds: a model is done when the last of its requests is.
    """
    if not known.busy:
        return 0.0, 0.0
    if not state.settings.running_by_length:
        if known.stale:
            _look_at_halves(state, known)
        return known.taken, known.ends_s
    if known.stale:
        _look(state, known)
    lost = 0.0
    for run in known.runs.values():
        lost += _lost(run, lone_s)
    return lost, known.ends_s


def within(state: State, seat: Seat, facts: Facts, prefill_s: float, decode_s: float) -> float:
    """Return what one more request takes from those of its model that run on its node, in stretch.

    While its prompt, as far as it is not cached, is taken in all wait, and its answer makes each
    batch somewhat slower: it would take so long for the one and the other alone.
    """
    if not state.settings.running_by_length:
        in_flight, models = seat.slots.in_flight, seat.known.working
        rates = seat.token_s, seat.step_s
        left_s = staying_s(facts.means, rates, in_flight, models) / 2
        return in_flight * (prefill_s + left_s * BATCH_COST) / facts.alone_s
    if seat.known.stale:
        _look(state, seat.known)
    run = seat.known.runs[facts.model]
    stands = prefill_s * run.inverse / run.alone_s
    return seat.known.working * (stands + BATCH_COST * _lost(run, prefill_s + decode_s))


def _lost(run: Running, lone_s: float) -> float:
    """Return what those of one model lose by a request that takes so long alone, in stretch."""
    if lone_s >= run.longest_s:
        return len(run.portions) * run.whole_s / run.alone_s
    if lone_s <= run.shortest_s:
        return lone_s * run.inverse / run.alone_s
    lost = 0.0
    for portion in run.portions:
        lost += min(run.whole_s, lone_s / portion)
    return lost / run.alone_s


def _look(state: State, known: Known) -> None:
    """Reckon how long each of those that run goes on, as far as anything was learned of it."""
    runs = known.runs
    if not runs:
        for model, n in known.busy.items():
            portions = known.node.slots[model].portions
            token_s, step_s = rates_s(known.node, model)
            step_s *= 1.0 + BATCH_COST * (n - 1)
            runs[model] = Running([*portions, *[1.0] * (n - len(portions))], token_s, step_s)
    known.ends_s, known.stale = inf, False
    for model, run in runs.items():
        facts = facts_of(state, model)
        if run.learned != facts.learned or not facts.sure:
            run.weigh(facts)
        if not facts.sure:  # it follows from all nodes
            known.stale = True
        known.ends_s = min(known.ends_s, run.longest_s * known.working)


def _look_at_halves(state: State, known: Known) -> None:
    """Reckon the same where nobody looks at lengths.

    Of `n` requests that are anywhere in their time the last one ends after `n / (n + 1)` of it.
    """
    node, models = known.node, known.working
    known.taken, known.ends_s, known.stale = 0.0, inf, False
    for model, n in known.busy.items():
        facts = facts_of(state, model)
        whole_s = mean_s(facts.asked, node, model, n, models)
        left_s = whole_s / 2
        known.taken += n * (left_s / models) / facts.alone_s
        known.ends_s = min(known.ends_s, whole_s * n / (n + 1))
        if not facts.sure:  # it follows from all nodes
            known.stale = True
