"""Who cannot see or point can use it: axe finds nothing on any tab, in either theme."""

from pathlib import Path

import pytest

from tests.browser.conftest import OnTab
from tests.browser.test_tabs import SHOWN

AXE = Path(__file__).with_name("axe") / "axe.min.js"

RUN = """
const done = arguments[arguments.length - 1];
const told = (node) => `${node.target} ${node.failureSummary}`;
axe.run(document, { resultTypes: ["violations"] }).then(
  (found) => done(found.violations.map((each) => `${each.id}: ${each.nodes.map(told).join("; ")}`)),
  (error) => done([String(error)]));
"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(theme: str, on_tab: OnTab) -> None:
    page = on_tab("overview")
    page.script("localStorage.setItem('herd-theme', arguments[0])", theme)
    page.driver.refresh()
    page.script(AXE.read_text("utf-8"))
    found: dict[str, object] = {}
    for tab, words in SHOWN.items():
        page.go(tab)
        page.sees(*words)
        page.script("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        found[tab] = page.driver.execute_async_script(RUN)
    page.script("localStorage.clear()")

    assert found == {tab: [] for tab in SHOWN}


def test_nothing_is_wider_than_a_phone(on_tab: OnTab) -> None:
    page = on_tab("overview")
    size = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        for tab, words in SHOWN.items():
            page.go(tab)
            page.sees(*words)
            assert page.script("return document.documentElement.scrollWidth") == 390, tab
    finally:
        page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
