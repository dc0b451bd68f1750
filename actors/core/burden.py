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
from actors.core.kept import Facts, Known, Running, Seat
from actors.core.learning import BATCH_COST
from actors.core.standing import facts_of
from actors.core.state import State


def beside(state: State, known: Known, lone_s: float) -> tuple[float, float]:
    """Return what one more model takes from those at work on a node, and when the first ends.

    `lone_s` is the time that its request takes there alone. The one is in stretch, the other in
    seconds: a model is done when the last of its requests is.
    """
    if not known.busy:
        return 0.0, 0.0
    if not state.settings.running_by_length:
        return _halves(state, known)
    _look(state, known)
    lost = 0.0
    for run in known.runs.values():
        lost += _lost(run, lone_s)
    return lost, known.ends_s


def within(
    state: State, seat: Seat, facts: Facts, tokens: tuple[float, float], models: int
) -> float:
    """Return what one more request takes from those of its model that run on its node, in stretch.

    `tokens` are those of its prompt, as far as they are not cached, and of its answer: while the
    prompt is taken in all wait, and each further answer makes a batch somewhat slower.
    """
    prefill_s = tokens[0] * seat.token_s
    if not state.settings.running_by_length:
        in_flight = seat.slots.in_flight
        rates = seat.token_s, seat.step_s
        left_s = staying_s(facts.means, rates, in_flight, models) / 2
        return in_flight * (prefill_s + left_s * BATCH_COST) / facts.alone_s
    _look(state, seat.known)
    run = seat.known.runs[facts.model]
    stands = prefill_s * run.inverse / run.alone_s
    return models * (stands + BATCH_COST * _lost(run, prefill_s + tokens[1] * seat.step_s))


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
    """Reckon what is left of those that run, unless that is known."""
    counts = state.kept.learned
    learned = 0
    for model in known.busy:
        learned += counts.get(model, 0)
    if known.taken_at == learned:
        return
    ends_s = inf
    sure = True
    for model, n in known.busy.items():
        run = known.runs.get(model)
        if run is None:
            portions = known.node.slots[model].portions
            run = known.runs[model] = Running([*portions, *[1.0] * (n - len(portions))])
        count = counts.get(model, 0)
        if run.learned != count:
            facts = facts_of(state, model)
            token_s, step_s = rates_s(known.node, model)
            prompt, answer = facts.means
            step_s *= 1.0 + BATCH_COST * (n - 1)
            run.weigh(prompt * token_s + answer * step_s, facts.alone_s)
            if facts.asked.alone_s:
                run.learned = count
            else:  # it follows from all nodes
                sure = False
        ends_s = min(ends_s, run.longest_s * known.working)
    known.ends_s = ends_s
    if sure:
        known.taken_at = learned


def _halves(state: State, known: Known) -> tuple[float, float]:
    """Return the same where nobody looks at lengths.

    Of `n` requests that are anywhere in their time the last one ends after `n / (n + 1)` of it.
    """
    learned = 0
    for model in known.busy:
        learned += state.kept.learned.get(model, 0)
    if known.taken_at == learned:
        return known.taken, known.ends_s
    node, models = known.node, known.working
    total = ends_s = 0.0
    sure = True
    for model, n in known.busy.items():
        facts = facts_of(state, model)
        whole_s = mean_s(facts.asked, node, model, n, models)
        left_s = whole_s / 2
        total += n * (left_s / models) / facts.alone_s
        last_s = whole_s * n / (n + 1)
        ends_s = min(ends_s, last_s) if ends_s else last_s
        sure = sure and facts.asked.alone_s > 0
    if sure:  # else it follows from all nodes
        known.taken, known.ends_s, known.taken_at = total, ends_s, learned
    return total, ends_s
