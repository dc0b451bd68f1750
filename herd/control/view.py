"""The fleet as fronts and operators see it: a picture of the folded state."""

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from actors.core.keys import Key
from actors.core.owning import limit_of
from actors.core.placement import slots_of
from actors.core.predicting import line_s
from actors.core.state import US, Node, State, Tally
from actors.core.waking import ASLEEP, can_be_asked
from events import Gpu, NodeId
from herd.link.messages import KeyView, KnockView, NodeView, PinView, PullView, SlotView, View

_ONLINE = {
    "healthy": "online",
    "degraded": "degraded",
    "offline": "offline",
    "new": "offline",
    ASLEEP: "sleeping",
}


def view_of(
    state: State,
    *,
    recording: bool,
    challenge: str = "",
    gpus: Mapping[NodeId, tuple[Gpu, ...]] = MappingProxyType({}),
) -> View:
    """Return what fronts answer `/api/tags`, `/api/ps`, `/v1/models`, `/fleet/status` from."""
    return View(
        nodes=tuple(
            _node(state, node, gpus.get(node.node_id, ())) for node in state.nodes.values()
        ),
        rejected=dict(state.rejected),
        waiting={model: len(line.waiting) for model, line in state.lines.items() if line.waiting},
        settled=state.settled(),
        recording=recording,
        predicted_wait_s={
            model: wait_s
            for model, line in state.lines.items()
            if line.waiting and (wait_s := line_s(state, model))
        },
        settings=msgspec.structs.asdict(state.settings),
        keys=tuple(_key(key) for key in state.keys.values()),
        pins={name: PinView(pin.node_key, pin.revoked) for name, pin in state.door.pins.items()},
        knocks={
            name: KnockView(knock.node_key, knock.url, knock.by, knock.at_us / US)
            for name, knock in state.door.knocks.items()
        },
        challenge=challenge,
        pinned={node_id: tuple(pins) for node_id, pins in state.pinned.items()},
    )


def _key(key: Key) -> KeyView:
    return KeyView(
        key_name=key.key_name,
        digest=key.digest,
        models=key.models,
        per_minute=key.per_minute,
        tokens_a_day=key.tokens_a_day,
        priority=key.priority,
        added_s=key.added_us / US,
        requests=key.requests,
        tokens=key.tokens,
        day=key.day,
        tokens_today=key.tokens_today,
    )


def _node(state: State, node: Node, gpus: tuple[Gpu, ...]) -> NodeView:
    models = dict.fromkeys((*node.slots, *node.resident))
    return NodeView(
        node_id=node.node_id,
        url=node.url,
        status=_ONLINE[node.health],
        origin=node.origin,
        draining=bool(node.drained_by),
        limits=node.limits,
        gpus=() if node.health == "offline" else gpus,
        paused=node.paused,
        waking=node.sleep.tries,
        wakes=can_be_asked(node),
        facts=node.facts,
        resident=tuple(node.resident.values()),
        models=tuple(node.models.values()),
        slots={model: _slot(node, model) for model in models},
        pulls=tuple(
            PullView(
                pull.model, pull.completed_bytes, pull.total_bytes, pull.automatic, pull.pull_id
            )
            for pull in state.pulls.values()
            if pull.node_id == node.node_id
        ),
    )


def _slot(node: Node, model: str) -> SlotView:
    slots = slots_of(node, model)
    tally = node.tallies.get(model) or Tally()
    completed = max(1, tally.completed)
    speed = node.speeds.get(model)
    return SlotView(
        slots=limit_of(node, slots),
        in_flight=slots.in_flight,
        sent=tally.sent,
        cold=tally.cold,
        completed=tally.completed,
        failed=tally.failed,
        service_s=tally.service_s / completed,
        prompt_tokens=tally.prompt_tokens / completed,
        completion_tokens=tally.completion_tokens / completed,
        used_s=0.0 if speed is None else speed.used_us / US,
    )
