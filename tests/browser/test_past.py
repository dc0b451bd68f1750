"""The slider over the log: the overview shows the fleet as it was, and comes back to now."""

from typing import Any

from tests.browser.conftest import OnTab, Page
from tests.browser.mock import Mock

PATH = "/dashboard/api/past"
THEN = "<i>then</i>"
SLIDE = """
const slider = document.querySelector('#past');
slider.value = arguments[0];
slider.dispatchEvent(new Event('input', { bubbles: true }));
"""


def remember(mock: Mock) -> None:
    """Let the log go from event 1 to 900; at 30 there was another node."""
    status: Any = mock.answers["/fleet/status"]
    node = status["nodes"][0] | {"node_id": THEN, "ollama_url": "http://then:11434"}
    mock.answers[PATH] = {
        "first_seq": 1,
        "last_seq": 900,
        "seq": 30,
        "at": status["timestamp"] - 3600,
        "kind": "request_dispatched",
        "model": "qwen2.5:7b",
        "node_id": THEN,
        "status": status | {"nodes": [node], "queues": {}},
    }


def back(page: Page) -> None:
    page.script(SLIDE, "30")
    page.sees("after event 30: request dispatched", THEN)


def test_the_fleet_is_shown_as_it_was_and_as_it_is_again(on_tab: OnTab, mock: Mock) -> None:
    remember(mock)
    page = on_tab("overview")
    page.sees("now, event 900", "studio")

    back(page)
    assert "1 of 1 node online" in page.text()
    assert "studio" not in page.text(".nodes")
    assert "Just decided" not in page.text(), "that is of now"

    page.click(".past .main")
    page.sees("now, event 900", "studio")
    assert THEN not in page.text(".nodes")
    assert page.complaints() == []


def test_a_finding_leads_to_the_fleet_as_it_was(on_tab: OnTab, mock: Mock) -> None:
    remember(mock)
    mock.answers["/dashboard/api/health"]["recommendations"][0]["seqs"] = [30]
    page = on_tab("health")
    page.sees("What to do")
    page.click(".check summary")
    page.sees("Found in event 30 of the log.")

    page.click('a[href="#/overview?at=30"]')
    page.sees("after event 30", THEN)
    page.driver.refresh()
    page.sees("after event 30", THEN)

    page.click(".past .main")
    page.sees("now, event 900", "studio")
    assert page.script("return location.hash") == "#/overview"
    assert page.complaints() == []


def test_news_of_now_do_not_change_the_past(on_tab: OnTab, mock: Mock) -> None:
    remember(mock)
    page = on_tab("overview")
    page.sees("now, event 900")
    back(page)

    mock.publish("delta", {"nodes": {"new-node": mock.answers["/fleet/status"]["nodes"][0]}})
    mock.publish("changed", {"what": ["requests"]})
    page.sees("after event 30")

    assert THEN in page.text(".nodes")
    assert "new-node" not in page.text(".nodes")


def test_what_cannot_be_seen_again_is_said(on_tab: OnTab, mock: Mock) -> None:
    remember(mock)
    page = on_tab("overview")
    page.sees("now, event 900")
    del mock.answers[PATH]

    page.script(SLIDE, "31")

    page.sees("nothing at /dashboard/api/past")
