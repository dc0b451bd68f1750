"""Real herds before simulated nodes, for pages that are watched while something happens."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from herd.simulator.fleet import NodeOrder
from tests.e2e.herds import Composition, Herd
from tests.e2e.nodes import Nodes

ONE = Composition("one process", 0, "asyncio")


@contextmanager
def two_nodes() -> Generator[Nodes]:
    """Two small nodes, one of which may die."""
    orders = [
        NodeOrder(profile="ideal", name=name, step_s=0.005, answer_tokens=8)
        for name in ("alpha", "beta")
    ]
    with Nodes(*orders) as nodes:
        yield nodes


@contextmanager
def running(directory: Path, nodes: Nodes, port: int = 0) -> Generator[Herd]:
    """A herd in one process that knows all its nodes; what it said is in a failure's report."""
    herd = Herd(directory, ONE, nodes.flags(), port=port)
    try:
        herd.comes_up()
        herd.until_online(*nodes.names)
        yield herd
    except AssertionError as error:
        error.add_note(herd.tail())
        raise
    finally:
        herd.clear()
