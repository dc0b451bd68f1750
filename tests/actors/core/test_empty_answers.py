"""A node that answers at once, with nothing: it looks like the fastest of all."""

from typing import Any

import msgspec
import pytest

from events import CarriedRequest, CircuitOpened, FrontConnected, Lease, SettingsChanged
from tests.actors.cast import MODEL, book, completed, nid, node, received, rid
from tests.playbook import FRONT, Playbook, by

STRICT = SettingsChanged(key="empty_answers_fail", old=False, new=True)


def after(count: int, *given: SettingsChanged, route: str = "/api/chat", **answer: Any) -> Playbook:
    """Studio answered so often, in a row."""
    playing = book(*node("studio", slots=1), *given)
    told: dict[str, Any] = {
        "completion_tokens": 0,
        "usage_source": "reported",
        "service_s": 0.1,
    } | answer
    for number in range(1, count + 1):
        name = f"r{number}"
        playing.given(received(name, route=route), completed(name, "studio", f"1.{number}", **told))
    playing.check()
    return playing


def opened(playing: Playbook) -> int:
    return sum(isinstance(each.event, CircuitOpened) for each in playing.log)


def test_three_empty_answers_open_the_circuit() -> None:
    assert opened(after(2, STRICT)) == 0
    assert opened(after(3, STRICT)) == 1
    assert after(3, STRICT).state.nodes[nid("studio")].circuits[MODEL].status == "open"


@pytest.mark.parametrize(
    ("route", "answer"),
    [
        ("/api/embed", {}),
        ("/v1/embeddings", {}),
        ("/api/generate", {"finish": "load"}),
        ("/api/generate", {"finish": "unload"}),
        ("/api/chat", {"completion_tokens": 1}),
        ("/api/chat", {"usage_source": "none"}),
        ("/api/chat", {"status": 400}),
    ],
)
def test_what_has_no_tokens_for_a_reason_is_no_failure(route: str, answer: dict[str, Any]) -> None:
    assert opened(after(3, STRICT, route=route, **answer)) == 0


def test_it_is_a_setting() -> None:
    assert opened(after(3)) == 0


def test_of_one_that_was_adopted_nobody_knows_what_it_asked_for() -> None:
    playing = after(0, STRICT)
    for number in range(1, 4):
        lease = Lease(f"9.{number}")
        adopted = CarriedRequest(rid(f"a{number}"), MODEL, nid("studio"), lease)
        playing.given(by(FRONT, FrontConnected(front=1, in_flight=(adopted,))))
        done = completed(f"a{number}", "studio", str(lease), completion_tokens=0)
        playing.given(msgspec.structs.replace(done, usage_source="reported"))
    assert opened(playing) == 0
