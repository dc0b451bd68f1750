"""The five actors of herd as real pykka actors: shells that add nothing to the core."""

import threading
from functools import partial
from typing import NoReturn

import pykka
import pytest

from actors.core.commands import Command
from actors.core.state import State, dump
from actors.core.step import Address, step
from actors.discovery import Discovery
from actors.model_queue import Queue
from actors.node_monitor import NodeMonitor
from actors.reaper import Reaper
from actors.run_queue import run
from actors.scheduler import Scheduler
from actors.stage import Stage
from events import Recorded, TimerFired
from tests.actors.cast import MODEL, completed, full, received
from tests.playbook import START_US


def never() -> NoReturn:
    raise AssertionError("nobody else posted anything")


@pytest.fixture
def state() -> State:
    return State()


def test_the_actors_decide_what_the_core_decides(state: State) -> None:
    stage = Stage(state, never)
    core = State()
    by_core = partial(step, core)
    told = full("r2")
    for fact in [record for record in told.log[1:] if not record.cause]:
        args = (fact.event, fact.recorded_at, (fact.src, fact.n))
        assert run(state, stage.deliver, *args) == run(core, by_core, *args)
    assert dump(state) == dump(core)
    stage.stop()


def test_there_are_five_kinds_and_a_queue_for_each_model(state: State) -> None:
    stage = Stage(state, never)
    once = [ref.actor_class for ref in pykka.ActorRegistry.get_all()]
    assert once == [Discovery, NodeMonitor, Scheduler, Reaper]
    for record in full("r2").log[1:]:
        if not record.cause:
            run(state, stage.deliver, record.event, record.recorded_at, (record.src, record.n))
    run(state, stage.deliver, received("x", "other:7b"), START_US * 2)
    run(state, stage.deliver, completed("r1", "studio", "1.1"), START_US * 2)
    queues = pykka.ActorRegistry.get_by_class(Queue)
    assert len(queues) == 2, "one of the model, one that holds"
    assert MODEL in state.catalogue
    stage.stop()
    assert pykka.ActorRegistry.get_all() == []


def test_what_a_handler_raises_comes_out(state: State) -> None:
    stage = Stage(state, never)
    wrong = completed("r1", "studio", "1.1")
    twice = Recorded(1, START_US, received("r1"))
    stage.deliver(("queue", ""), twice)
    with pytest.raises(ValueError, match="received twice"):
        stage.deliver(("queue", ""), twice)
    assert stage.deliver(("scheduler", ""), Recorded(2, START_US, wrong)) == []
    stage.stop()


def test_what_another_thread_tells_an_actor_is_not_taken_for_an_answer(
    state: State, caplog: pytest.LogCaptureFixture
) -> None:
    """A raise at its mail is not a raise at the record that is delivered next."""
    woken = threading.Event()
    stage = Stage(state, woken.set)
    (scheduler,) = pykka.ActorRegistry.get_by_class(Scheduler)
    thread = threading.Thread(target=scheduler.tell, args=("nonsense",))
    thread.start()
    thread.join()
    assert woken.is_set()
    assert deliver(stage, ("scheduler", "")) == []
    assert caplog.records == []
    stage.drain()
    assert "does not understand" in caplog.text
    assert deliver(stage, ("scheduler", "")) == []
    stage.stop()


def deliver(stage: Stage, address: Address) -> list[Command]:
    return stage.deliver(address, Recorded(1, START_US, TimerFired()))
