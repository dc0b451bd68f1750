"""How far an answer goes beyond what its log shows, in sentences."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from actors.core.state import US
from events import NodeId
from herd.simulator.hardware import NodeSpec
from herd.virtual.script import Outcome
from herd.whatif.change import Change, counted
from herd.whatif.evidence import Evidence
from herd.whatif.figures import POINTS, TIMES, Figures, figure
from herd.whatif.learn import Machines, Pair
from herd.whatif.slots import sent_at_once

OWN_ERROR = 0.25
"""A re-run that misses a recorded figure by more is said to."""
SLIGHT_S = 0.05
"""Differences of less are no matter."""
CHANCE = 0.1
"""Plays that should be alike and lie further apart are told of."""
ALIKE = 0.01
"""Where more of the requests are answered, or fewer, the times are of others."""
FEW = 30
"""Stretches of work that a speed should rest on."""
ENOUGH = {"p95": 200, "p99": 1000}
"""Requests that a quantile should rest on: ten beyond it."""
NAMED = 4

LABELS = {"wait": "wait", "ttft": "TTFT", "completion": "completion"}


class Support(msgspec.Struct, frozen=True):
    """What an answer rests on."""

    evidence: Evidence
    change: Change
    learned: Machines
    played: list[Outcome]
    """Of what if, or of the re-run where nothing is different."""
    specs: Mapping[NodeId, NodeSpec]


def doubts(support: Support, recorded: Figures, again: Figures, other: Figures | None) -> list[str]:
    """Return what the log does not support, one sentence each."""
    return [
        *_survivors(again, other),
        *_own_error(recorded, again, other),
        *_unseen(support),
        *_fuller(support),
        *_rare(support),
        *_changed(support),
        *_quantiles(recorded),
        *_the_log(support.evidence, recorded, again),
    ]


def chance(agains: Sequence[Figures], others: Sequence[Figures]) -> Iterator[str]:
    """Yield where plays that differ by next to nothing come out apart, or too near to choose."""
    for name, plays in (("WHAT IF", others), ("RE-RUN", agains)):
        ends = [figure(each, "completion", "p95") for each in plays]
        if ends and max(ends) - min(ends) > max(SLIGHT_S, CHANCE * min(ends)):
            yield (
                f"Chance alone moves p95 of completion from {min(ends):.2f} to {max(ends):.2f} s "
                f"in {name}: so far apart are {len(ends)} plays with arrivals shifted by 2 ms or "
                "less."
            )
    if len(others) > 1 and _overlap(agains, others):
        yield "By p95 of completion neither is better: the plays of one reach into the other's."


def _overlap(agains: Sequence[Figures], others: Sequence[Figures]) -> bool:
    was = [figure(each, "completion", "p95") for each in agains]
    new = [figure(each, "completion", "p95") for each in others]
    return max(min(was), min(new)) <= min(max(was), max(new))


def alike(again: Figures, other: Figures) -> bool:
    """Whether about as many requests are answered, so that their times can be compared."""
    return abs(other.completed - again.completed) <= ALIKE * again.completed


def _survivors(again: Figures, other: Figures | None) -> Iterator[str]:
    """Yield that times are of other requests, where fewer or more are answered."""
    if other is None or alike(again, other):
        return
    more = other.completed - again.completed
    yield (
        f"{abs(more):,} {'fewer' if more < 0 else 'more'} requests are answered, and TTFT and "
        "completion are of those that are: these times (in brackets) do not compare."
    )


def _own_error(recorded: Figures, again: Figures, other: Figures | None) -> Iterator[str]:
    """Yield the figures that the re-run misses, and the changes that are no larger than that."""
    missed: list[str] = []
    slight: list[str] = []
    for time in TIMES:
        for point in POINTS:
            was, made = figure(recorded, time, point), figure(again, time, point)
            error_s = abs(made - was)
            if error_s > max(SLIGHT_S, OWN_ERROR * was):
                missed.append(f"{point} of {LABELS[time]} ({_percent(made, was)})")
            elif other is not None and point == "p95" and error_s > SLIGHT_S:
                change_s = abs(figure(other, time, point) - made)
                if change_s < error_s:
                    slight.append(f"{point} of {LABELS[time]}")
    if missed:
        yield f"The re-run misses what was recorded: {', '.join(missed)}. Trust no smaller change."
    if slight:
        yield f"The change is smaller than the model's own error: {', '.join(slight)}."


def _unseen(support: Support) -> Iterator[str]:
    """Yield the share of requests whose node and model the log showed together too little."""
    placed = [each for each in support.played if each.node_id]
    unseen = Counter(pair for each in placed if not _observed(support, pair := _pair(each)))
    if not unseen:
        return
    share = sum(unseen.values()) / len(placed)
    answered = Counter(_pair(each) for each in support.evidence.outcomes() if _answered(each))
    pairs = [
        f"{pair[1]} on {pair[0]} ({counted(answered[_like(support, pair)], 'answer')})"
        for pair, _ in unseen.most_common(NAMED)
    ]
    more = f" and {len(unseen) - NAMED} more" if len(unseen) > NAMED else ""
    yield (
        f"{share:.0%} of the requests run where the log shows too little of their model: "
        f"{', '.join(pairs)}{more}. These speeds are extrapolated."
    )


def _fuller(support: Support) -> Iterator[str]:
    """Yield the nodes that have more to do at once than was ever observed."""
    spans: dict[Pair, list[tuple[int, int]]] = defaultdict(list)
    for each in support.played:
        if _answered(each):
            began_us = each.at_us + round(each.wait_s * US)
            spans[_pair(each)].append((began_us, each.at_us + round(each.total_s * US)))
    for pair, sent in sorted(spans.items()):
        speed, spec = support.learned.speeds.get(pair), support.specs.get(pair[0])
        if speed is None or not speed.observed or spec is None:
            continue
        slots = spec.measured[pair[1]].slots
        most = min(slots, sent_at_once(sent))
        if most > round(speed.beside):
            yield (
                f"{pair[0]} makes up to {most} answers of {pair[1]} at once here; in the log it "
                f"made {round(speed.beside)}. How it slows down beyond that is extrapolated."
            )


def _rare(support: Support) -> Iterator[str]:
    """Yield the speeds that rest on little."""
    used = {_pair(each) for each in support.played if each.node_id}
    rare = [
        f"{model} on {node_id}"
        for node_id, model in sorted(used)
        if (speed := support.learned.speeds.get((node_id, model))) and 0 < speed.observed < FEW
    ]
    if rare:
        more = f" and {len(rare) - NAMED} more" if len(rare) > NAMED else ""
        yield f"These speeds rest on few observations: {', '.join(rare[:NAMED])}{more}."


def _changed(support: Support) -> Iterator[str]:
    for node_id, like in support.change.added.items():
        yield f"{node_id} is taken to be just like {like}, with nothing in its memory at first."
    for node_id, slots in support.change.slots.items():
        known = support.evidence.nodes.get(node_id)
        if known is None or slots > known.slots:
            yield (
                f"{slots} slots on {node_id} are taken to need no more memory than before, "
                "and its server to be set to serve so many."
            )


def _quantiles(recorded: Figures) -> Iterator[str]:
    few = [point for point, least in ENOUGH.items() if recorded.requests < least]
    if few:
        yield f"{recorded.requests} requests are few for {' and '.join(few)}."


def _the_log(evidence: Evidence, recorded: Figures, again: Figures) -> Iterator[str]:
    """Yield what the log leaves out."""
    if under_way := len(evidence.start.requests):
        yield f"{under_way} requests were under way when the log begins; they are left out."
    if lost := evidence.interrupted:
        yield f"{lost} requests were lost with a process of herd; they are not compared."
    if evidence.not_recorded:
        yield f"{evidence.not_recorded} events were not recorded, as the log could not be written."
    if recorded.failed > again.failed:
        yield (
            f"{recorded.failed - again.failed} recorded failures were not what the model knows of "
            "(a node's own errors): it lets these requests be answered."
        )
    guessed = sum(not each.known and each.how == "completed" for each in evidence.asked)
    if guessed:
        yield f"{guessed} answers had no token counts; they are taken to be as long as others."


def _observed(support: Support, pair: Pair) -> bool:
    like = _like(support, pair)
    speed = support.learned.speeds.get(like)
    return like[0] not in support.learned.specs or (speed is not None and speed.observed > 0)


def _like(support: Support, pair: Pair) -> Pair:
    """Return where the log shows it: of a new node, the one that it is like."""
    node_id, model = pair
    return NodeId(support.change.added.get(node_id, node_id)), model


def _answered(outcome: Outcome) -> bool:
    return bool(outcome.node_id) and outcome.how == "completed"


def _pair(outcome: Outcome) -> Pair:
    return NodeId(outcome.node_id), outcome.model


def _percent(made: float, was: float) -> str:
    return f"{made / was - 1:+.0%}" if was else f"{made:.2f} s instead of none"
