"""Real processes on real sockets: simulated fleets, and balancers in each composition.

Every test runs in all compositions; `HERD_TEST_WORKERS` and `HERD_TEST_LOOP` choose a single one.
A failure shows what the balancers said, and the ends of their log files. The log of each balancer
that several tests share is replayed at its end: not one decision may differ.
"""

import os
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from herd.simulator.fleet import NodeOrder, demo_orders
from tests.conftest import HERE, LoopName
from tests.e2e.herds import Composition, Herd, command, until
from tests.e2e.nodes import SMALL, Nodes
from tests.e2e.wire import ask, chat

_LIVING: list[Herd] = []


def _compositions() -> list[Composition]:
    if "HERD_TEST_WORKERS" in os.environ:
        workers = int(os.environ["HERD_TEST_WORKERS"])
        loop = os.environ.get("HERD_TEST_LOOP", HERE[-1])
        return [Composition(f"workers={workers}, {loop}", workers, loop)]
    fast: LoopName = HERE[-1]
    return [
        Composition("two fronts", 2, fast),
        Composition("one process", 0, "asyncio"),
    ]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the balancers have to say for themselves."""
    report = yield
    if report.failed:
        for herd in _LIVING:
            report.sections.append((f"herd run, {herd.data_dir}", herd.tail()))
    return report


@pytest.fixture(scope="session", params=_compositions(), ids=lambda each: each.name)
def composition(request: pytest.FixtureRequest) -> Composition:
    """How the balancers of a test are put together."""
    found: Composition = request.param
    return found


StartHerd = Callable[..., Herd]
StartNodes = Callable[..., Nodes]


def _start_herds(
    stack: ExitStack, directory: Callable[[], Path], composition: Composition
) -> StartHerd:
    def start(*nodes: str, wait_for: tuple[str, ...] = (), **options: Any) -> Herd:
        herd = Herd(directory(), composition, nodes, **options)
        _LIVING.append(herd)
        stack.callback(_LIVING.remove, herd)
        stack.callback(herd.clear)
        herd.comes_up()
        herd.until_online(*wait_for)
        return herd

    return start


HerdsOf = Callable[[str], AbstractContextManager[StartHerd]]


@pytest.fixture(scope="session")
def herds_of(composition: Composition, tmp_path_factory: pytest.TempPathFactory) -> HerdsOf:
    """Give a fixture what starts the balancers that end with it."""

    @contextmanager
    def herds(name: str) -> Generator[StartHerd]:
        with ExitStack() as stack:
            yield _start_herds(stack, lambda: tmp_path_factory.mktemp(name), composition)

    return herds


@pytest.fixture
def start_herd(herds_of: HerdsOf) -> Iterator[StartHerd]:
    """Start balancers that end with the test."""
    with herds_of("herd") as start:
        yield start


@pytest.fixture
def start_nodes() -> Iterator[StartNodes]:
    """Start simulated nodes that end with the test."""
    with ExitStack() as stack:
        yield lambda *orders: stack.enter_context(Nodes(*orders))


# Shared by many tests


@pytest.fixture(scope="session")
def fleet() -> Iterator[Nodes]:
    """The three unequal nodes of the demo, fast, with short answers."""
    orders = [
        msgspec.structs.replace(order, time_scale=50.0, answer_tokens=16) for order in demo_orders()
    ]
    with Nodes(*orders) as nodes:
        yield nodes


@pytest.fixture(scope="session")
def herd(fleet: Nodes, herds_of: HerdsOf) -> Iterator[Herd]:
    """A balancer before the three unequal nodes."""
    with herds_of("fleet") as start:
        # Tests ask for a model and want that one, in memory or not.
        alone = {"FLEET_VRAM_FALLBACK": "off"}
        shared = start(*fleet.flags(), wait_for=tuple(fleet.names), **alone)
        yield shared
        ends_and_replays(shared)


HOLD_S = 2.0
MOST_WAITING = 12
TOKENS = 20
STEP_S = 0.01


@pytest.fixture(scope="session")
def _pair() -> Iterator[Nodes]:
    """Two equal nodes without physics: `TOKENS` tokens, `STEP_S` each."""
    orders = [
        NodeOrder(profile="ideal", name=name, step_s=STEP_S, answer_tokens=TOKENS)
        for name in ("alpha", "beta")
    ]
    with Nodes(*orders) as nodes:
        yield nodes


@pytest.fixture
def pair(_pair: Nodes) -> Iterator[Nodes]:
    """The two equal nodes, well again after a test, also one that failed."""
    yield _pair
    _pair.heal()


@pytest.fixture(scope="session")
def _pair_herd(_pair: Nodes, herds_of: HerdsOf) -> Iterator[Herd]:
    with herds_of("pair") as start:
        shared = start(
            *_pair.flags(slots=1),
            wait_for=tuple(_pair.names),
            FLEET_HOLD_TIMEOUT=str(HOLD_S),
            FLEET_MAX_QUEUE=str(MOST_WAITING),
            FLEET_POLICY="resident-first",  # lets nobody wait while a slot is free
        )
        yield shared
        ends_and_replays(shared)


@pytest.fixture
def pair_herd(_pair_herd: Herd, pair: Nodes) -> Iterator[Herd]:
    """A balancer before the pair, one slot each; all is well and idle before and after a test."""
    yield _pair_herd
    pair.heal()
    _pair_herd.until_online(*pair.names)
    _pair_herd.until(lambda status: status.idle, 10.0)
    assert until(lambda: _both_serve(_pair_herd), 30.0), "a node of the pair does not recover"


def _both_serve(herd: Herd) -> bool:
    """Have each node of the pair serve a request, so that its past failures count no more."""
    body = {**chat(SMALL), "options": {"num_predict": 5}}
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(ask, herd.url, "/api/chat", body) for _ in range(2)]
        answers = [each.result() for each in asked]
    return len({answer.node for answer in answers}) == 2


def ends_and_replays(herd: Herd) -> None:
    assert herd.stop() == 0, herd.tail()
    checked = command("replay", "--check", "--json", str(herd.data_dir))
    assert checked.returncode == 0, checked.stdout + checked.stderr
