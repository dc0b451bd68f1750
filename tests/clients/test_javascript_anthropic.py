"""JavaScript's `@anthropic-ai/sdk`: `js/anthropic.mjs` plays the steps.

What a step tells has to be the same straight at a node that has `/v1/messages`, through herd before
it, and through herd before nodes that have no such route.
"""

import re
from typing import Any

import pytest

from tests.clients.conftest import Freed
from tests.clients.test_javascript import CALLED, play, start
from tests.e2e.herds import Herd, until
from tests.e2e.nodes import BIG, SIMULATED, Nodes

NAME = "anthropic"
STEPS = ("chat", "stream", "helper", "tools", "toolsStreamed", "short", "image", "unknown", "bad")
FAIL = {"unknown": 404, "bad": 400}
EVENTS = ["message_start", "content_block_start", "content_block_delta"]
EVENTS += ["content_block_stop", "message_delta", "message_stop"]


def told(url: str, step: str) -> Any:
    """Play a step; what it tells is without the id of the request, which is another each time."""
    said = play(NAME, url, *STEPS)[step]
    if isinstance(said, dict) and "message" in said:
        return said | {"message": re.sub(r',"request_id":"[^"]+"', "", said["message"])}
    return said


@pytest.mark.parametrize("step", STEPS)
def test_a_step_tells_the_same_everywhere(
    newer: Nodes, newer_herd: Herd, herd: Herd, step: str
) -> None:
    straight = told(newer.url("studio"), step)
    assert told(newer_herd.url, step) == straight
    assert told(herd.url, step) == straight
    failed = isinstance(straight, dict) and "thrown" in straight
    assert failed == (step in FAIL), straight
    if failed:
        assert straight["status"] == FAIL[step]


def test_what_is_told(herd: Herd) -> None:
    said = play(NAME, herd.url, *STEPS)
    text = said["stream"]["text"]
    assert text.startswith(f"{SIMULATED} studio.")
    assert said["chat"] == {
        "type": "message",
        "role": "assistant",
        "model": BIG,
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "output": 24,
    }
    assert said["stream"]["kinds"] == EVENTS
    assert said["stream"]["many"]
    assert (said["stream"]["reason"], said["stream"]["output"]) == ("end_turn", 24)
    assert said["helper"] == {"same": True, "stop_reason": "end_turn"}
    called = {"name": CALLED["name"], "input": CALLED["arguments"]}
    assert said["tools"] == {"stop_reason": "tool_use", **called, "then": ["text"]}
    assert said["toolsStreamed"] == {
        "stop_reason": "tool_use",
        **called,
        "whole": CALLED["arguments"],
    }
    assert said["short"] == {
        "text": f"{SIMULATED} studio.",
        "stop_reason": "max_tokens",
        "output": 7,
    }
    assert said["image"] > 256
    assert "model 'nope' not found" in said["unknown"]["message"]


def test_tokens_are_counted(herd: Herd) -> None:
    assert play(NAME, herd.url, "count")["count"]["input_tokens"] > 20


def test_leaving_a_stream_frees_the_slot(pair_herd: Herd, pair: Nodes, freed: Freed) -> None:
    pair.fault("slow", factor=100.0)
    process = start(NAME, pair_herd.url, "leave")
    try:
        assert process.stderr is not None
        assert process.stderr.readline() == "first\n"
        freed()
    finally:
        process.kill()
        process.communicate()


def test_a_stream_that_dies_is_no_success(pair_herd: Herd, pair: Nodes) -> None:
    pair.fault("die", after_tokens=3)
    told = play(NAME, pair_herd.url, "dies")["dies"]
    assert "node failed: " in told["message"]
    play.cache_clear()


def test_it_is_served_at_last(pair_herd: Herd, pair: Nodes) -> None:
    pair.fault("error", count=1)
    assert play(NAME, pair_herd.url, "retried")["retried"].startswith(SIMULATED)
    play.cache_clear()


def test_a_time_out_frees_the_slot(pair_herd: Herd, pair: Nodes, freed: Freed) -> None:
    pair.fault("slow", factor=1_000.0)
    assert "timed out" in play(NAME, pair_herd.url, "late")["late"]["message"].lower()
    freed()
    assert until(lambda: sum(pair.stats(name).cancelled for name in pair.names) >= 1, 2.0)
    play.cache_clear()
