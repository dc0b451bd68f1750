"""The placement policies there are, by name. The setting `policy` says which one is in force.

Beside the one that is meant to be used there are the plain ones of other balancers: to compare
with, by `herd run --policy`.

* `least-connections/1`: the smallest share of slots in use (nginx `least_conn`, HAProxy
  `leastconn`, with the slots as weights).
* `round-robin/1`: each node in its turn, by node id. Among those with a free slot, as they are
  when the turn comes; so a request that waits for a slot takes no turn.
* `random/1`: any, by the draw of the request.
* `points/1`: a sum of points, as ollama-herd has it (`points`).
"""

from actors.core import standing
from actors.core.placement import Choice, Policy, best, candidates, resident_first
from actors.core.points import points
from actors.core.soonest import soonest
from actors.core.state import Request, State
from events import Candidate


def least_connections(state: State, request: Request) -> Choice | None:
    """Choose by `least-connections/1`."""
    return best(state, request, candidates(state, request), _share, "least-connections/1")


def round_robin(state: State, request: Request) -> Choice | None:
    """Choose by `round-robin/1`."""
    found = candidates(state, request)
    turn = state.leases % max(1, len(found))
    places = {each.node_id: place for place, each in enumerate(found[turn:] + found[:turn])}
    return best(state, request, found, lambda each: (places[each.node_id],), "round-robin/1")


def random(state: State, request: Request) -> Choice | None:
    """Choose by `random/1`."""
    return best(state, request, candidates(state, request), _same, "random/1")


POLICIES: dict[str, Policy] = {
    "soonest": soonest,
    "resident-first": resident_first,
    "least-connections": least_connections,
    "round-robin": round_robin,
    "random": random,
    "points": points,
}
"""By the names that settings and commands take."""


def place(state: State, request: Request) -> Choice | None:
    """Choose by the policy in force; one that this version does not know is the first."""
    return POLICIES.get(state.settings.policy, resident_first)(state, request)


def nowhere(state: State, model: str) -> bool:
    """Whether it is clear without asking that nobody who waits for a model goes anywhere now."""
    return state.settings.policy == "soonest" and standing.nowhere(state, model)


def _share(candidate: Candidate) -> tuple[float, ...]:
    return (candidate.in_flight / candidate.slots,)


def _same(_candidate: Candidate) -> tuple[float, ...]:
    return ()
