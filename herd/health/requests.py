"""Checks of requests: how many did not come to a good end, and in which way."""

from collections import Counter
from collections.abc import Iterable, Iterator

from herd.health.finding import Finding, counted
from herd.health.picture import Picture, Trouble, newest
from herd.health.restarting import restart

ERROR_RATE = 0.05
RETRY_RATE = 0.3
LEAST = 20
"""Requests below which a rate says nothing."""
DISCONNECTS = 3
DISCONNECT_RATE = 0.01
LOAD_FAILURES = 3
ABANDONED = 0.3
"""The part of a model's loads for which nobody waited."""
QUICK_FAILURES = 5
_OVER_TIME = ("hold_timeout", "paused", "queue_timeout")
_OVER_DEADLINE = ("deadline", "too_late")
"""What clients themselves say how long they wait."""


def error_rate(picture: Picture) -> Iterator[Finding]:
    """Find nodes that fail a good part of what they are given."""
    failures = [
        each
        for each in picture.happened("attempt_failed", "request_failed")
        if each.node_id and each.fault != "client"
    ]
    for node_id in dict.fromkeys(each.node_id for each in failures):
        mine = [each for each in failures if each.node_id == node_id]
        failed, completed = _count(mine), picture.completed(node_id)
        if failed + completed >= LEAST and failed >= ERROR_RATE * (failed + completed):
            recent = _count(each for each in mine if each.recent)
            yield Finding(
                check_id="high_error_rate",
                severity="warning" if recent else "info",
                title=f"{node_id} fails {failed / (failed + completed):.0%} of its requests",
                description=f"{failed} of {failed + completed} attempts failed there in a day, "
                f"{recent} of them in the last hour.",
                fix=f"`herd log --node {node_id} --kind attempt_failed` tells what it said; "
                "Ollama's own log there (`journalctl -u ollama`) tells why.",
                node_id=node_id,
                data={"failed": failed, "completed": completed, "failed_1h": recent},
                seqs=_seqs(mine),
            )


def retry_rate(picture: Picture) -> Iterator[Finding]:
    """Find that many requests have to be tried on another node."""
    retries = picture.happened("attempt_failed")
    tried, completed = picture.retries(), picture.completed()
    failures = Counter[str]()
    for each in retries:
        failures[each.node_id] += each.events
    worst = max(failures, key=failures.__getitem__, default="")
    if completed >= LEAST and tried >= RETRY_RATE * completed:
        yield Finding(
            check_id="high_retry_rate",
            severity="warning",
            title=f"{tried / completed:.1f} retries for each answer",
            description=f"So often another node had to be asked in a day, for {completed} whole "
            "answers: clients get them later than they could.",
            fix=f"Drain the node that fails most until it is mended: `herd drain {worst}`."
            if worst
            else "`herd log --kind attempt_failed` tells what went wrong.",
            data={"retries": tried, "completed": completed},
            seqs=_seqs(retries),
        )


def timeouts(picture: Picture) -> Iterator[Finding]:
    """Find requests that waited in line until their time was over."""
    over = [each for each in picture.happened("request_rejected") if each.phase in _OVER_TIME]
    if over:
        models = sorted({each.model for each in over})
        yield Finding(
            check_id="timeouts",
            severity="warning" if any(each.recent for each in over) else "info",
            title=f"{counted(_count(over), 'request')} waited too long for a node",
            description=f"They were for {', '.join(models[:5])}: no slot became free in their "
            "time, or no node that is online has the model.",
            fix=f"Give the model to one more node: `herd pull {models[0]} --node NODE`. Or allow "
            "longer waits (`FLEET_QUEUE_TIMEOUT`).",
            data={"models": models, "reasons": sorted({each.phase for each in over})},
            seqs=_seqs(over),
        )


def deadlines(picture: Picture) -> Iterator[Finding]:
    """Find requests that their own clients would not let wait for as long as it took."""
    over = [each for each in picture.happened("request_rejected") if each.phase in _OVER_DEADLINE]
    if over:
        models = sorted({each.model for each in over})
        yield Finding(
            check_id="deadlines",
            severity="info",
            title=f"{counted(_count(over), 'request')} could not be served within "
            f"{'its' if _count(over) == 1 else 'their'} client's deadline",
            description=f"They were for {', '.join(models[:5])}: their clients said how long they "
            "wait (X-Herd-Deadline-S), and the line was longer.",
            fix="Let these clients wait longer, or give the model to one more node: "
            f"`herd pull {models[0]} --node NODE`.",
            data={"models": models, "reasons": sorted({each.phase for each in over})},
            seqs=_seqs(over),
        )


def load_timeouts(picture: Picture) -> Iterator[Finding]:
    """Find models that do not get going on a node: requests end before the first byte.

    Or their clients do not wait for it: then Ollama ends the load, and the next begins it again.
    """
    stuck = [
        each
        for each in picture.happened("attempt_failed", "request_failed")
        if each.phase == "first_byte" and each.fault != "client" and each.events > each.quick
    ]
    for place in dict.fromkeys((each.node_id, each.model) for each in stuck):
        node_id, model = place
        mine = [each for each in stuck if (each.node_id, each.model) == place]
        count = sum(each.events - each.quick for each in mine)
        if count >= LOAD_FAILURES:
            yield Finding(
                check_id="model_load_timeout",
                severity="warning" if any(each.recent for each in mine) else "info",
                title=f"{model} does not get going on {node_id}",
                description=f"{counted(count, 'request')} for it ended there before the first "
                "byte, after more than a second: it does not fit, or Ollama is stuck.",
                fix=f"Load it by hand there (`ollama run {model}`) and see what it says; "
                f"if several models are stuck, {restart(picture, node_id)}.",
                node_id=node_id,
                data={"model": model, "failures": count},
                seqs=_seqs(mine),
            )
    yield from _abandoned(picture)


def _abandoned(picture: Picture) -> Iterator[Finding]:
    left = [work for work in picture.work if work.abandoned]
    for place in dict.fromkeys((work.node_id, work.model) for work in left):
        node_id, model = place
        mine = [work for work in picture.work if (work.node_id, work.model) == place]
        count, loads = sum(work.abandoned for work in mine), sum(work.cold for work in mine)
        if count >= LOAD_FAILURES and count >= ABANDONED * loads:
            yield Finding(
                check_id="model_load_timeout",
                severity="warning"
                if any(work.recent and work.abandoned for work in mine)
                else "info",
                title=f"Clients do not wait until {node_id} has loaded {model}",
                description=f"{count} of {loads} loads in a day were for nobody: who had asked "
                "went away first. Ollama then ends the load, and the next request begins it again.",
                fix=f"Keep it in memory: `herd pin {model} --node {node_id}`. Or give those "
                "clients a longer time-out.",
                node_id=node_id,
                data={"model": model, "abandoned": count, "loads_24h": loads},
                seqs=newest(*(work.abandoned_seqs for work in mine)),
            )


def quick_failures(picture: Picture) -> Iterator[Finding]:
    """Find nodes that refuse at once: they look idle, and so draw more and more requests."""
    quick = [each for each in picture.happened("attempt_failed", "request_failed") if each.quick]
    for node_id in dict.fromkeys(each.node_id for each in quick if each.node_id):
        mine = [each for each in quick if each.node_id == node_id]
        count = sum(each.quick for each in mine)
        if count >= QUICK_FAILURES:
            yield Finding(
                check_id="fast_errors",
                severity="warning" if any(each.recent for each in mine) else "info",
                title=f"{node_id} refuses requests at once",
                description=f"{count} errors of the node (5xx) came within a second. Each model "
                "is kept away from it for a while after some failures in a row.",
                fix=f"Drain it until it is mended: `herd drain {node_id}`. Ollama's own log there "
                "(`journalctl -u ollama`) tells why.",
                node_id=node_id,
                data={"errors": count, "statuses": sorted({each.status for each in mine})},
                seqs=_seqs(mine),
            )


def disconnects(picture: Picture) -> Iterator[Finding]:
    """Find clients that went away before they had their answer."""
    gone = picture.happened("request_cancelled")
    count, completed = _count(gone), picture.completed()
    if count >= DISCONNECTS and count > DISCONNECT_RATE * (count + completed):
        by_model: dict[str, int] = {}
        for each in gone:
            by_model[each.model] = by_model.get(each.model, 0) + each.events
        yield Finding(
            check_id="client_disconnects",
            severity="warning" if any(each.recent for each in gone) else "info",
            title=f"{counted(count, 'client')} went away before the end",
            description="Their answers took longer than they were willing to wait, or somebody "
            "stopped them.",
            fix="`herd log --kind request_cancelled` tells which, and how far they had come: give "
            "those clients a longer time-out, or the models more room.",
            data={"by_model": by_model, "completed": completed},
            seqs=_seqs(gone),
        )


def incomplete_streams(picture: Picture) -> Iterator[Finding]:
    """Find answers that broke off in the middle."""
    broken = [
        each
        for each in picture.happened("request_failed")
        if each.phase == "stream" and each.fault != "client"
    ]
    if broken:
        nodes = list(dict.fromkeys(each.node_id for each in broken if each.node_id))
        yield Finding(
            check_id="incomplete_streams",
            severity="warning" if any(each.recent for each in broken) else "info",
            title=f"{counted(_count(broken), 'answer')} broke off",
            description=f"The connection to {', '.join(nodes) or 'the node'} ended in the middle "
            "of an answer, which cannot be tried again.",
            fix="Look whether Ollama was killed there, most often for want of memory: "
            "`journalctl -k | grep -i oom`.",
            node_id=nodes[0] if len(nodes) == 1 else None,
            data={"nodes": nodes, "models": sorted({each.model for each in broken})},
            seqs=_seqs(broken),
        )


def reaped(picture: Picture) -> Iterator[Finding]:
    """Find requests that made no progress until herd ended them."""
    ended = picture.happened("request_reaped")
    if ended:
        nodes = list(dict.fromkeys(each.node_id for each in ended))
        count = _count(ended)
        yield Finding(
            check_id="requests_reaped",
            severity="critical" if count > LEAST else "warning",
            title=f"{counted(count, 'request')} made no progress, until herd ended them",
            description=f"They ran on {', '.join(nodes)} and came no further for as long as "
            "stale_timeout_s allows.",
            fix=f"On {', '.join(nodes)}: {restart(picture, *nodes)}.",
            node_id=nodes[0] if len(nodes) == 1 else None,
            data={"nodes": nodes, "models": sorted({each.model for each in ended})},
            seqs=_seqs(ended),
        )


def _count(troubles: Iterable[Trouble]) -> int:
    return sum(each.events for each in troubles)


def _seqs(troubles: Iterable[Trouble]) -> tuple[int, ...]:
    return newest(*(each.seqs for each in troubles))
