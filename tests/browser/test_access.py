"""Who cannot see or point can use it: axe finds nothing on any tab, in either theme."""

from pathlib import Path
from typing import cast

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver

from tests.browser.conftest import WITHIN_S, OnTab, Page
from tests.browser.mock import Mock
from tests.browser.scenes import SCENES
from tests.browser.test_past import remember
from tests.browser.test_tabs import SHOWN
from tests.e2e.herds import until

AXE = Path(__file__).with_name("axe") / "axe.min.js"

RUN = """
const done = arguments[arguments.length - 1];
const told = (node) => `${node.target} ${node.failureSummary}`;
axe.run(document, { resultTypes: ["violations"] }).then(
  (found) => done(found.violations.map((each) => `${each.id}: ${each.nodes.map(told).join("; ")}`)),
  (error) => done([String(error)]));
"""
THEMES = ("light", "dark")


def themed(page: Page, theme: str) -> None:
    page.script("localStorage.setItem('herd-theme', arguments[0])", theme)
    page.driver.refresh()


def violations(page: Page) -> object:
    if not page.script("return 'axe' in window"):
        page.script(AXE.read_text("utf-8"))
    page.script("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    return page.driver.execute_async_script(RUN)


@pytest.mark.parametrize("theme", THEMES)
def test_axe_finds_nothing(theme: str, on_tab: OnTab) -> None:
    page = on_tab("overview")
    themed(page, theme)
    found: dict[str, object] = {}
    for tab, words in SHOWN.items():
        page.go(tab)
        page.sees(*words)
        found[tab] = violations(page)
    page.script("localStorage.clear()")

    assert found == {tab: [] for tab in SHOWN}


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("scene", SCENES)
def test_axe_finds_nothing_in_what_comes_and_goes(
    scene: str, theme: str, on_tab: OnTab, mock: Mock
) -> None:
    page = on_tab("overview")
    themed(page, theme)
    SCENES[scene](page, mock)

    found = violations(page)
    page.script("localStorage.clear()")

    assert found == []


BELOW_THE_BAR = """
const field = document.querySelector('#setting-max_queue');
scrollBy(0, field.getBoundingClientRect().top - 5);
const over = () => field.getBoundingClientRect().top - document.querySelector('.top').offsetHeight;
const before = over();
field.focus();
return [before, over()]"""


def test_what_gets_the_focus_is_not_below_the_bar_on_top(on_tab: OnTab) -> None:
    page = on_tab("settings")
    page.sees("hold timeout")

    before, after = cast("list[float]", page.script(BELOW_THE_BAR))

    assert before < 0 < after


GROUNDS = """
return arguments[0].map((each) =>
  getComputedStyle(document.querySelector(each)).backgroundColor)"""
UNLIKE = {
    "overview": (".slots i.used", ".slots i:not(.used)"),
    "settings": ("input.switch:checked", "input.switch:not(:checked)"),
    "apps": ('.choice [aria-pressed="true"]', '.choice [aria-pressed="false"]'),
}


def test_what_is_on_or_taken_is_seen_in_high_contrast(on_tab: OnTab, mock: Mock) -> None:
    switch = mock.answers["/dashboard/api/settings"]["settings"][0]
    mock.answers["/dashboard/api/settings"]["settings"].append(
        switch | {"key": "auto_pull", "value": False}
    )
    page = on_tab("overview")
    forced = {"features": [{"name": "forced-colors", "value": "active"}]}
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", forced)
    try:
        for tab, pair in UNLIKE.items():
            page.go(tab)
            page.sees(SHOWN[tab][0])
            on, off = cast("list[str]", page.script(GROUNDS, list(pair)))
            assert on not in {off, "rgb(0, 0, 0)", "rgb(255, 255, 255)"}, tab
    finally:
        page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


@pytest.mark.parametrize("width", [320, 390])
def test_nothing_is_wider_than_a_phone(width: int, on_tab: OnTab) -> None:
    page = on_tab("overview")
    size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        for tab, words in SHOWN.items():
            page.go(tab)
            page.sees(*words)
            assert page.script("return document.documentElement.scrollWidth") == width, tab
    finally:
        page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_on_a_phone_the_tab_that_is_open_is_in_sight(on_tab: OnTab) -> None:
    page = on_tab("overview")
    size = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    within = """
    const bar = document.getElementById("tabs").getBoundingClientRect();
    const tab = document.querySelector("[role=tab][aria-selected=true]").getBoundingClientRect();
    return tab.left >= bar.left - 1 && tab.right <= bar.right + 1;
    """
    try:
        for tab, words in SHOWN.items():
            page.go(tab)
            page.sees(*words)
            assert page.script(within), tab
    finally:
        page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def _focused(page: Page) -> str:
    said = "(each) => each.getAttribute('aria-label') || each.id || each.innerText"
    return str(page.script(f"return ({said})(document.activeElement)"))


def _type(page: Page, *keys: str) -> None:
    ActionChains(cast("WebDriver", page.driver)).send_keys(*keys).perform()


def test_the_first_key_skips_to_the_content(on_tab: OnTab) -> None:
    page = on_tab("overview")
    page.sees("studio")

    _type(page, Keys.TAB)
    assert _focused(page) == "Skip to content"
    _type(page, Keys.ENTER)
    assert until(lambda: page.script("return document.activeElement.id") == "panel", WITHIN_S)


def test_time_is_moved_by_the_arrows(on_tab: OnTab, mock: Mock) -> None:
    remember(mock)
    page = on_tab("overview")
    page.sees("now, event 900")

    page.find("#past").send_keys(Keys.ARROW_LEFT)

    page.sees("event 899…")
    assert page.script("return document.activeElement.id") == "past"


def test_a_question_has_the_focus_and_gives_it_back(on_tab: OnTab, mock: Mock) -> None:
    page = on_tab("models")
    page.sees("delete…")
    page.find('[aria-label="Delete qwen2.5:7b on tower"]').send_keys(Keys.ENTER)
    page.sees("from the disk of tower")
    assert until(lambda: _focused(page) == "Leave it", WITHIN_S)

    _type(page, Keys.ESCAPE)

    assert until(lambda: "from the disk of" not in page.text(), WITHIN_S)
    assert _focused(page) == "Delete qwen2.5:7b on tower"
    assert mock.posted == []


def test_all_that_can_be_done_on_a_tab_is_reached_by_the_tab_key(on_tab: OnTab) -> None:
    page = on_tab("models")
    page.sees("delete…")
    wanted = page.script("return document.querySelectorAll('#panel .orders button').length")

    reached: set[str] = set()
    for _ in range(120):
        _type(page, Keys.TAB)
        inside = "document.activeElement.closest('#panel .orders')"
        if page.script(f"return Boolean({inside})"):
            reached.add(_focused(page))

    assert len(reached) == wanted
