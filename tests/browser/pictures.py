"""`python -m tests.browser.pictures URL`: the pictures of the documentation, from a running herd.

A herd with some traffic: `herd demo`, after a minute or two. Each picture is what a person sees
without scrolling; none is touched up.
"""

import base64
import sys
import time
from pathlib import Path

from tests.browser.conftest import Page, start

DOCS = Path(__file__).parents[2] / "docs"
DRAWN_S = 4.0
"""The page has asked for all it needs, and drawn it."""


def main(url: str) -> None:
    """Take the overview in light and the request that was decided last in dark."""
    driver = start()
    if driver is None:
        sys.exit("no chromium here (Debian: apt install chromium chromium-driver)")
    try:
        page = Page(driver)
        page.open(f"{url}/dashboard")
        _take(page, "light", DOCS / "dashboard.png")
        page.click(".decisions a")
        _take(page, "dark", DOCS / "dashboard-request.png")
    finally:
        driver.quit()


def _take(page: Page, theme: str, path: Path) -> None:
    while theme not in page.text("#theme"):
        page.click("#theme")
    time.sleep(DRAWN_S)
    taken = page.driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
    path.write_bytes(base64.b64decode(taken["data"]))


if __name__ == "__main__":
    main(sys.argv[1])
