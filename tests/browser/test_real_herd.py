"""A person before a real herd: what is changed stays, what dies is seen, what lasts is shown."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from tests.browser.answers import REQUEST
from tests.browser.conftest import Page
from tests.browser.fleets import running, two_nodes
from tests.e2e.herds import Herd, Program, until
from tests.e2e.nodes import SMALL, Nodes
from tests.e2e.wire import ask, chat

AWAY_S = 20.0
DEATH_S = 10.0
"""As promised, with herd's own settings."""
LASTS_S = 60.0
TINY, LITTLE = "smollm2:135m", "llama3.2:1b"


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    with two_nodes() as started:
        yield started


@pytest.fixture
def herd(nodes: Nodes, tmp_path: Path) -> Iterator[Herd]:
    with running(tmp_path, nodes) as started:
        yield started


def test_a_request_is_seen_at_once_and_its_page_explains_it(page: Page, herd: Herd) -> None:
    page.open(f"{herd.url}/dashboard")
    page.sees("2 of 2 nodes online", "No request yet", within_s=AWAY_S)

    answer = ask(herd.url, "/api/chat", chat(SMALL))

    page.sees("1 done", f"{SMALL}→{answer.node}")
    page.click(f'a[href="#/request/{answer.request_id}"]')
    page.sees("Why this node", "Step by step", f"sent to {answer.node}", "completed: 8 tokens")
    page.click(".section .bar button")
    page.sees("Every node was a candidate", f"had {answer.node} been", within_s=AWAY_S)


def test_the_id_of_no_request_says_so(page: Page, herd: Herd) -> None:
    page.open(f"{herd.url}/dashboard", f"request/{REQUEST}")
    page.sees("the log has no such request", within_s=AWAY_S)


def test_a_node_that_dies_is_seen_within_ten_seconds(page: Page, nodes: Nodes, herd: Herd) -> None:
    page.open(f"{herd.url}/dashboard")
    page.sees("2 of 2 nodes online", within_s=AWAY_S)

    nodes.kill("beta")

    page.sees("beta is offline", "1 of 2 nodes online", within_s=DEATH_S)


def test_a_setting_is_changed_and_kept_and_the_page_comes_back_after_a_restart(
    page: Page, nodes: Nodes, tmp_path: Path
) -> None:
    with running(tmp_path, nodes) as herd:
        page.open(f"{herd.url}/dashboard", "settings")
        page.sees("max queue", "auto pull", within_s=AWAY_S)
        page.find("#setting-max_queue").clear()
        page.find("#setting-max_queue").send_keys("77", Keys.ENTER)
        page.sees("default 512")
        page.click("#setting-auto_pull")
        page.sees_in("#toast", "auto pull is on now.")
        port = int(herd.url.rpartition(":")[2])
        herd.stop()
        page.sees_in("#link", "reconnecting", within_s=AWAY_S)
        page.sees("herd does not answer")

    with running(tmp_path, nodes, port):
        page.sees_in("#link", "live", within_s=AWAY_S)
        page.go("overview")
        page.sees("2 of 2 nodes online", within_s=AWAY_S)
        page.driver.refresh()
        page.go("settings")
        page.sees("default 512", within_s=AWAY_S)
        assert page.find("#setting-max_queue").get_attribute("value") == "77"
        assert page.find("#setting-auto_pull").is_selected()


def test_a_pull_shows_how_far_it_is_whoever_began_it(page: Page, herd: Herd) -> None:
    page.open(f"{herd.url}/dashboard", "models")
    page.sees("Pull…", within_s=AWAY_S)
    page.find('input[name="model"]').send_keys(LITTLE, Keys.ENTER)
    page.sees(f"Pull {LITTLE} onto alpha?")
    page.click(".question .main")
    page.sees(f"{LITTLE} onto alpha", "GB of 1.3 GB", within_s=AWAY_S)

    order = json.dumps({"model": TINY, "node_id": "beta"}).encode()
    assert ask(herd.url, "/dashboard/api/pull", order).status == 200
    page.sees(f"{TINY} onto beta", within_s=AWAY_S)

    page.sees_in("#toast", "Pulled", "onto", within_s=LASTS_S)
    page.sees_in('[aria-label="Disk of beta"]', TINY, within_s=LASTS_S)
    page.sees_in('[aria-label="Disk of alpha"]', LITTLE, within_s=LASTS_S)


HOSTILE = "<img src=x onerror=window.pwned=1>"


def test_what_a_stranger_sends_is_text(page: Page, herd: Herd) -> None:
    body = chat(SMALL) | {"metadata": {"tags": [HOSTILE]}}
    assert ask(herd.url, "/api/chat", body).status == 200
    assert ask(herd.url, "/api/chat", body | {"model": "nobody:has"}).status == 404

    page.open(f"{herd.url}/dashboard")
    page.sees(HOSTILE, "nobody:has", "rejected", within_s=AWAY_S)
    page.go("apps")
    page.sees(HOSTILE, within_s=AWAY_S)
    for tab in ("models", "health", "recommendations"):
        page.go(tab)
        until(lambda: "Loading" not in page.text(), AWAY_S)
        assert page.script("return window.pwned") is None
    assert page.script("return document.querySelectorAll('main img').length") == 0


def test_a_smart_benchmark_pulls_what_was_agreed_to_and_deletes_it_again(
    page: Page, nodes: Nodes, tmp_path: Path
) -> None:
    with running(tmp_path / "herd", nodes) as herd:
        words = ["-m", "herd", "node", "--ollama-host", nodes.url("alpha"), "--node-id", "gamma"]
        words += ["--router-url", herd.url]
        agent = Program(words, {"FLEET_NODE_DATA_DIR": str(tmp_path / "gamma")})
        try:
            herd.until(lambda status: status.state_of("gamma") == "online", AWAY_S)
            for _ in range(3):
                assert ask(herd.url, "/api/chat", chat(LITTLE)).status == 404
            page.open(f"{herd.url}/dashboard", "recommendations")
            page.sees(f"Pull {LITTLE}", within_s=AWAY_S)
            page.go("benchmarks")
            page.sees("Start", within_s=AWAY_S)
            page.click('.choice[aria-label="Mode"] button:last-child')
            page.click(".bar .main")
            page.sees("Pull them first?", f"{LITTLE} onto gamma", within_s=AWAY_S)
            page.click(".question label:not(li label) input")
            page.click(".question .main")
            page.sees("GB of 1.3 GB", within_s=AWAY_S)
            page.sees(f"Pulled: {LITTLE}", "asking ", within_s=LASTS_S)
            page.click("#panel button")
            page.sees("cancelled", f"pulled {LITTLE}, deleted again", within_s=LASTS_S)
            assert LITTLE.encode() not in ask(nodes.url("alpha"), "/api/tags").body
        finally:
            agent.clear()
