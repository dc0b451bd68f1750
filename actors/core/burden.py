"""What one more request takes from those that run on a node.

Models take turns, so each of those that run goes on more slowly, for as long as both are there: it
loses at most what the new one takes alone, and at most what is left of itself. With the setting
`running_by_length` as much is thought to be left of one that runs as it was predicted to take in
all. What it has behind it tells little: lengths differ widely, and of those that are found running
most are long ones (the inspection paradox). Without the setting half of a mean request is thought
to be left of each, and the new one to stay as long as that.

What it loses is weighed over the time that it takes alone, and without the setting over that of a
mean request of its model.
"""

from itertools import chain, repeat

from actors.core.estimates import mean_s, rates_s, staying_s
from actors.core.kept import Facts, Known, Seat
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
    if lone_s >= known.longest_s:
        return known.taken, known.ends_s
    lost = 0.0
    for runs in known.runs.values():
        for whole_s, own_s in runs:
            lost += min(whole_s, lone_s) / own_s
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
    lone_s = prefill_s + tokens[1] * seat.step_s
    _look(state, seat.known)
    lost = 0.0
    for whole_s, own_s in seat.known.runs[facts.model]:
        lost += (prefill_s + BATCH_COST * min(whole_s, lone_s)) / own_s
    return lost * models


def _look(state: State, known: Known) -> None:
    """Reckon what is left of those that run, unless that is known."""
    learned = 0
    for model in known.busy:
        learned += state.kept.learned.get(model, 0)
    if known.taken_at == learned:
        return
    known.runs = {}
    known.taken = known.ends_s = known.longest_s = 0.0
    sure = True
    for model, n in known.busy.items():
        facts = facts_of(state, model)
        prompt, answer = facts.means
        token_s, step_s = rates_s(known.node, model)
        mean_whole_s = prompt * token_s + answer * step_s * (1.0 + BATCH_COST * (n - 1))
        portions = known.node.slots[model].portions
        runs = known.runs[model] = [
            (portion * mean_whole_s, portion * facts.alone_s)
            for portion in chain(portions, repeat(1.0, n - len(portions)))
        ]
        longest_s = max(whole_s for whole_s, _ in runs)
        ends_s = longest_s * known.working
        known.taken += n * mean_whole_s / facts.alone_s
        known.ends_s = min(known.ends_s, ends_s) if known.ends_s else ends_s
        known.longest_s = max(known.longest_s, longest_s)
        sure = sure and facts.asked.alone_s > 0
    if sure:  # else it follows from all nodes
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
