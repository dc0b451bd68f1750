"""The feed: cut, resumed, silent, away; names that want to be more than names; a real herd."""

from typing import Any, cast

from tests.browser.answers import REQUEST, answers
from tests.browser.conftest import OnTab, Page
from tests.browser.mock import Mock, mocking
from tests.browser.test_tabs import SHOWN
from tests.e2e.herds import until

AWAY_S = 12.0


def test_a_cut_feed_is_resumed_where_it_ended(on_tab: OnTab, mock: Mock) -> None:
    page = on_tab("overview")
    page.sees_in("#link", "live")
    mock.publish("delta", {"fleet": {"recording": True}})
    mock.publish("delta", {"fleet": {"recording": False}})
    page.sees("cannot record")

    mock.hang_up()

    assert until(lambda: len(mock.resumed) > 1, AWAY_S)
    page.sees_in("#link", "live")


def test_what_was_is_not_shown_as_what_is(on_tab: OnTab, mock: Mock) -> None:
    page = on_tab("overview")
    mock.publish("delta", {"fleet": {"current": False}})
    page.sees("control does not answer")


def test_the_page_comes_back_after_herd_was_away(page: Page) -> None:
    with mocking(answers()) as first:
        page.open(first.url)
        page.sees("studio")
        port = first.port
    page.sees_in("#link", "reconnecting", within_s=AWAY_S)
    page.sees_in(".verdict.bad", "herd does not answer")
    assert "studio" in page.text()

    later = answers()
    later["/fleet/status"]["nodes"][0]["node_id"] = "newcomer"
    with mocking(later, port):
        page.sees_in("#link", "live", within_s=AWAY_S)
        page.sees("newcomer")
        assert "does not answer" not in page.text()


def test_without_a_feed_the_status_is_asked_for(page: Page, mock: Mock) -> None:
    mock.feeding = False
    page.open(mock.url)
    page.sees_in("#link", "asked every 2 s")
    page.sees("studio")

    mock.answers["/fleet/status"]["nodes"][0]["node_id"] = "newcomer"

    page.sees("newcomer", within_s=AWAY_S)


LATER = "const at = performance.now.bind(performance); performance.now = () => at() + 11_000"


def test_a_request_that_is_not_there_is_not_asked_for_again_and_again(
    on_tab: OnTab, mock: Mock
) -> None:
    path, health = "/dashboard/api/requests/later", "/dashboard/api/health"
    page = on_tab("request/later")
    page.sees("nothing at")

    for times in (2, 3, 4):
        mock.publish("changed", {"what": ["requests"]})
        assert until(lambda: mock.asked.count(health) >= times, AWAY_S)  # noqa: B023 (called here)
    assert mock.asked.count(path) <= 2, "more than once in ten seconds"

    mock.answers[path] = mock.answers[f"/dashboard/api/requests/{REQUEST}"]
    page.script(LATER)
    mock.publish("changed", {"what": ["requests"]})
    page.sees("Step by step")


HOSTILE = "<script>window.pwned=1</script><img src=x onerror=window.pwned=1>"
TEXTS = {
    "node_id", "model", "name", "model_name", "tag", "app", "title", "description", "fix", "why",
    "error_message", "help", "text", "reason", "display_name", "category", "ollama_url", "chip",
    "route", "policy", "phase", "fleet_summary",
}  # fmt: skip


def _hostile(value: object, key: str = "") -> Any:
    if isinstance(value, dict):
        pairs = cast("dict[str, object]", value).items()
        return {each: _hostile(found, each) for each, found in pairs}
    if isinstance(value, list):
        return [_hostile(each, key) for each in cast("list[object]", value)]
    return value + HOSTILE if isinstance(value, str) and key in TEXTS else value


def test_hostile_names_are_text(page: Page) -> None:
    with mocking(_hostile(answers())) as mock:
        page.open(mock.url)
        for tab in SHOWN.keys() - {"trends", "benchmarks"}:  # which show no names
            page.go(tab)
            page.sees("<script>window.pwned=1</script>")
            assert page.script("return window.pwned") is None
            assert (
                page.script("return document.querySelectorAll('main script, main img').length") == 0
            )
        assert page.complaints() == []


def test_a_hostile_address_is_no_markup(page: Page, mock: Mock) -> None:
    page.open(mock.url, "request/%3Cimg%20src=x%20onerror=window.pwned=1%3E")

    page.sees("nothing at")
    assert page.script("return window.pwned") is None
