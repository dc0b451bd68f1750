"""What is looked at, pointed at or read stays where it is while the fleet goes on."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, cast

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver

from tests.browser.answers import REQUEST
from tests.browser.conftest import WITHIN_S, OnTab, Page
from tests.browser.mock import Mock
from tests.e2e.herds import until

HEARD = {"what": ["requests", "health", "nodes"]}
NEWER = "newer ones come when you have left this one"


@contextmanager
def on_a_phone(page: Page) -> Generator[None]:
    size = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        yield
    finally:
        page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_nodes_stay_where_they_are_when_nothing_waits_any_more(on_tab: OnTab, mock: Mock) -> None:
    mock.answers["/fleet/status"]["lately"] = [[110, 9, 3, 40]]
    top = "return document.querySelector('.nodes').getBoundingClientRect().top"
    page = on_tab("overview")
    page.sees("mixtral:8x7b")
    mock.publish("delta", {"queues": {"*:llama3.3:70b": None}})
    page.sees("1 waiting")
    before = page.script(top)

    mock.publish("delta", {"queues": {"*:mixtral:8x7b": None}})

    page.sees("Nothing waits.", "0 waiting")
    assert page.script(top) == before


def _decide(mock: Mock, word: str) -> None:
    rows = mock.answers["/dashboard/api/decisions"]["decisions"]
    rows.insert(0, rows[0] | {"seq": rows[0]["seq"] + 1, "why": word})


def test_the_row_under_the_pointer_stays_there_until_it_has_gone(on_tab: OnTab, mock: Mock) -> None:
    first = "return document.querySelector('.decisions li').innerText"
    page = on_tab("overview")
    page.sees("Just decided")
    before = page.script(first)
    pointer = ActionChains(cast("WebDriver", page.driver))
    pointer.move_to_element(page.find(".decisions li a")).perform()

    _decide(mock, "newest of all")
    mock.publish("changed", HEARD)
    page.sees(NEWER)
    assert page.script(first) == before

    pointer.move_to_element(page.find("#title")).perform()
    page.sees("newest of all")
    assert NEWER not in page.text()


FOCUSED = "return document.activeElement.getAttribute('href')"


def test_who_came_to_a_request_with_the_keyboard_keeps_it(on_tab: OnTab, mock: Mock) -> None:
    page = on_tab("overview")
    page.sees("Just ended")
    page.find("#panel .scroll").send_keys(Keys.TAB)
    assert page.script(FOCUSED) == f"#/request/{REQUEST}"

    rows = mock.answers["/dashboard/api/traces"]["traces"]
    rows.insert(0, rows[0] | {"request_id": "f" * 32, "model": "newest:1b"})
    mock.publish("changed", HEARD)
    page.sees(NEWER)
    assert page.script(FOCUSED) == f"#/request/{REQUEST}"


def test_what_was_opened_of_a_check_stays_open_when_another_is_found(
    on_tab: OnTab, mock: Mock
) -> None:
    found = mock.answers["/dashboard/api/health"]["recommendations"]
    page = on_tab("health")
    page.sees("What to do:")
    page.click(".check summary")
    page.sees("total gb")

    found.insert(0, found[0] | {"node_id": "tower", "title": "Memory of tower is nearly full"})
    mock.publish("changed", HEARD)

    page.sees("Memory of tower is nearly full")
    assert page.script(
        "return [...document.querySelectorAll('.check details')].map((each) => each.open)"
    ) == [False, True, False]


MADE = "return document.querySelector('tbody tr').herdMade === window.made"


def test_what_a_delta_does_not_concern_is_not_made_again(on_tab: OnTab, mock: Mock) -> None:
    page = on_tab("models")
    page.sees("Pull…")
    page.script("window.made = document.querySelector('tbody tr').herdMade")
    studio = mock.answers["/fleet/status"]["nodes"][0] | {"status": "offline"}

    mock.publish("delta", {"nodes": {"studio": studio}})

    page.sees_in('[aria-label="Disk of studio"]', "offline")
    assert page.script(MADE)


LATER = "const now = Date.now.bind(Date); Date.now = () => now() + 60_000"


def test_what_went_on_while_the_page_was_not_watched_is_asked_for(
    on_tab: OnTab, mock: Mock
) -> None:
    mock.answers["/fleet/status"]["lately"] = [[110, 9, 3, 40], [30, 1, 0, 100]]
    page = on_tab("overview")
    page.sees_in(".pulse", "running, at most 9")
    mock.answers["/fleet/status"]["lately"] = [[110, 17, 3, 40], [30, 1, 0, 100]]

    page.script(LATER)

    page.sees_in(".pulse", "running, at most 17")
    page.sees_in("#link", "live")
    assert mock.resumed == ["", ""], "once, and from the beginning"


def test_a_herd_that_was_started_again_takes_nothing_from_the_strip(
    on_tab: OnTab, mock: Mock
) -> None:
    mock.answers["/fleet/status"]["lately"] = [[110, 9, 3, 40], [30, 1, 0, 100]]
    page = on_tab("overview")
    page.sees_in(".pulse", "last 2 minutes", "running, at most 9")
    mock.answers["/fleet/status"]["lately"] = [[1, 2, 0, 0]]

    page.script(LATER)

    assert until(lambda: len(mock.resumed) > 1, WITHIN_S)
    page.sees_in("#link", "live")
    page.sees_in(".pulse", "last 3 minutes", "running, at most 9")


WATCHED = """
window.plots = [];
window.uPlot = new Proxy(window.uPlot, {
  construct(made, given) {
    const plot = new made(...given);
    const destroy = plot.destroy;
    plot.destroy = () => { plot.gone = true; destroy(); };
    window.plots.push(plot);
    return plot;
  },
});"""
GONE = "return window.plots.map((each) => Boolean(each.gone))"


def test_charts_of_a_tab_that_was_left_are_not_kept(on_tab: OnTab) -> None:
    page = on_tab("overview")
    page.script(WATCHED)
    page.go("trends")
    page.sees("Requests an hour")
    drawn = len(cast("list[bool]", page.script(GONE)))
    assert drawn > 1

    page.go("apps")
    page.sees("Tokens a day")

    assert page.script(GONE) == [True] * drawn + [False] * 2


def test_who_follows_a_link_comes_to_the_new_page(on_tab: OnTab) -> None:
    page = on_tab("overview")
    page.sees("Just ended")

    page.find("#panel .scroll tbody a").send_keys(Keys.ENTER)

    page.sees("Step by step")
    assert page.script("return document.activeElement.id") == "panel"


SEEN = """
const [bar, tab] = ['tabs', 'tab-settings'].map((id) =>
  document.getElementById(id).getBoundingClientRect());
return tab.right <= bar.right + 1"""


def test_the_tab_that_is_shown_is_seen_on_a_phone(page: Page, mock: Mock) -> None:
    with on_a_phone(page):
        page.open(mock.url, "settings")
        page.sees_in("#tab-health", "1")
        assert until(lambda: bool(page.script(SEEN)), WITHIN_S)


def test_a_long_name_makes_no_page_wider_than_a_phone(page: Page, mock: Mock) -> None:
    name = "workstation-00.engineering.building-seven.example.internal"
    mock.answers["/fleet/status"]["nodes"][0]["node_id"] = name
    mock.answers["/dashboard/api/model-management"]["nodes"][0]["node_id"] = name
    with on_a_phone(page):
        page.open(mock.url, "models")
        page.sees("Pull…", name)
        assert page.script("return document.documentElement.scrollWidth") == 390


RIGHT = """
return [...document.querySelectorAll(arguments[0])]
  .map((each) => each.getBoundingClientRect().right)"""


def test_fields_of_settings_stand_below_each_other(on_tab: OnTab, mock: Mock) -> None:
    mock.answers["/dashboard/api/settings"]["settings"][2]["default"] = 64
    page = on_tab("settings")
    page.sees("default 64", "hold timeout")

    rights: Any = page.script(RIGHT, '.settings input[type="number"]')
    assert len(rights) == 2
    assert len(set(rights)) == 1
