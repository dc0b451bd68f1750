"""Another model, or another context, than was asked for: what clients, nodes and the log see."""

from collections.abc import Iterator

import pytest

from herd.simulator.fleet import NodeOrder
from tests.e2e.conftest import HerdsOf
from tests.e2e.herds import Herd, until
from tests.e2e.nodes import BIG, EMBED, MIDDLE, SMALL, Nodes
from tests.e2e.wire import JSON, Answer, ask, chat


@pytest.fixture(scope="module")
def one_herd(herds_of: HerdsOf) -> Iterator[Herd]:
    """A balancer before one node that has every model, each on its disk at first."""
    order = NodeOrder(profile="studio", name="studio", time_scale=50.0, answer_tokens=5)
    with Nodes(order) as studio, herds_of("models") as start:
        yield start(
            *studio.flags(),
            wait_for=("studio",),
            FLEET_MODEL_ALIASES=f"gpt-4*={SMALL}",
            FLEET_HOLD_TIMEOUT="2",
        )


def told(answer: Answer) -> tuple[int, str, str, str, str]:
    """Return the status, what was asked for, what served, and whether and why it is another."""
    headers = answer.headers
    return (
        answer.status,
        headers["x-fleet-requested-model"],
        headers["x-fleet-served-model"],
        headers["x-fleet-fallback"],
        headers.get("x-fleet-fallback-reason", ""),
    )


def loaded(herd: Herd, model: str) -> int:
    """Load a model, wait until herd knows it, and return its context."""
    assert ask(herd.url, "/api/chat", chat(model) | {"keep_alive": -1}).status == 200

    def context() -> int:
        models = ask(herd.url, "/api/ps", method="GET").json["models"]
        return next((each["context_length"] for each in models if each["name"] == model), 0)

    assert until(lambda: context() > 0, 10.0)
    return context()


def test_a_name_stands_for_a_model_on_every_route(one_herd: Herd) -> None:
    asks = [
        ("/api/chat", chat("gpt-4o")),
        ("/api/generate", {"model": "gpt-4o", "prompt": "x", "stream": False}),
        ("/v1/chat/completions", chat("gpt-4o")),
    ]
    for path, body in asks:
        answer = ask(one_herd.url, path, body)
        assert told(answer) == (200, "gpt-4o", SMALL, "false", "")
        assert answer.json["model"] == SMALL


def test_the_first_model_of_the_list_that_is_there_answers(one_herd: Herd) -> None:
    listed = chat("gone:1") | {"fallback_models": ["nor:1", SMALL]}
    tagged = listed | {"metadata": {"tags": ["nightly"]}}
    answer = ask(one_herd.url, "/api/chat", tagged, headers=JSON | {"X-Herd-Tags": "web"})
    assert told(answer) == (200, "gone:1", SMALL, "true", "fallback_models")
    query = f"SELECT model, original_model, fallback_used, tags FROM request_traces WHERE request_id = '{answer.request_id}'"  # noqa: E501, S608 (a test's own words)
    assert until(lambda: len(one_herd.sql(query)) == 1, 5.0)
    [row] = one_herd.sql(query)
    assert (row["model"], row["original_model"], row["fallback_used"]) == (SMALL, "gone:1", 1)
    forbidden = ask(one_herd.url, "/api/chat", listed, headers=JSON | {"X-Fleet-No-Fallback": "1"})
    assert told(forbidden) == (404, "gone:1", "", "false", "")


def test_a_model_in_memory_answers_for_one_that_takes_long_to_load(one_herd: Herd) -> None:
    loaded(one_herd, MIDDLE)
    answer = ask(one_herd.url, "/api/chat", chat(BIG) | {"fallback_models": [MIDDLE]})
    assert told(answer) == (200, BIG, MIDDLE, "true", "vram")
    assert answer.json["model"] == MIDDLE
    embedded = ask(one_herd.url, "/api/embed", {"model": EMBED, "input": "x"})
    assert told(embedded) == (200, EMBED, f"{EMBED}:latest", "false", "")
    forbidden = ask(
        one_herd.url,
        "/api/chat",
        chat(BIG) | {"fallback_models": [MIDDLE]},
        headers=JSON | {"X-Fleet-No-Fallback": "true"},
    )
    assert told(forbidden) == (200, BIG, BIG, "false", "")


def test_a_model_ten_times_smaller_answers_for_none(one_herd: Herd) -> None:
    loaded(one_herd, SMALL)
    assert ask(one_herd.url, "/api/chat", {"model": BIG, "keep_alive": 0}).status == 200

    def gone() -> bool:
        models = ask(one_herd.url, "/api/ps", method="GET").json["models"]
        return all(each["name"] != BIG for each in models)

    assert until(gone, 10.0)
    assert told(ask(one_herd.url, "/api/chat", chat(BIG))) == (200, BIG, BIG, "false", "")


def test_a_smaller_context_is_pinned_and_nothing_is_loaded_anew(one_herd: Herd) -> None:
    context = loaded(one_herd, MIDDLE)
    body = chat(MIDDLE) | {"options": {"num_ctx": context // 2, "num_predict": 3}}
    answer = ask(one_herd.url, "/api/chat", body)
    pinned = f"pinned; asked={context // 2}; loaded={context}"
    assert answer.headers["x-fleet-context"] == pinned
    assert answer.json.get("load_duration", 0) < 10_000_000, "it was there"
    assert loaded(one_herd, MIDDLE) == context
    body["options"] = {"num_ctx": context * 2, "num_predict": 3}
    answer = ask(one_herd.url, "/api/chat", body)
    assert answer.headers["x-fleet-context"].startswith("reloads; ")
    lines = (one_herd.data_dir / "logs" / "herd.jsonl").read_text()
    assert lines.count('"msg":"Context protection: ') == 2
