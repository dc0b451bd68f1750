"""A fleet with keys, seen from another machine: what a name other than localhost stands for."""

import json
from pathlib import Path

from selenium.webdriver.common.keys import Keys

from herd.simulator.fleet import NodeOrder
from tests.browser.conftest import Page
from tests.e2e.herds import Composition, Herd, command, until
from tests.e2e.nodes import Nodes

SLOW_S = 12.0


def test_the_admin_token_or_a_link_signs_a_browser_in(page: Page, tmp_path: Path) -> None:
    with Nodes(NodeOrder(profile="ideal", name="ada")) as nodes:
        herd = Herd(tmp_path, Composition("one process", 0, "asyncio"), nodes.flags())
        try:
            herd.comes_up()
            herd.until_online("ada")
            added = command("key", "add", "laptop", "--url", herd.url)
            assert added.returncode == 0, added.stderr
            elsewhere = f"http://herd.localhost:{herd.url.rpartition(':')[2]}"
            _signs_in_by_token(page, elsewhere, herd.data_dir)
            page.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
            _signs_in_by_link(page, elsewhere, herd.data_dir)
        finally:
            page.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
            herd.clear()


def _signs_in_by_token(page: Page, elsewhere: str, data_dir: Path) -> None:
    page.driver.get(f"{elsewhere}/dashboard")
    page.sees_in("#admin", "herd dashboard", within_s=SLOW_S)
    page.find("#admin-token").send_keys("a guess", Keys.ENTER)
    page.sees_in("#admin", "not the admin token", within_s=SLOW_S)
    page.find("#admin-token").send_keys(Keys.ESCAPE)
    page.sees_in("#link", "signed out")

    page.sees("You are signed out")
    assert "Waiting" not in page.text()
    page.click("#panel .empty .main")
    page.sees_in("#admin", "herd where", within_s=SLOW_S)
    token = (data_dir / "admin.token").read_text(encoding="utf-8").strip()
    page.find("#admin-token").send_keys(token, Keys.ENTER)
    page.sees_in("#link", "live", within_s=SLOW_S)
    page.sees("ada", "online", within_s=SLOW_S)
    assert page.complaints(), "Chromium tells of the 401s, and of nothing else"


def _signs_in_by_link(page: Page, elsewhere: str, data_dir: Path) -> None:
    made = command("dashboard", "--json", "--url", elsewhere, "--data-dir", str(data_dir))
    [link] = json.loads(made.stdout)["links"]
    page.driver.get(link)
    page.sees_in("#link", "live", within_s=SLOW_S)
    assert page.script("return location.pathname") == "/dashboard"
    page.go("health")
    assert until(lambda: "Health" in page.text("#tabs"), SLOW_S)
    page.driver.get(link)
    assert "used already" in str(page.script("return document.body.innerText"))
