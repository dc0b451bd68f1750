"""Packages that people use, each once straight at a simulated node and once through herd.

What holds at one place has to hold at the other. These packages are big and pin each other, so they
live in an environment of their own: `make clients` makes it and runs these tests in it. Where that
was not wanted, they are left out, and the end of the run says so.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from herd.simulator.fleet import NodeOrder, demo_orders
from tests.conftest import HERE
from tests.e2e.herds import Composition, Herd, until
from tests.e2e.nodes import SMALL, Nodes
from tests.e2e.wire import ask, chat

WANTED = os.environ.get("HERD_CLIENTS") == "1"

collect_ignore_glob = [] if WANTED else ["test_*.py"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell what was left out."""
    if not WANTED:
        terminalreporter.line("tests/clients left out: `make clients` runs them", yellow=True)


def pytest_collection_modifyitems(items: list[pytest.Item], config: pytest.Config) -> None:
    """Heed what a module says of the tests of a foreign suite.

    `CANNOT`: what no simulated node can serve, and why; it has to fail. `NOT_ASKED`: what does not
    apply, and why; it is not run.
    """
    left_out: list[pytest.Item] = []
    for item in items:
        name = getattr(item, "originalname", item.name)
        module = getattr(item, "module", None)
        if name in getattr(module, "NOT_ASKED", {}):
            left_out.append(item)
        elif reason := getattr(module, "CANNOT", {}).get(name):
            item.add_marker(pytest.mark.xfail(reason=reason, strict=True))
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def balancer(
    directory: Path, flags: list[str], names: Iterable[str], **options: Any
) -> Iterator[Herd]:
    """Run a balancer before some nodes, told by flags, until they are no longer needed."""
    herd = Herd(directory, Composition("two fronts", 2, HERE[-1]), flags, **options)
    try:
        herd.comes_up()
        herd.until_online(*names)
        yield herd
        assert herd.stop() == 0, herd.tail()
    finally:
        herd.clear()


@pytest.fixture(scope="session")
def fleet() -> Iterator[Nodes]:
    """The three unequal nodes of the demo, fast, with short answers."""
    with Nodes(
        *(
            msgspec.structs.replace(order, time_scale=200.0, answer_tokens=24)
            for order in demo_orders()
        )
    ) as nodes:
        yield nodes


@pytest.fixture(scope="session")
def herd(fleet: Nodes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Herd]:
    """A balancer before them."""
    directory = tmp_path_factory.mktemp("fleet")
    yield from balancer(directory, fleet.flags(0), fleet.names, FLEET_VRAM_FALLBACK="off")


@pytest.fixture(params=["straight", "herd"])
def base(request: pytest.FixtureRequest, fleet: Nodes) -> str:
    """Where a client is told that Ollama is: at the node that has the big model, or at herd."""
    if request.param == "straight":
        return fleet.url("studio")
    found: Herd = request.getfixturevalue("herd")
    return found.url


@pytest.fixture(scope="session")
def newer() -> Iterator[Nodes]:
    """The node with the big model, as an Ollama that has `/v1/messages` and `/v1/responses`."""
    order = NodeOrder(profile="studio", time_scale=200.0, answer_tokens=24, version="0.14.1")
    with Nodes(order) as nodes:
        yield nodes


@pytest.fixture(scope="session")
def newer_herd(newer: Nodes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Herd]:
    """A balancer before it."""
    yield from balancer(tmp_path_factory.mktemp("newer"), newer.flags(0), newer.names)


@pytest.fixture(params=["straight", "herd", "translated"])
def anthropic_base(request: pytest.FixtureRequest, newer: Nodes) -> str:
    """Where a client is told that Anthropic's API is; `translated` is at nodes without it."""
    if request.param == "straight":
        return newer.url("studio")
    name = "newer_herd" if request.param == "herd" else "herd"
    found: Herd = request.getfixturevalue(name)
    return found.url


@pytest.fixture(scope="session")
def pair() -> Iterator[Nodes]:
    """Two equal nodes without physics, 10 ms a token."""
    orders = [
        NodeOrder(profile="ideal", name=name, step_s=0.01, answer_tokens=20)
        for name in ("alpha", "beta")
    ]
    with Nodes(*orders) as nodes:
        yield nodes


@pytest.fixture(scope="session")
def _pair_herd(pair: Nodes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Herd]:
    directory = tmp_path_factory.mktemp("pair")
    yield from balancer(directory, pair.flags(1), pair.names, FLEET_POLICY="resident-first")


@pytest.fixture
def pair_herd(_pair_herd: Herd, pair: Nodes) -> Iterator[Herd]:
    """A balancer before the pair, one slot each; all is well and idle before and after a test."""
    yield _pair_herd
    pair.heal()
    _pair_herd.until_online(*pair.names)
    _pair_herd.until(lambda status: status.idle, 10.0)
    assert until(lambda: _both_serve(_pair_herd), 30.0), "a node of the pair does not recover"


def _both_serve(herd: Herd) -> bool:
    """Have both serve something at a time, so that past failures count no more."""
    body = {**chat(SMALL), "options": {"num_predict": 5}}
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(ask, herd.url, "/api/chat", body) for _ in range(2)]
        return len({each.result().headers.get("x-fleet-node") for each in asked}) == 2


Freed = Callable[[], None]


@pytest.fixture
def freed(pair_herd: Herd, pair: Nodes) -> Freed:
    """Assert that nothing runs any more, neither at herd nor at a node, a second from now."""

    def check() -> None:
        pair_herd.until(lambda status: status.idle, 1.0)
        assert sum(pair.stats(name).in_flight for name in pair.names) == 0

    return check
