"""Checks of nodes that answer, and yet do no work: what herd keeps away from them by itself."""

from collections.abc import Iterator

from herd.health.finding import Finding, counted
from herd.health.picture import Picture, Trouble, newest
from herd.health.restarting import restart

SLOW = "slow"


def kept_away(picture: Picture) -> Iterator[Finding]:
    """Find models that are kept away from a node since it failed them too often in a row."""
    opened = [each for each in picture.happened("circuit_opened") if each.phase != SLOW]
    for node_id, model, mine in still_open(picture, opened):
        count = sum(each.events for each in mine)
        yield Finding(
            check_id="circuit_open",
            severity="warning" if any(each.recent for each in mine) else "info",
            title=f"{node_id} gets no {model} for now",
            description=f"It failed {model} too often in a row ({counted(count, 'time')} in a "
            "day), and no request for it has come to a good end there since. Other models go "
            "there as usual.",
            fix=f"Try `ollama run {model}` there. The next request that succeeds ends this by "
            "itself.",
            node_id=node_id,
            data={"model": model, "times": count},
            seqs=newest(*(each.seqs for each in mine)),
        )


def still_open(picture: Picture, opened: list[Trouble]) -> Iterator[tuple[str, str, list[Trouble]]]:
    """Yield the nodes and models of circuits that were opened, and not closed since."""
    known = {node.node_id for node in picture.view.nodes}
    closed = picture.happened("circuit_closed", "node_forgotten")
    for place in dict.fromkeys((each.node_id, each.model) for each in opened):
        node_id, model = place
        mine = [each for each in opened if (each.node_id, each.model) == place]
        healed = [each for each in closed if (each.node_id, each.model or model) == place]
        seqs = newest(*(each.seqs for each in mine))
        if node_id in known and seqs > newest(*(each.seqs for each in healed)):
            yield node_id, model, mine


def stalled(picture: Picture) -> Iterator[Finding]:
    """Find nodes that took requests and gave no sign of life, while they answered probes."""
    silent = picture.happened("request_stalled")
    for node_id in dict.fromkeys(each.node_id for each in silent):
        mine = [each for each in silent if each.node_id == node_id]
        models = sorted({each.model for each in mine})
        count = sum(each.events for each in mine)
        yield Finding(
            check_id="requests_stalled",
            severity="warning" if any(each.recent for each in mine) else "info",
            title=f"{node_id} left {counted(count, 'request')} without an answer",
            description=f"It took requests for {', '.join(models)} and gave no sign of life for "
            "longer than such an answer takes; they were given to another node, if there was one.",
            fix="It answers `/api/tags`, but its models do not work: there, "
            f"{restart(picture, node_id)}.",
            node_id=node_id,
            data={"models": models, "requests": count},
            seqs=newest(*(each.seqs for each in mine)),
        )
