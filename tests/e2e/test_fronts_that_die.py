"""A front dies: who comes then is served by another, or waits until the only one is there again.

How a port is kept depends on how many fronts there are, and another herd may have another number.
"""

import http.client
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import msgspec
import psutil
import pytest

from tests.e2e.herds import Composition, Herd, until

WITHIN_S = 20.0
CLIENTS, EACH = 8, 5

Start = Callable[..., Herd]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start herds on one data directory, with so many fronts, which end with the test."""
    with ExitStack() as stack:

        def started(workers: int, *, port: int = 0, replace: bool = False) -> Herd:
            composition = Composition("", workers, "uvloop" if workers else "asyncio")
            herd = Herd(tmp_path, composition, port=port, replace=replace)
            stack.callback(herd.clear)
            herd.comes_up()
            return herd

        yield started


def port_of(herd: Herd) -> int:
    return int(herd.url.rpartition(":")[2])


def fronts(herd: Herd) -> list[psutil.Process]:
    """Return the processes that clients come to, and that live."""
    run = msgspec.json.decode((herd.data_dir / "run" / "herd.json").read_bytes())
    found: list[psutil.Process] = []
    for name, pid in run["pids"].items():
        if name == "single" or name.startswith("front"):
            with suppress(psutil.NoSuchProcess):  # it died just now
                found.append(psutil.Process(pid))
    return found


def kill_one(herd: Herd) -> None:
    front = fronts(herd)[0]
    front.kill()
    front.wait(WITHIN_S)  # with all of its threads: before, its sockets may be open


def ask(port: int) -> list[str]:
    """Ask on new connections; return what went wrong."""
    wrong: list[str] = []
    for _ in range(EACH):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WITHIN_S)
        try:
            connection.request("GET", "/api/version", headers={"Connection": "close"})
            if (status := connection.getresponse().status) != 200:
                wrong.append(str(status))
        except OSError as error:
            wrong.append(repr(error))
        finally:
            connection.close()
    return wrong


def failures(port: int) -> list[str]:
    """Ask as many clients at once."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        return [wrong for found in pool.map(ask, [port] * CLIENTS) for wrong in found]


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_nobody_is_refused_while_a_front_is_away(workers: int, start: Start) -> None:
    herd = start(workers)
    for _ in range(2):
        kill_one(herd)
        assert failures(port_of(herd)) == []
        assert until(lambda: len(fronts(herd)) == max(1, workers), WITHIN_S)
    assert herd.stop() == 0, herd.tail()


@pytest.mark.timeout(180)
def test_another_herd_may_have_another_number_of_fronts(start: Start) -> None:
    herd = start(1)
    port = port_of(herd)
    for workers in (2, 0, 1, 1, 2, 2):
        before, herd = herd, start(workers, port=port, replace=True)
        assert before.ends(WITHIN_S * 3) == 0, before.tail()
        assert failures(port) == []
        kill_one(herd)
        assert failures(port) == []
    assert herd.stop() == 0, herd.tail()
    assert start(1, port=port).stop() == 0, "the port is free at once"


def test_one_that_has_begun_may_lose_its_front_while_the_one_before_still_answers(
    start: Start,
) -> None:
    before = start(2)
    with closing(socket.create_connection(("127.0.0.1", port_of(before)))):  # it waits for that
        herd = start(0, port=port_of(before), replace=True)
        kill_one(herd)
        assert failures(port_of(herd)) == []
        assert before.stop() == 0, before.tail()


def test_another_port_leaves_nothing_at_the_one_before(start: Start) -> None:
    before = start(1)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    herd = start(1, port=port, replace=True)
    assert port_of(herd) == port
    assert before.ends(WITHIN_S * 3) == 0, before.tail()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port_of(before)), timeout=WITHIN_S)
