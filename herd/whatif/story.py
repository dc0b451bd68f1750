"""The script of a re-run: the recorded arrivals and facts, and what is to be different.

Requests come when they came, with the tokens they had. Where the log does not know these (it was
cancelled, refused, cut off) they are those of another request of the same model, drawn by the
request's id. A client that left leaves at the same time after its arrival. The facts about the
fleet come again as they were; what they say of a node's memory is what the re-run has there.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from heapq import merge
from operator import attrgetter

import msgspec

from actors.core.state import US, State, dump, load
from events import (
    ConfigurationLoaded,
    Event,
    HeartbeatReceived,
    NodeConfigured,
    NodeId,
    NodeProbed,
    SettingsChanged,
)
from herd.simulator.hardware import NodeSpec
from herd.virtual.script import NEVER, Arrival, Happening, Line
from herd.whatif.change import Change
from herd.whatif.evidence import Asked, Evidence

SHIFT_US = 2000
"""An arrival is shifted by less than this: no more than a network does."""

Length = tuple[int, int]
"""Tokens of an answer, and of its prompt."""


def start(evidence: Evidence, change: Change) -> State:
    """Return the state to begin with: the recorded one, changed."""
    state = load(dump(evidence.start))
    for node_id in change.without:
        state.nodes.pop(node_id, None)
    mine = msgspec.structs.asdict(state.settings)
    told = {key: value for key, value in change.settings.items() if key in mine}
    state.settings = msgspec.structs.replace(state.settings, **told)
    for node_id, slots in change.slots.items():
        if (node := state.nodes.get(node_id)) is not None:
            node.told_slots = slots
            for known in node.slots.values():
                known.limit, known.told, known.trial = slots, True, False
    return state


def script(
    evidence: Evidence, change: Change, specs: Mapping[NodeId, NodeSpec], play: int = 0
) -> list[Line]:
    """Return all that happens, in order of time; `specs` are of the nodes of the re-run.

    In any play but the first each arrival is shifted a little, to see what is chance.
    """
    happenings = [*_joining(evidence, change, specs), *_facts(evidence, change)]
    arrivals = sorted(_arrivals(evidence, play), key=attrgetter("at_us"))
    # Of one instant, facts about the fleet come first: so did they in the log of a new herd.
    return list(merge(happenings, arrivals, key=attrgetter("at_us")))


def _arrivals(evidence: Evidence, play: int) -> Iterator[Line]:
    lengths = _Lengths(evidence.asked)
    for asked in evidence.asked:
        prompt_tokens, output_tokens = lengths.of(asked)
        shift_us = _draw(f"play {play}", asked) % SHIFT_US if play else 0
        left = asked.how in {"cancelled", "interrupted"}
        yield Arrival(
            at_us=asked.at_us + shift_us,
            request=asked.received,
            prompt_tokens=prompt_tokens,
            output_tokens=output_tokens,
            patience_s=(asked.ended_us - asked.at_us) / US if left else NEVER,
        )


class _Lengths:
    """What prompts and answers are long, as far as the log knows."""

    def __init__(self, asked: Sequence[Asked]) -> None:
        self._known: dict[str, list[Length]] = defaultdict(list)
        for each in asked:
            if each.known:
                length = each.completion_tokens, each.prompt_tokens
                self._known[each.received.model].append(length)
        for lengths in self._known.values():
            lengths.sort()
        self._all = sorted(each for lengths in self._known.values() for each in lengths)

    def of(self, asked: Asked) -> tuple[int, int]:
        """Return the tokens of a prompt and its answer: the known ones, or drawn ones."""
        if asked.known:
            return asked.prompt_tokens, asked.completion_tokens
        if asked.turned_down:
            return 1, 0
        like = self._known.get(asked.received.model) or self._all
        longer = like[bisect_left(like, (asked.completion_tokens + 1, 0)) :]
        if not longer:  # it was longer than any that ended
            return like[-1][1], asked.completion_tokens + 1
        output_tokens, prompt_tokens = longer[_draw("what if", asked) % len(longer)]
        return prompt_tokens, output_tokens


def _draw(what: str, asked: Asked) -> int:
    told = f"{what} {asked.received.request_id}".encode()
    return int.from_bytes(blake2b(told, digest_size=6).digest(), "big")


def _facts(evidence: Evidence, change: Change) -> Iterator[Line]:
    for happening in evidence.happenings:
        fact = happening.fact
        if getattr(fact, "node_id", None) in change.without:
            continue
        if isinstance(fact, SettingsChanged) and fact.key in change.settings:
            continue
        yield Happening(at_us=happening.at_us, fact=_changed(fact, change))


def _changed(fact: Event, change: Change) -> Event:
    """Return a recorded fact as it is where something is different."""
    match fact:
        case ConfigurationLoaded(settings=settings):
            named = [str(settings.get("nodes", "")), *map(_url, change.added)]
            told = settings | change.settings | {"nodes": " ".join(filter(None, named))}
            return ConfigurationLoaded(settings=told)
        case NodeConfigured(node_id=node_id) if node_id in change.slots:
            return msgspec.structs.replace(fact, slots=change.slots[node_id])
        case HeartbeatReceived(node_id=node_id, facts=facts) if node_id in change.slots:
            facts = msgspec.structs.replace(facts, slots=change.slots[node_id])
            return msgspec.structs.replace(fact, facts=facts)
        case NodeProbed(node_id=node_id, facts=facts) if node_id in change.slots and facts:
            facts = msgspec.structs.replace(facts, slots=change.slots[node_id])
            return msgspec.structs.replace(fact, facts=facts)
        case _:
            return fact


def _joining(
    evidence: Evidence, change: Change, specs: Mapping[NodeId, NodeSpec]
) -> Iterator[Line]:
    """Yield what a new node's first probe tells, for each."""
    for node_id, like in change.added.items():
        spec, known = specs[node_id], evidence.nodes.get(NodeId(like))
        told = spec.facts.slots if known is None else known.slots
        told = change.slots.get(node_id, told)
        probed = NodeProbed(
            node_id=node_id,
            reachable=True,
            facts=msgspec.structs.replace(spec.facts, slots=told),
            resident=(),
            models=tuple(model.facts for model in spec.models),
        )
        told_so = NodeConfigured(node_id=node_id, url=_url(node_id), slots=told)
        for fact in (told_so, probed):
            yield Happening(at_us=evidence.start_us, fact=fact)


def _url(node_id: NodeId) -> str:
    return f"http://{node_id}:11434"
