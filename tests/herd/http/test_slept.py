"""A front that was stopped hears first what came meanwhile, then judges who waited too long."""

import asyncio
import time

import pytest

from events import RequestReceived
from herd.http import front as front_module
from herd.http.endpoints import inference as inference_module
from herd.link.messages import Refuse
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import CHAT, Control, fronting, post
from tests.herd.http.sockets import client


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
