"""A real Chromium, one for all tests, and a page in it that complains about nothing."""

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any, Protocol, cast

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from tests.browser.answers import answers
from tests.browser.mock import Mock, mocking
from tests.e2e.herds import until

WITHIN_S = 2.0 * float(os.environ.get("HERD_TEST_PATIENCE", "2"))
"""Two seconds are promised; a machine that runs other tests beside these gets twice that."""

ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--window-size=1280,900",
)


class Driver(Protocol):
    """What is used of a driver, with the types that selenium leaves open."""

    def get(self, url: str) -> None: ...
    def refresh(self) -> None: ...
    def quit(self) -> None: ...
    def find_element(self, by: str, value: str) -> WebElement: ...
    def execute(self, driver_command: str, params: dict[str, Any]) -> dict[str, Any]: ...
    def execute_script(self, script: str, *args: object) -> Any: ...
    def execute_async_script(self, script: str, *args: object) -> Any: ...
    def execute_cdp_cmd(self, cmd: str, cmd_args: dict[str, Any]) -> Any: ...


class Page:
    """What a person sees and does."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver

    def open(self, url: str, tab: str = "overview") -> None:
        self.driver.get("about:blank")
        self.driver.get(f"{url}#/{tab}")
        self.sees_in("#tabs", "Settings")

    def go(self, tab: str) -> None:
        self.script("location.hash = '#/' + arguments[0]", tab)

    def text(self, selector: str = "#panel") -> str:
        return str(
            self.script("return document.querySelector(arguments[0])?.innerText ?? ''", selector)
        )

    def sees(self, *words: str, within_s: float = WITHIN_S) -> None:
        self.sees_in("#panel", *words, within_s=within_s)

    def sees_in(self, selector: str, *words: str, within_s: float = WITHIN_S) -> None:
        """Wait until all these words are there."""
        until(lambda: all(word in self.text(selector) for word in words), within_s)
        seen = self.text(selector)
        missing = [word for word in words if word not in seen]
        assert missing == [], f"{missing} not in {selector}:\n{seen}"

    def find(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def click(self, selector: str) -> None:
        self.find(selector).click()

    def script(self, code: str, *arguments: object) -> object:
        found: object = self.driver.execute_script(code, *arguments)
        return found

    def complaints(self) -> list[str]:
        """Return what the console says, and forget it."""
        wanted = {"type": "browser"}
        lines: list[dict[str, Any]] = self.driver.execute("getLog", wanted)["value"]
        return [str(line["message"]) for line in lines if line["level"] in {"SEVERE", "WARNING"}]


def start() -> Driver | None:
    """Start Chromium, if it is here with its driver."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or driver is None:
        return None
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for argument in ARGUMENTS:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    return cast("Driver", chrome)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Driver]:
    """Start Chromium once."""
    started = start()
    if started is None:
        pytest.skip("no chromium here (Debian: apt install chromium chromium-driver)")
    try:
        yield started
    finally:
        started.quit()


@pytest.fixture
def page(chromium: Driver) -> Iterator[Page]:
    """Give a page, and close what a test opened."""
    made = Page(chromium)
    made.complaints()
    yield made
    chromium.get("about:blank")


@pytest.fixture
def mock() -> Iterator[Mock]:
    """A herd with a past that says what a test wants."""
    with mocking(answers()) as made:
        yield made


OnTab = Callable[[str], Page]


@pytest.fixture
def on_tab(page: Page, mock: Mock) -> OnTab:
    """Open a tab of the mock's dashboard."""

    def opened(tab: str) -> Page:
        page.open(mock.url, tab)
        return page

    return opened
