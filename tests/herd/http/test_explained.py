"""Why a request went where it went, asked of the front, which asks a process of its own."""

import re
from importlib.resources import files
from pathlib import Path

import msgspec
import pytest

from herd.http import lookback
from herd.http.endpoints.explained import PATH
from herd.http.lookback import Lookback
from herd.logd.wire import LogdAwayError
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import Control, fronting
from tests.herd.http.sockets import client


def test_nonsense_is_named_and_without_a_log_it_says_so(run: Run) -> None:
    async def main() -> None:
        async with fronting(Control()) as listener, client(listener.port) as one:
            for query in ("", "?request_id=", "?request_id=-x", "?request_id=%27%20OR%201=1"):
                head, body = await one.get(PATH + query)
                assert int(head.split()[1]) == 400
                assert "request_id must be" in msgspec.json.decode(body)["error"]
            head, body = await one.get(f"{PATH}?request_id=1")
            assert int(head.split()[1]) == 503
            assert "no log" in msgspec.json.decode(body)["error"]

    run(main())


def test_a_process_that_cannot_look_back_is_told_of(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        with pytest.raises(LogdAwayError, match="looking back ended with 1"):
            await Lookback(tmp_path).found("herd.replay.nothing", "1", "herd explain 1")

    run(main())


def test_one_that_takes_too_long_is_ended(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookback, "LOOKS_WITHIN_S", 0.01)

    async def main() -> None:
        endless = Lookback(Path("pass"))  # `timeit` takes both words for lines of a program
        with pytest.raises(LogdAwayError, match="took longer"):
            await endless.found("timeit", "while True: pass", "herd explain 1")

    run(main())


def test_the_page_waits_until_it_is_told_so() -> None:
    asking = files("herd.dashboard").joinpath("static/api.js").read_text("utf-8")
    [waits_ms] = re.findall(r"PAST_MS = ([0-9_]+);", asking)
    longest_s = lookback.ROOM_WITHIN_S + lookback.LOOKS_WITHIN_S
    assert int(waits_ms) / 1000 > longest_s


def test_one_looks_back_at_a_time(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookback, "ROOM_WITHIN_S", 0.01)

    async def main() -> None:
        busy = Lookback(tmp_path)
        async with busy.one:
            with pytest.raises(LogdAwayError, match="somebody else"):
                await busy.found("herd.replay.explaining", "1", "herd explain 1")

    run(main())
