"""Conversations, laid over the rows of a trace: declared here, since no trace of ours has any.

Rows keep their instants and the lengths of their answers. Each is the next turn of a conversation
that is due, or the first of a new one. A conversation has one model and one application, with a
system prompt of its own. Its prompts grow: what was said before is sent again, with the answer
and a new message of a quarter of the row's prompt. It ends after a drawn number of turns, four in
the mean, or when it no longer fits. The next turn comes 6 to 60 requests after the last one; at
high loads that may be before its answer, and then nothing of it is cached yet.
"""

from collections import defaultdict, deque
from collections.abc import Sequence
from random import Random

import msgspec

from benchmarks.placement.workload import MOST_TOKENS, Row
from events import Prefix
from herd.virtual.script import Arrival

GOES_ON = 0.75
"""The probability of another turn."""
SOONEST, LATEST = 6, 60
"""Requests between two turns."""
MESSAGE_SHARE = 0.25
LEAST_MESSAGE_TOKENS = 20
SYSTEM_TOKENS = (200, 400, 800, 1600)
"""Of the system prompt of each application."""
KNOWN_TURNS = 4
"""Beginnings that a front tells, beside the system prompt."""


class Turn(msgspec.Struct, frozen=True):
    """One row's place in a conversation."""

    first: int
    """The row that began it: its model and application are those of that row."""
    app: int
    beginnings: tuple[int, ...]
    """Where the system prompt and each turn so far ended, in tokens; the last is the prompt."""


def talk(rows: Sequence[Row], seed: int) -> tuple[list[Row], list[Turn]]:
    """Return the rows with prompts that grow, and the turn that each is."""
    random = Random(seed)  # noqa: S311 (traffic, not secrets)
    due: deque[Turn] = deque()
    later: defaultdict[int, list[Turn]] = defaultdict(list)
    grown: list[Row] = []
    turns: list[Turn] = []
    for number, row in enumerate(rows):
        due.extend(later.pop(number, ()))
        message = max(LEAST_MESSAGE_TOKENS, int(row.prompt_tokens * MESSAGE_SHARE))
        if due and due[0].beginnings[-1] + message <= MOST_TOKENS:
            before = due.popleft()
            turn = Turn(
                before.first, before.app, (*before.beginnings, before.beginnings[-1] + message)
            )
        else:
            if due:
                due.popleft()  # it has no more room
            app = random.randrange(len(SYSTEM_TOKENS))
            prompt = min(MOST_TOKENS, SYSTEM_TOKENS[app] + message)
            turn = Turn(number, app, (SYSTEM_TOKENS[app], prompt))
        grown.append(row._replace(prompt_tokens=turn.beginnings[-1]))
        turns.append(turn)
        if random.random() < GOES_ON:
            said = turn.beginnings[-1] + row.output_tokens
            told = Turn(turn.first, turn.app, (*turn.beginnings, said))
            if said < MOST_TOKENS:
                later[number + random.randint(SOONEST, LATEST)].append(told)
    return grown, turns


def as_told(asked: Sequence[Arrival], turns: Sequence[Turn]) -> list[Arrival]:
    """Return the requests as turns: with the model of the first, and their beginnings."""
    found: list[Arrival] = []
    for arrival, turn in zip(asked, turns, strict=True):
        scale = arrival.request.body_bytes / max(1, arrival.prompt_tokens)
        first = asked[turn.first].request
        names = [f"app-{turn.app}", *(f"{turn.first}-{end}" for end in turn.beginnings[1:])]
        ends = list(zip(names, turn.beginnings, strict=True))
        told = [ends[0], *ends[1:][-KNOWN_TURNS:]]
        request = msgspec.structs.replace(
            arrival.request,
            model=first.model,
            app=f"app-{turn.app}",
            prefixes=tuple(Prefix(name, int(end * scale)) for name, end in told),
        )
        found.append(msgspec.structs.replace(arrival, request=request))
    return found
