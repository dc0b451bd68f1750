"""Slots of nodes that say nothing of them: found under load, on real sockets."""

import asyncio

import pytest

from herd.simulator.fleet import NodeOrder
from tests.e2e.conftest import StartHerd, StartNodes
from tests.e2e.crowd import Crowd, open_files
from tests.e2e.nodes import SMALL
from tests.e2e.wire import ask, chat

CROWD = 2000
FILES = 8192


def test_a_node_that_serves_a_thousand_is_soon_filled(
    start_herd: StartHerd, start_nodes: StartNodes
) -> None:
    if open_files(FILES) < FILES:
        pytest.skip(f"SLOTS ARE UNTESTED HERE: fewer than {FILES} open files are allowed")
    nodes = start_nodes(
        NodeOrder(profile="ideal", name="wide", parallel=1000, step_s=0.1, answer_tokens=100)
    )
    herd = start_herd(
        nodes.flag("wide"),
        wait_for=("wide",),
        FLEET_MAX_QUEUE="4096",
    )
    assert ask(herd.url, "/api/chat", chat(SMALL)).status == 200
    herd.until(lambda _: bool(ask(herd.url, "/api/ps").json["models"]))  # not a cold node any more
    crowd = Crowd(herd.url, SMALL, CROWD)
    peak, _ = asyncio.run(crowd.asks(nodes.url("wide"), enough=900, within_s=60.0))
    assert not crowd.refused
    assert peak >= 900


def test_a_node_that_serves_one_never_holds_more_than_two(
    start_herd: StartHerd, start_nodes: StartNodes
) -> None:
    nodes = start_nodes(
        NodeOrder(profile="ideal", name="narrow", parallel=1, step_s=0.01, answer_tokens=5)
    )
    herd = start_herd(nodes.flag("narrow"), wait_for=("narrow",))
    crowd = Crowd(herd.url, SMALL, 24)
    peak, _ = asyncio.run(crowd.asks(nodes.url("narrow"), enough=3, within_s=4.0))
    assert peak <= 2
    assert not crowd.refused
    assert crowd.answered > 40
