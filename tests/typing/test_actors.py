"""What the joint between core, run queue and link promises; the type checkers are the test."""

from typing import assert_never, assert_type

from actors.core.commands import Cancel, Command, Grant, Refuse, Send
from actors.run_queue import Outcome
from events import Event, Lease, Recorded, RequestId, Source, TimerFired


def name_of(command: Command) -> str:
    match command:
        case Send():
            assert_type(command.to, Source)
            assert_type(command.message, Grant | Refuse | Cancel)
            return "send"
        case Event():
            return "record"
        case _:
            assert_never(command)


def test_a_command_is_something_to_record_or_to_send() -> None:
    cancel = Cancel(RequestId("r"), Lease("1.1"), "reaped")

    assert name_of(TimerFired()) == "record"
    assert name_of(Send(to=Source("f1-6b3c01"), message=cancel)) == "send"


def test_an_outcome_is_what_to_write_and_what_to_send() -> None:
    outcome = Outcome([], [])

    assert_type(outcome.records, list[Recorded])
    assert_type(outcome.sends, list[Send])
