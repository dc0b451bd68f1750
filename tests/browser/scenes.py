"""What the page may come to show beside its tabs: questions, the past, a herd that is away."""

from collections.abc import Callable
from typing import Any

from selenium.webdriver.common.keys import Keys

from tests.browser.answers import REQUEST
from tests.browser.conftest import Page
from tests.browser.mock import Mock
from tests.browser.test_past import SLIDE, remember

AWAY_S = 12.0

EXPLAINED: dict[str, Any] = {
    "request_id": REQUEST,
    "waits": [{"from_s": 0.0, "to_s": 0.26, "why": "studio was full", "opened": "a slot was free"}],
    "decisions": [
        {
            "attempt": 1,
            "node_id": "studio",
            "why": "studio, because mini would have had to load the model.",
            "contrasts": [{"text": "had studio been full (4 of 4), mini"}],
            "others": [{"node_id": "tower", "obstacles": {"model": "does not have the model"}}],
            "known": True,
            "exact": True,
            "now": "studio",
        }
    ],
    "rejected": "",
}
PROPOSED = {
    "pulls": [
        {"model": "phi4:14b", "node_id": "studio", "size_gb": 9.1, "reason": "41 asked for it."},
        {"model": "bge-m3:latest", "node_id": "tower", "size_gb": 1.2, "reason": "None is here."},
    ]
}


def asked(page: Page, _: Mock) -> None:
    """A deletion, a pull under way, and what is under way answers at length."""
    page.go("models")
    page.sees("delete…")
    page.click('[aria-label="Delete qwen2.5:7b on tower"]')
    page.sees("from the disk of tower")


def proposed(page: Page, mock: Mock) -> None:
    mock.answers["/dashboard/api/benchmarks/proposal"] = PROPOSED
    page.go("benchmarks")
    page.sees("Start")
    page.click('.choice[aria-label="Mode"] button:last-child')
    page.click(".bar .main")
    page.sees("Pull them first?", "bge-m3:latest onto tower")


def measured(page: Page, mock: Mock) -> None:
    mock.answers["/dashboard/api/benchmarks/progress"] = {
        "status": "pulling",
        "phase": "pulling phi4:14b onto studio",
        "pull_progress": {"completed_bytes": 4_500_000_000, "total_bytes": 9_100_000_000},
        "models_pulled": ["bge-m3:latest"],
        "elapsed": 0,
        "duration": 30,
        "requests_completed": 0,
        "requests_failed": 0,
        "tok_per_sec": 0,
    }
    page.go("benchmarks")
    page.sees("4.5 GB of 9.1 GB", "Pulled: bge-m3:latest")


def explained(page: Page, mock: Mock) -> None:
    mock.answers["/dashboard/api/explain"] = EXPLAINED
    page.go(f"request/{REQUEST}")
    page.sees("Step by step")
    page.click(".section .bar button")
    page.sees("had studio been full (4 of 4), mini", "tower", "It waited 0.26 s")


def earlier(page: Page, mock: Mock) -> None:
    remember(mock)
    page.go("overview")
    page.sees("now, event 900")
    page.script(SLIDE, "30")
    page.sees("after event 30")


def refused(page: Page, mock: Mock) -> None:
    mock.refusals["/dashboard/api/settings"] = (401, {"error": "send its admin token"})
    page.go("settings")
    page.sees("predictions")
    page.click("#setting-predictions")
    page.sees_in("#admin", "send its admin token")


def given_up(page: Page, mock: Mock) -> None:
    """The dialog left, what was refused is said."""
    refused(page, mock)
    page.find("#admin-token").send_keys(Keys.ESCAPE)
    page.sees("send its admin token")


def empty(page: Page, mock: Mock) -> None:
    """Nothing was ever there."""
    mock.answers["/fleet/status"] |= {"nodes": [], "queues": {}}
    page.driver.refresh()
    page.go("overview")
    page.sees("No node yet", "herd node --router-url")


def away(page: Page, mock: Mock) -> None:
    """herd does not answer: nothing that is asked of it."""
    page.go("overview")
    page.sees("studio")
    mock.answers.clear()
    mock.feeding = False
    mock.hang_up()
    page.sees_in("#link", "reconnecting", within_s=AWAY_S)
    page.sees("herd does not answer")


SCENES: dict[str, Callable[[Page, Mock], None]] = {
    "asked": asked,
    "proposed": proposed,
    "measured": measured,
    "explained": explained,
    "earlier": earlier,
    "refused": refused,
    "given up": given_up,
    "empty": empty,
    "away": away,
}
