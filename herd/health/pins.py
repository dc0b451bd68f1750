"""The check of pinned models: those that are not where they should be, and will not come."""

from collections.abc import Iterator

from herd.health.finding import Finding, counted
from herd.health.picture import Picture, newest

FAILED_LOADS = 3
"""In a day."""


def not_kept(picture: Picture) -> Iterator[Finding]:
    """Find pinned models that a node does not have on its disk, or fails to load."""
    for node in picture.nodes_online():
        for model in picture.view.pinned.get(node.node_id, ()):
            if any(each.name == model for each in node.resident):
                continue
            failed = [
                each
                for each in picture.happened("load_finished")
                if (each.node_id, each.model) == (node.node_id, model)
            ]
            wanted = [
                each
                for each in picture.at_node(node.node_id, "model_pinned")
                if each.model == model
            ]
            times = sum(each.events for each in failed)
            on_disk = any(each.name == model for each in node.models)
            if on_disk and times < FAILED_LOADS:
                continue
            yield Finding(
                check_id="pin_cannot_fit",
                severity="warning",
                title=f"{model} is pinned on {node.node_id}, and not in its memory",
                description=f"It failed to load there {counted(times, 'time')} in a day."
                if on_disk
                else "It is not on that node's disk.",
                fix=f"Make room there, or end it: `herd unpin {model} --node {node.node_id}`."
                if on_disk
                else f"`herd pull {model} --node {node.node_id}`, or `herd unpin {model}`.",
                node_id=node.node_id,
                data={"model": model, "failed_loads_24h": times, "on_disk": on_disk},
                seqs=newest(*(each.seqs for each in failed), *(each.seqs for each in wanted)),
            )
