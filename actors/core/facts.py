"""What is known of a model at an instant, for those who weigh one node against another.

What is asked of it changes with each answer to it, how often with the time, and where it is in
memory with each touch of a node: each is looked at again only then (`kept`).
"""

from collections.abc import Iterable

from actors.core.estimates import demand, load_s, means, rates_s, reckoned_alone_s
from actors.core.kept import Facts, Known
from actors.core.missing import wanted
from actors.core.standing import known_of
from actors.core.state import State
from events import NodeId


def facts_of(state: State, model: str) -> Facts:
    """Return what is asked of a model, at this instant."""
    kept = state.kept
    if kept.at != (kept.folds, state.recorded_at):
        kept.at = kept.folds, state.recorded_at
        kept.instant += 1
    facts = kept.facts.get(model)
    if facts is None:
        facts = kept.facts[model] = Facts(model, demand(state, model), len(kept.touched))
    if facts.instant != kept.instant:
        _look(state, facts)
    return facts


def _look(state: State, facts: Facts) -> None:
    kept, model = state.kept, facts.model
    asked = facts.asked = demand(state, model)
    learned = kept.learned.get(model, 0)
    if facts.learned != learned or not facts.sure:
        facts.learned = learned
        facts.means = means(asked)
        facts.alone_s = asked.alone_s or reckoned_alone_s(state, model)
        facts.sure = asked.alone_s > 0
    facts.rate = asked.rate(state.recorded_at)
    facts.wanted = wanted(facts.rate)
    facts.instant = kept.instant


def timed(state: State, model: str) -> Facts:
    """Return the same, with the nodes that have it in memory.

    A row was asked for since the last touch (`standing.row_of`), so that all nodes are known.
    """
    facts = facts_of(state, model)
    touched = state.kept.touched
    if facts.timed != facts.learned:
        _time(state, facts, list(facts.times_s) if facts.timed >= 0 else state.kept.nodes)
        facts.timed = facts.learned
    if facts.read < len(touched):
        _time(state, facts, touched[facts.read :])
        facts.read = len(touched)
    return facts


def _time(state: State, facts: Facts, nodes: Iterable[NodeId]) -> None:
    model, times_s, changed = facts.model, facts.times_s, False
    for node_id in nodes:
        node = state.nodes[node_id]
        if model in node.resident and node.online:
            times_s[node_id] = own_s(known_of(state, node_id), facts)
            changed = True
        elif times_s.pop(node_id, None) is not None:
            changed = True
    if changed:
        best = sorted([(time_s, node_id) for node_id, time_s in times_s.items()])[:2]
        facts.first_s, facts.first = best[0] if best else (0.0, None)
        facts.second_s = best[1][0] if len(best) > 1 else 0.0


def own_s(known: Known, facts: Facts) -> float:
    """Return the time of a mean request of a model on a node, were it in memory there.

    As `estimates.mean_s` has it of one request at a time.
    """
    model = facts.model
    pace = known.paces.get(model)
    if pace is None:
        models = max(1, known.working + (model not in known.node.resident))
        pace = known.paces[model] = (*rates_s(known.node, model), models)
    token_s, step_s, models = pace
    prompt, answer = facts.means
    return prompt * token_s * models + answer * step_s * models


def again_s(known: Known, model: str) -> float:
    """Return the time of a load."""
    known_s = known.loads_s.get(model)
    if known_s is None:
        known_s = known.loads_s[model] = load_s(known.node, model)
    return known_s
