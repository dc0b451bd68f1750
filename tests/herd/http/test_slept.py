"""A front that was stopped hears first what came meanwhile, then judges who waited too long."""

import asyncio
import time

import pytest

from actors.core.reaping import STALE, STALLED
from events import Lease, RequestId, RequestReceived
from herd.http import front as front_module
from herd.http.endpoints import inference as inference_module
from herd.link.messages import Cancel, Refuse
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import CHAT, NDJSON, Ask, Control, Node, fronting, node, post
from tests.herd.http.sockets import Client, client


def test_what_control_said_while_it_slept_comes_first(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a request ends twice in the log: by control, and by a front that has not heard of it."""
    monkeypatch.setattr(front_module, "SWEEP_S", 0.02)
    monkeypatch.setattr(inference_module, "SLEPT_S", 0.2)
    monkeypatch.setattr(inference_module, "FORGOTTEN_AFTER_S", 0.05)

    async def main() -> None:
        control = Control()
        control.holds = True
        async with fronting(control) as listener, client(listener.port) as one:
            assert control.front is not None
            control.front.waits.queue_timeout_s = 0.3
            post(one, "/api/chat", CHAT)
            asked = await control.heard(RequestReceived)
            time.sleep(0.5)  # noqa: ASYNC251 (the whole process stands still)
            await asyncio.sleep(0.01)  # a look of the front, before it has read its link
            assert control.kinds == ["RequestReceived"]
            control.front.refused(Refuse(asked.request_id, 503, "queue_timeout", 1))
            head, _ = await one.answer()
        assert head.startswith(b"HTTP/1.1 503 ")
        assert control.kinds == ["RequestReceived"], "control has recorded its end"

    run(main())


async def _silence(_: Ask) -> None:
    await asyncio.sleep(60)


async def _answer(ask: Ask) -> None:
    ask.begin()
    for line in NDJSON:
        ask.chunk(line)
    ask.end()


async def _stalled(control: Control, one: Client, mute: Node) -> tuple[RequestId, Lease]:
    """Have control give up the node of a request."""
    assert control.front is not None
    post(one, "/api/chat", CHAT)
    request_id = (await control.heard(RequestReceived)).request_id
    lease = control.grant(request_id, mute.url).lease
    await mute.ask()
    control.front.cancelled(Cancel(request_id, lease, STALLED))
    return request_id, lease


def test_an_attempt_that_it_gave_up_is_not_ended_once_more(run: Run) -> None:
    """Control asked for another node, then for the end; both are read when the front wakes."""

    async def main() -> None:
        control = Control()
        control.holds = True
        async with (
            node(_silence) as mute,
            node(_answer) as well,
            fronting(control) as listener,
            client(listener.port) as one,
        ):
            request_id, lease = await _stalled(control, one, mute)
            assert control.front is not None
            control.front.cancelled(Cancel(request_id, lease, STALE, 60.0))
            assert control.kinds == ["RequestReceived", "AttemptFailed"]
            control.grant(request_id, well.url)
            head, _ = await one.answer()
            assert head.startswith(b"HTTP/1.1 200 ")
            assert control.kinds[2:] == ["RequestCompleted"]

    run(main())


@pytest.mark.parametrize("reason", ["reaped", "internal_error"])
def test_what_control_has_ended_ends_also_between_two_attempts(run: Run, reason: str) -> None:
    async def main() -> None:
        control = Control()
        control.holds = True
        async with (
            node(_silence) as mute,
            fronting(control) as listener,
            client(listener.port) as one,
        ):
            request_id, lease = await _stalled(control, one, mute)
            assert control.front is not None
            control.front.cancelled(Cancel(request_id, lease, reason))
            head, _ = await one.answer()
            assert head.startswith(b"HTTP/1.1 50")
            assert control.kinds == ["RequestReceived", "AttemptFailed"]

    run(main())
