"""The state in which something was decided: the log folded up to the decision.

A request is bound only when nothing else is left to be decided (`State.pending`): so the record
before a dispatch is the one that led to it, and the fold through that record is what the policy
saw, with all that the same fact had led to before.
"""

from collections.abc import Iterable, Iterator
from functools import partial

import msgspec

from actors.core.placement import Choice, Policy
from actors.core.policies import place
from actors.core.state import Request, State, dump, load
from actors.core.step import step
from actors.run_queue import run
from events import Candidate, Recorded, RequestDispatched
from herd.control.restore import apply


class Moment(msgspec.Struct, frozen=True):
    """A fact of the log."""

    before: State
    """The state that it met."""
    chunk: list[Recorded]
    """The fact, and the decisions that followed from it."""

    def until(self, seq: int) -> State:
        """Return the state just before a record of the chunk, as a restart would fold it."""
        state = load(dump(self.before))
        for record in self.chunk:
            if record.seq < seq:
                apply(state, record)
        return state


class Decision(msgspec.Struct, frozen=True):
    """A placement, made again."""

    dispatch: RequestDispatched
    """As it is recorded."""
    state: State
    """What the policy saw."""
    request: Request
    choice: Choice | None
    """What the policy of this version makes of it."""

    @property
    def exact(self) -> bool:
        """Whether it is the recorded decision, to the last term."""
        choice, told = self.choice, self.dispatch
        return choice is not None and (
            (choice.node.node_id, choice.candidates, choice.more, choice.draw, choice.policy)
            == (told.node_id, told.terms, told.more, told.draw, told.policy)
        )


def moments(records: Iterable[Recorded], wanted: set[int]) -> Iterator[Moment]:
    """Fold records that begin with a stored state; yield the facts with a wanted `seq` in them."""
    state = State()
    chunk: list[Recorded] = []
    met = False
    for record in records:
        if not record.cause:
            if met:
                yield Moment(load(dump(state)), chunk)
            for each in chunk:
                apply(state, each)
            chunk, met = [], False
        chunk.append(record)
        met = met or record.seq in wanted
    if met:
        yield Moment(state, chunk)


def decision(moment: Moment, record: Recorded, policy: Policy = place) -> Decision | None:
    """Make the placement `record` again; None if its request cannot be found before it."""
    event = record.event
    assert isinstance(event, RequestDispatched)  # noqa: S101 (the caller looked)
    state = moment.until(record.seq)
    request = state.requests.get(event.request_id)
    return None if request is None else Decision(event, state, request, policy(state, request))


def all_candidates(found: Decision, policy: Policy = place) -> list[Candidate]:
    """Return the terms of every candidate: those stored, and, by asking without these, the rest."""
    told = found.dispatch
    shown = list(told.terms)
    request = found.request
    while found.exact and len(shown) < len(told.terms) + told.more:
        names = [each.node_id for each in shown]
        without = msgspec.structs.replace(request, excluded=[*request.excluded, *names])
        choice = policy(found.state, without)
        if choice is None:
            break
        shown += choice.candidates
    return shown


def again(state: State, fact: Recorded, policy: Policy) -> list[Recorded]:
    """Run a fact on the state before it, which is changed; return it and what follows."""
    deliver = partial(step, state, policy=policy)
    return run(state, deliver, fact.event, fact.recorded_at, (fact.src, fact.n)).records
