"""An answer ends when herd itself sees what was done: what comes next may rest on it."""

import json

import pytest

from tests.herd.http.conftest import Run
from tests.herd.http.fleet import post
from tests.herd.http.sockets import client
from tests.herd.http.stocked import TINY, fleet, listed


def test_the_next_request_sees_what_was_done(run: Run) -> None:
    """As `ollama pull x && ollama cp x y && ollama rm y` needs it."""

    async def main() -> None:
        async with fleet() as herd:
            for stream in (True, False):
                await herd.ask("/api/pull", {"model": TINY, "stream": stream})
                assert TINY in await listed(herd)
                await herd.ask("/api/copy", {"source": TINY, "destination": "mine"})
                await herd.ask("/api/create", {"model": "new", "from": "mine", "stream": stream})
                assert {"mine:latest", "new:latest"} <= await listed(herd)
                for model in ("mine", "new", TINY):
                    gone = await herd.ask("/api/delete", {"model": model}, method="DELETE")
                    assert gone.status == 200
                assert not {TINY, "mine:latest", "new:latest"} & await listed(herd)

    run(main())


def test_who_goes_on_at_the_word_success_sees_it_too(run: Run) -> None:
    """As `ollama` for JavaScript does: it does not wait for the end of the answer."""

    async def main() -> None:
        async with fleet(time_scale=20.0) as herd, client(herd.port) as one:
            post(one, "/api/pull", json.dumps({"model": TINY}).encode())
            await one.until(b'"success"')
            assert TINY in await listed(herd)

    run(main())


def test_nobody_waits_long_for_what_is_never_seen(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("herd.http.settling.LONGEST_S", 0.01)

    async def main() -> None:
        async with fleet() as herd:
            herd.control.fleet = None
            answer = await herd.ask("/api/pull", {"model": TINY, "stream": False})
            assert answer.body == b'{"status":"success"}'
            assert TINY not in await listed(herd)

    run(main())


def test_what_failed_waits_for_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("herd.http.settling.LONGEST_S", 100.0)

    async def main() -> None:
        async with fleet() as herd:
            herd.control.fleet = None
            assert (await herd.ask("/api/pull", {"model": "nope"})).status == 200
            assert (await herd.ask("/api/create", {"model": "x", "from": "nope"})).status == 404

    run(main())
