"""`python -m tests.browser.pictures URL`: the pictures of the documentation, from a running herd.

A herd with much traffic: `herd demo`, and a few clients of your own that make requests wait. It
takes a minute, until the overview has watched one. Each picture is what a person sees; none is
touched up.
"""

import base64
import sys
import time
from pathlib import Path
from typing import Any

from tests.browser.conftest import Page, start
from tests.e2e.herds import until
from tests.e2e.wire import ask

DOCS = Path(__file__).parents[2] / "docs"
WATCHED_S = 65.0
DRAWN_S = 4.0
"""The page has asked for all it needs, and drawn it."""
WIDTH = 1280
ENDED_S = 12.0
"""Ago, and it has likely ended."""
EXPLAINED = ("No candidate", "Every node was a candidate")
LONG_S = 0.3
"""A wait that is seen on a time line."""


def main(url: str) -> None:
    """Take the overview in light, and a request that waited or could choose in dark."""
    driver = start()
    if driver is None:
        sys.exit("no chromium here (Debian: apt install chromium chromium-driver)")
    try:
        page = Page(driver)
        page.open(f"{url}/dashboard")
        _choose(page, "light")
        time.sleep(WATCHED_S)
        _take(page, 860, DOCS / "dashboard.png")
        page.go(f"request/{_worth_a_look(url)}")
        _choose(page, "dark")
        time.sleep(DRAWN_S)
        page.click(".section .bar button")
        until(lambda: any(word in page.text() for word in EXPLAINED), 20.0)
        _take(page, 1060, DOCS / "dashboard-request.png")
    finally:
        driver.quit()


def _worth_a_look(url: str) -> str:
    """Return the last of the requests that waited, had to load, or could choose."""
    decisions: list[Any] = ask(url, "/dashboard/api/decisions?limit=200").json["decisions"]
    ended = [each for each in decisions if each["at"] < decisions[0]["at"] - ENDED_S]
    return str(max(ended or decisions, key=_richness)["request_id"])


def _richness(decision: dict[str, Any]) -> int:
    waited = bool(decision["queue_s"] > LONG_S)
    chose = decision["runner_up"] is not None
    return 3 * waited + 2 * chose + bool(decision["cold"])


def _choose(page: Page, theme: str) -> None:
    while theme not in page.text("#theme"):
        page.click("#theme")


def _take(page: Page, height: int, path: Path) -> None:
    page.script("scrollTo(0, 0)")
    clip = {"x": 0, "y": 0, "width": WIDTH, "height": height, "scale": 1}
    wanted = {"format": "png", "captureBeyondViewport": True, "clip": clip}
    taken = page.driver.execute_cdp_cmd("Page.captureScreenshot", wanted)
    path.write_bytes(base64.b64decode(taken["data"]))


if __name__ == "__main__":
    main(sys.argv[1])
