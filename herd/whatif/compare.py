"""The answer: what was recorded, its re-run, what would have been, and what is known of that."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import msgspec

from events import NodeId
from herd.errors import HerdError
from herd.simulator.hardware import (
    NodeSpec,
    decode_tokens_per_s,
    load_s,
    prefill_tokens_per_s,
    slots_for,
)
from herd.virtual.script import Line, Outcome
from herd.whatif.change import NOTHING, Change
from herd.whatif.evidence import Evidence
from herd.whatif.figures import Figures, figures, middle
from herd.whatif.learn import Machines, Pair, learn
from herd.whatif.rerun import rerun, specs_of
from herd.whatif.support import Support, chance, doubts

MOST_PLAYS = 3
PLAYED = 15_000
"""Requests that are played in all, if once is not more."""
LEAST_REQUESTS = 20
"""Fewer answers with known tokens say nothing about a fleet."""

Progress: TypeAlias = Callable[[Iterable[Any], int, str], Iterable[Any]]
"""Passes items on, so many, and may show how far it has come with what."""


def silently(items: Iterable[Any], _total: int, _what: str) -> Iterable[Any]:
    """Pass the items on, and show nothing."""
    return items


class Work(msgspec.Struct, frozen=True):
    """One model on one node: its speed, and how many requests it had."""

    node_id: NodeId
    model: str
    tokens_per_s: float
    """Of one answer, alone on the node."""
    prompt_tokens_per_s: float
    """Of a long prompt, alone on the node."""
    load_s: float
    slots: int
    observed: int
    """Stretches of work that the speed rests on; 0: it was extrapolated."""
    recorded: int
    rerun: int
    whatif: int | None


class Answer(msgspec.Struct, frozen=True):
    """All that there is to say."""

    change: list[str]
    """What is different, in words; nothing if only the re-run was asked for."""
    start_us: int
    end_us: int
    nodes: list[NodeId]
    """Of the log."""
    recorded: Figures
    plays: int
    """Times that each of the others was played; figures are medians, all else is of the first."""
    rerun: Figures
    """Of the recorded herd, on the machines that were learned: its error is the model's."""
    whatif: Figures | None
    work: list[Work]
    doubts: list[str]
    """What lies outside what the log supports."""


class Outcomes(msgspec.Struct, frozen=True):
    """What became of each request whose end is recorded, as it was and in each play."""

    recorded: list[Outcome]
    rerun: list[list[Outcome]]
    whatif: list[list[Outcome]]
    """Empty if nothing is different."""


def answer(
    evidence: Evidence,
    change: Change,
    progress: Progress = silently,
    *,
    plays: int | None = None,
) -> tuple[Answer, Outcomes]:
    """Learn the machines, play the log again as it was and as it would have been, compare.

    Each is played several times, as far as that does not take long, with arrivals that are shifted
    a little; a figure is the median. Raises `HerdError` where too little is known.
    """
    enough(evidence)
    learned = learn(evidence, lambda nodes: progress(nodes, len(nodes), "learning"))
    if plays is None:
        plays = max(1, min(MOST_PLAYS, PLAYED // max(1, len(evidence.asked))))
    if not learned.speeds:
        raise HerdError(
            "no node's speed can be learned from this log: no model answered often enough anywhere",
            "record more traffic with `herd run`, or look further back (--from)",
        )
    recorded = evidence.outcomes()
    ended = {each.request_id for each in recorded}

    def played(wanted: Change, what: str) -> list[list[Outcome]]:
        def watch(lines: list[Line]) -> Iterable[Line]:
            return progress(lines, len(lines), what)

        found = (rerun(evidence, learned, wanted, watch, play=play) for play in range(plays))
        return [[each for each in outcomes if each.request_id in ended] for outcomes in found]

    outcomes = Outcomes(
        recorded, played(NOTHING, "re-run"), played(change, "what if") if change else []
    )
    return _answer(evidence, change, learned, outcomes), outcomes


def enough(evidence: Evidence) -> None:
    """Raise `HerdError` unless enough requests were answered, with known tokens."""
    known = sum(each.known for each in evidence.asked)
    if known < LEAST_REQUESTS:
        raise HerdError(
            f"too little is known: {known} answers with their tokens, {LEAST_REQUESTS} are needed",
            "let `herd run` serve more requests, or look further back (--from); "
            "`herd demo --data-dir DIR` makes a log to try it on",
        )


def _answer(
    evidence: Evidence,
    change: Change,
    learned: Machines,
    outcomes: Outcomes,
) -> Answer:
    specs = specs_of(learned, change)
    recorded = figures(outcomes.recorded)
    agains, others = list(map(figures, outcomes.rerun)), list(map(figures, outcomes.whatif))
    again, other = middle(agains), middle(others) if others else None
    support = Support(evidence, change, learned, (outcomes.whatif or outcomes.rerun)[0], specs)
    return Answer(
        change=change.words(),
        start_us=evidence.start_us,
        end_us=evidence.end_us,
        nodes=sorted(evidence.nodes),
        recorded=recorded,
        plays=len(agains),
        rerun=again,
        whatif=other,
        work=_work(learned, change, specs, outcomes),
        doubts=[*doubts(support, recorded, again, other), *chance(agains, others)],
    )


def _work(
    learned: Machines, change: Change, specs: Mapping[NodeId, NodeSpec], outcomes: Outcomes
) -> list[Work]:
    counts = [_counts(outcomes.recorded), _counts(outcomes.rerun[0])]
    counts.append(_counts(outcomes.whatif[0] if outcomes.whatif else ()))
    everywhere = learned.specs | dict(specs)
    used = sorted({pair for count in counts for pair in count})
    found: list[Work] = []
    for node_id, model in used:
        spec = everywhere[node_id]
        facts = next(each for each in spec.models if each.facts.name == model)
        like = NodeId(change.added.get(node_id, node_id))
        speed = learned.speeds.get((like, model))
        found.append(
            Work(
                node_id=node_id,
                model=model,
                tokens_per_s=decode_tokens_per_s(spec, facts),
                prompt_tokens_per_s=prefill_tokens_per_s(spec, facts),
                load_s=load_s(spec, facts),
                slots=slots_for(spec, facts),
                observed=0 if speed is None else speed.observed,
                recorded=counts[0][node_id, model],
                rerun=counts[1][node_id, model],
                whatif=None if not outcomes.whatif else counts[2][node_id, model],
            )
        )
    return found


def _counts(outcomes: Iterable[Outcome]) -> Counter[Pair]:
    return Counter((NodeId(each.node_id), each.model) for each in outcomes if each.node_id)
