"""How a node's cards are is shown, and leaves no trace in the log."""

from pathlib import Path
from typing import Any

from events import Gpu, HeartbeatReceived, NodeFacts, NodeId
from herd.control.view import view_of
from herd.http.endpoints import fleet
from tests.conftest import Run
from tests.herd.control.test_control import control_of, log, settings, until, with_front


def beat(*gpus: Gpu) -> HeartbeatReceived:
    return HeartbeatReceived(
        node_id=NodeId("a"), url="http://10.0.0.1:11434", facts=NodeFacts(slots=1), gpus=gpus
    )


def test_cards_are_shown_as_they_are_now_and_never_recorded(
    on_each_loop: Run[Any], tmp_path: Path
) -> None:
    async def play() -> None:
        configured = settings(tmp_path)
        async with control_of(configured) as control, with_front(control) as (front, _):
            front.tell(beat(Gpu("RTX", busy_pct=1.0)))
            await until(lambda: front.view.nodes and front.view.nodes[0].gpus)
            written = len(log(configured))
            for busy in range(2, 9):
                front.tell(beat(Gpu("RTX", busy_pct=float(busy))))
            await until(lambda: front.view.nodes[0].gpus == (Gpu("RTX", busy_pct=8.0),))
            shown = fleet.status(front.view, 0.0)["nodes"]
            assert isinstance(shown, list)
            assert shown[0]["gpus"] == [
                {
                    "name": "RTX",
                    "total_bytes": None,
                    "used_bytes": None,
                    "busy_pct": 8.0,
                    "temperature_c": None,
                    "power_w": None,
                }
            ]
            state = control._engine.state  # pyright: ignore[reportPrivateUsage] (no other way in)
            state.nodes[NodeId("a")].health = "offline"
            gone = view_of(state, recording=True, gpus={NodeId("a"): (Gpu("RTX"),)})
            assert gone.nodes[0].gpus == (), "of a node that is away nothing is known"
        beats = [each for each in log(configured) if isinstance(each.event, HeartbeatReceived)]
        assert len(log(configured)) - written < 7
        assert [each.event for each in beats] == [beat()]

    on_each_loop(play())
