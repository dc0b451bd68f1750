"""Control that is connected and does nothing, as one that was stopped: its front notices."""

from typing import Any

import pytest

from herd.link import client as client_module
from tests.conftest import Run
from tests.herd.link.ends import pair, request, until


def test_control_that_acknowledges_nothing_is_silent(
    on_each_loop: Run[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "SILENT_AFTER_S", 0.05)

    async def play() -> None:
        async with pair() as (front, control, _):
            control.write()
            await until(lambda: not front.kept)
            assert not front.silent, "there is nothing to say yes to"
            front.tell(request(1))
            await until(lambda: front.silent)
            control.write()
            await until(lambda: not front.silent)
            front.tell(request(2))
            control.link.close()
            await until(lambda: not front.connected)
            assert not front.silent, "it is away, which is said elsewhere"

    on_each_loop(play())
