"""Every tab opens, shows what it was told, and changes when an event concerns it."""

from collections.abc import Callable
from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys

from tests.browser.answers import REQUEST
from tests.browser.conftest import OnTab, Page
from tests.browser.mock import Mock

SHOWN = {
    "overview": (
        "Memory of mini is nearly full",
        "studio",
        "no node that is online has this model",
        "all 4 slots of studio in use; to load it on tower, mini would take longer",
        "the next waits about 14.2 s",
    ),
    "trends": ("128,411", "Requests an hour", "Tokens an hour"),
    "models": ("Use", "llama3.3:70b", "Answer tokens a day", "212 GiB free of 930 GiB"),
    "apps": ("nightly-batch", "Requests a day"),
    "benchmarks": ("models in memory", "296.5"),
    "health": ("87 of 100", "What to do:"),
    "recommendations": ("Pull qwen2.5-coder:7b", "pull it", "herd whatif --set max_queue=1024"),
    "settings": ("predictions", "fixed by FLEET_HOLD_TIMEOUT", "--port"),
    f"request/{REQUEST}": ("because mini would have had to load", "Step by step", "chosen"),
}


@pytest.mark.parametrize("tab", SHOWN)
def test_a_tab_opens(tab: str, on_tab: OnTab) -> None:
    page = on_tab(tab)

    page.sees(*SHOWN[tab])
    assert page.complaints() == []


def test_a_tab_is_chosen_with_the_pointer_and_with_the_keyboard(on_tab: OnTab) -> None:
    page = on_tab("overview")
    page.click("#tab-health")
    page.sees("87 of 100")

    page.find("#tab-health").send_keys(Keys.ARROW_RIGHT)
    page.sees("Pull qwen2.5-coder:7b")
    assert page.script("return document.activeElement.id") == "tab-recommendations"
    page.find("#tab-recommendations").send_keys(Keys.END)
    page.sees("Can change now")
    page.find("#tab-settings").send_keys(Keys.ARROW_RIGHT)
    page.sees("Just decided")
    assert page.find("#tab-overview").get_attribute("aria-selected") == "true"


LEGENDS = """
return [...document.querySelectorAll('.chart')].map((chart) =>
  [...chart.querySelectorAll('.legend span')].map((each) =>
    [each.innerText, getComputedStyle(each.querySelector('i')).backgroundColor]))
"""


@pytest.mark.parametrize("tab", ["models", "apps"])
def test_a_name_has_one_colour_in_all_charts(on_tab: OnTab, mock: Mock, tab: str) -> None:
    models = mock.answers["/dashboard/api/models"]["daily"]
    apps = mock.answers["/dashboard/api/apps/daily"]["data"]
    for row in (*models, *apps):
        tokens = 1_000_000 // row["request_count"]  # the other way round
        row |= {"total_completion_tokens": tokens, "total_tokens": tokens}

    page = on_tab(tab)
    page.sees("Day by day")

    legends: Any = page.script(LEGENDS)
    requests, tokens = legends
    assert len(requests) > 1
    assert dict(requests) == dict(tokens)


Change = Callable[[dict[str, Any]], None]


def _overview(answers: dict[str, Any]) -> None:
    answers["/dashboard/api/decisions"]["decisions"][0]["why"] = "changed"


def _trends(answers: dict[str, Any]) -> None:
    answers["/dashboard/api/overview"]["models_count"] = "changed"
    answers["/dashboard/api/overview"]["total_requests"] = 777_777


def _models(answers: dict[str, Any]) -> None:
    answers["/dashboard/api/models"]["summary"][0]["model_name"] = "777,777"


def _apps(answers: dict[str, Any]) -> None:
    answers["/dashboard/api/apps"]["data"][0]["request_count"] = 777_777


def _benchmarks(answers: dict[str, Any]) -> None:
    answers["/dashboard/api/benchmarks"]["data"][0]["total_requests"] = 777_777


def _health(answers: dict[str, Any]) -> None:
    answers["/dashboard/api/health"]["vitals"]["total_requests_24h"] = 777_777


def _recommendations(answers: dict[str, Any]) -> None:
    answers["/dashboard/api/recommendations"]["usage"]["total_requests_24h"] = 777_777


def _settings(answers: dict[str, Any]) -> None:
    answers["/dashboard/api/settings"]["settings"][4]["value"] = "777,777"


CHANGES: dict[str, tuple[str, Change, str]] = {
    "overview": ("requests", _overview, "changed"),
    "trends": ("requests", _trends, "777,777"),
    "models": ("requests", _models, "777,777"),
    "apps": ("requests", _apps, "777,777"),
    "benchmarks": ("benchmarks", _benchmarks, "777,777"),
    "health": ("health", _health, "777,777"),
    "recommendations": ("nodes", _recommendations, "777,777"),
    "settings": ("settings", _settings, "777,777"),
}


@pytest.mark.parametrize("tab", CHANGES)
def test_a_tab_changes_with_an_event_that_concerns_it(tab: str, on_tab: OnTab, mock: Mock) -> None:
    kind, change, word = CHANGES[tab]
    page = on_tab(tab)
    page.sees(SHOWN[tab][0])
    assert word not in page.text()

    change(mock.answers)
    mock.publish("changed", {"what": [kind]})

    page.sees(word)


def test_a_delta_changes_one_node_and_leaves_the_focus_where_it_is(
    on_tab: OnTab, mock: Mock
) -> None:
    page = on_tab("overview")
    page.sees("mini")
    page.script("document.querySelector('.node summary').focus()")
    studio = mock.answers["/fleet/status"]["nodes"][0] | {"status": "offline"}

    mock.publish("delta", {"nodes": {"studio": studio}, "queues": {"*:llama3.3:70b": None}})

    page.sees("studio is offline", "2 of 3 nodes online")
    assert page.script("return document.activeElement.localName") == "summary"
    assert "7" not in page.text(".lines b")


def test_a_node_that_is_full_is_told_from_one_that_is_not_known(mock: Mock, on_tab: OnTab) -> None:
    full, unknown = mock.answers["/dashboard/api/recommendations"]["nodes"]
    full |= {"usable_ram_gb": 0.0}
    unknown |= {"total_ram_gb": 0.0, "usable_ram_gb": 0.0}

    page = on_tab("recommendations")

    page.sees("What to do")
    first = page.text(".node")
    assert "No memory for more models" in first
    assert "not known" not in first
    assert "not known" in page.text(".node:last-child")


def test_empty_states_teach(mock: Mock, page: Page) -> None:
    mock.answers["/fleet/status"] |= {"nodes": [], "queues": {}}
    for path in ("models", "apps", "apps/daily", "benchmarks", "trends"):
        table = mock.answers[f"/dashboard/api/{path}"]
        table.update({key: [] for key in ("data", "daily", "summary") if key in table})
    mock.answers["/dashboard/api/model-management"] = {"nodes": []}
    mock.answers["/dashboard/api/recommendations"] = {"nodes": []}

    page.open(mock.url)
    page.sees("No node yet", "herd node", "herd run --node")
    for tab, words in {
        "trends": "No request in this period",
        "models": "run herd node",
        "apps": "X-Herd-Tags",
        "benchmarks": "before you change anything",
        "recommendations": "run herd node",
    }.items():
        page.go(tab)
        page.sees(words)
    assert page.complaints() == []
