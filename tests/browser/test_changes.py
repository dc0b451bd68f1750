"""What a person changes from the page: settings, models on disk; each asks or answers first."""

from selenium.webdriver.common.keys import Keys

from herd.http.keyring import digest
from tests.browser.conftest import WITHIN_S, OnTab
from tests.browser.mock import Mock
from tests.e2e.herds import until


def test_a_switch_posts_a_boolean(on_tab: OnTab, mock: Mock) -> None:
    page = on_tab("settings")
    page.sees("predictions")

    page.click("#setting-predictions")

    page.sees_in("#toast", "predictions is off now.")
    assert mock.posted == [("/dashboard/api/settings", {"predictions": False})]


def test_a_switch_stays_where_it_is_when_it_is_thrown(on_tab: OnTab, mock: Mock) -> None:
    page = on_tab("settings")
    page.sees("predictions")
    at = "return document.querySelector('#setting-predictions').getBoundingClientRect().left"
    before = page.script(at)

    mock.answers["/dashboard/api/settings"]["settings"][0]["value"] = False
    page.click("#setting-predictions")

    page.sees("default on")
    assert page.script(at) == before


def test_a_number_posts_a_number(on_tab: OnTab, mock: Mock) -> None:
    page = on_tab("settings")
    page.sees("max queue")
    field = page.find("#setting-max_queue")

    field.clear()
    field.send_keys("64", Keys.ENTER)

    assert until(lambda: ("/dashboard/api/settings", {"max_queue": 64}) in mock.posted, WITHIN_S)


HELD = """
const ask = window.fetch;
window.asked = [];
window.held = [];
window.fetch = (path, options) => {
  window.asked.push(path);
  if (!path.includes('days=1')) return ask(path, options);
  return new Promise((done) => window.held.push(() => done(ask(path, options))));
};"""
ASKED = "return window.asked.filter((path) => path.includes(arguments[0])).length"


def test_a_period_that_is_chosen_while_another_is_asked_for_is_asked_for_after_it(
    on_tab: OnTab, mock: Mock
) -> None:
    page = on_tab("apps")
    page.sees("Applications")
    until(lambda: mock.asked.count("/dashboard/api/apps") > 3, 2 * WITHIN_S)  # nothing else asks

    page.script(HELD)
    page.click(".choice button:first-child")
    assert until(lambda: page.script("return window.held.length") == 2, WITHIN_S)
    page.click(".choice button:last-child")
    assert page.script(ASKED, "days=30") == 0
    page.script("window.held.forEach((go) => go())")

    assert until(lambda: page.script(ASKED, "days=30") == 2, WITHIN_S)


def test_a_refusal_is_shown_and_the_old_value_comes_back(on_tab: OnTab, mock: Mock) -> None:
    refused = "predictions is fixed by FLEET_PREDICTIONS: unset it and restart"
    mock.refusals["/dashboard/api/settings"] = (409, {"error": refused})
    page = on_tab("settings")
    page.sees("predictions")

    page.click("#setting-predictions")

    page.sees(refused)
    assert page.find("#setting-predictions").is_selected()


def test_what_the_start_fixed_cannot_be_changed(on_tab: OnTab) -> None:
    page = on_tab("settings")
    page.sees("hold timeout")

    assert not page.find("#setting-hold_timeout_s").is_enabled()


def test_a_deletion_asks_first(on_tab: OnTab, mock: Mock) -> None:
    page = on_tab("models")
    page.sees("delete…")

    page.click('[aria-label="Delete qwen2.5:7b on tower"]')
    page.sees("from the disk of tower", "frees 4.4 GiB")
    assert mock.posted == []
    page.click(".question button:last-child")
    assert until(lambda: "from the disk of" not in page.text(), WITHIN_S)
    assert mock.posted == []

    page.click('[aria-label="Delete qwen2.5:7b on tower"]')
    page.sees("from the disk of tower")
    page.click(".question .danger")
    page.sees_in("#toast", "Deleted qwen2.5:7b on tower.")
    assert mock.posted == [("/dashboard/api/delete", {"model": "qwen2.5:7b", "node_id": "tower"})]


def test_a_key_is_made_here_shown_once_and_revoked_when_asked_again(
    on_tab: OnTab, mock: Mock
) -> None:
    page = on_tab("settings")
    page.sees("laptop", "llama3.2:*, qwen2.5:7b", "120 k of 500 k", "interactive")

    page.find('input[name="key"]').send_keys("phone")
    page.find('input[name="models"]').send_keys("a*, b", Keys.ENTER)
    page.sees("The key phone. herd keeps only its digest", "herd-")
    key = page.text("#panel .empty code")
    [(path, told)] = mock.posted
    assert path == "/fleet/keys"
    assert told.pop("digest") == digest(key.encode())
    assert told == {"name": "phone", "models": ["a*", "b"], "requests_per_minute": 0}

    page.script("document.querySelector('#toast').hidden = true")  # it may lie over the button
    page.click('[aria-label="Revoke laptop"]')
    page.sees("Who shows it is refused from now on")
    assert len(mock.posted) == 1
    page.click(".question .danger")
    page.sees_in("#toast", "The key laptop opens nothing any more.")
    assert mock.posted[1] == ("/fleet/keys", {"name": "laptop"})


def test_a_node_that_waits_is_approved_when_its_key_was_shown(on_tab: OnTab, mock: Mock) -> None:
    page = on_tab("settings")
    page.sees("attic", "waits to join", "its key is known")

    page.click('[aria-label="Approve attic"]')
    page.sees("Compare the key", "91:f0:22:6c:4d:ee:07:b8")
    assert mock.posted == []
    page.click(".question .main")
    page.sees_in("#toast", "attic may join.")
    assert mock.posted == [("/fleet/nodes/approve", {"node_id": "attic"})]


def test_a_pin_asks_first_and_again_if_there_is_little_room(on_tab: OnTab, mock: Mock) -> None:
    path = "/dashboard/api/pinned-models"
    order = {"model": "qwen2.5:7b", "node_id": "tower", "pinned": True}
    mock.refusals[path] = (409, {"error": "pinned models may take 6 GiB"})
    page = on_tab("models")
    page.sees("pin…")

    page.click('[aria-label="Pin qwen2.5:7b on tower"]')
    page.sees("in the memory of tower")
    assert mock.posted == []
    page.click(".question .main")
    page.sees("pinned models may take 6 GiB", "Pin all the same")
    del mock.refusals[path]
    page.click(".question .main")
    page.sees_in("#toast", "qwen2.5:7b stays in the memory of tower.")
    assert mock.posted == [(path, order), (path, order | {"force": True})]


def test_a_pull_asks_first_and_shows_how_far_it_is(on_tab: OnTab, mock: Mock) -> None:
    pull = {"model": "phi4:14b", "node_id": "studio", "status": "pulling"}
    half = pull | {"completed_bytes": 4_500_000_000, "total_bytes": 9_000_000_000}
    mock.answers["/dashboard/api/pull"] = {"pulls": [half]}
    page = on_tab("models")
    page.sees("Pull…")

    page.find('input[name="model"]').send_keys("phi4:14b", Keys.ENTER)
    page.sees("Pull phi4:14b onto studio?")
    assert mock.posted == []
    page.click(".question .main")

    page.sees("4.5 GB of 9.0 GB")
    assert mock.posted == [("/dashboard/api/pull", {"model": "phi4:14b", "node_id": "studio"})]
    mock.answers["/dashboard/api/pull"] = {"pulls": [half | {"status": "success", "done": True}]}
    page.sees_in("#toast", "Pulled phi4:14b onto studio.")
    assert until(lambda: "phi4:14b onto studio" not in page.text("#panel"), WITHIN_S)


def test_a_pull_that_fails_says_why_and_stays_in_the_list(on_tab: OnTab, mock: Mock) -> None:
    pull = {"pull_id": "p1", "model": "phi4:14b", "node_id": "studio", "status": "pulling"}
    mock.answers["/dashboard/api/pull"] = {"pulls": [pull]}
    page = on_tab("models")
    page.sees("phi4:14b onto studio", "pulling")

    why = {"status": "failed", "error": "no space left", "done": True}
    mock.answers["/dashboard/api/pull"] = {"pulls": [pull | why]}
    page.sees_in("#toast", "phi4:14b was not pulled onto studio: no space left")
    page.sees_in("#panel", "phi4:14b onto studio", "no space left")


def test_a_benchmark_shows_how_far_it_is(on_tab: OnTab, mock: Mock) -> None:
    page = on_tab("benchmarks")
    page.sees("Start")
    mock.answers["/dashboard/api/benchmarks/progress"] = {
        "status": "running",
        "phase": "asking qwen2.5:7b",
        "elapsed": 4.2,
        "duration": 30,
        "requests_completed": 76,
        "requests_failed": 0,
        "tok_per_sec": 145.6,
        "models": ["qwen2.5:7b"],
    }

    page.click(".bar .main")

    page.sees("asking qwen2.5:7b", "76", "146 tokens/s", "Cancel")
    assert mock.posted[0][0] == "/dashboard/api/benchmarks/start"
    mock.answers["/dashboard/api/benchmarks/progress"] = {"status": "complete"}
    page.sees("Start")


def test_what_starts_a_benchmark_stays_where_it_is_for_another_mode(on_tab: OnTab) -> None:
    page = on_tab("benchmarks")
    page.sees("Start", "Only models that are in memory")
    top = "return document.querySelector('.bar .main').getBoundingClientRect().top"
    before = page.script(top)

    page.click('.choice[aria-label="Mode"] button:last-child')

    page.sees("Smart also loads")
    assert page.script(top) == before


def test_a_benchmark_that_failed_says_why(on_tab: OnTab, mock: Mock) -> None:
    [first, *_] = mock.answers["/dashboard/api/benchmarks"]["data"]
    why = "no model is in memory <b>at all</b>"
    first |= {"mode": "smart", "outcome": "failed", "error": why}

    page = on_tab("benchmarks")

    page.sees("smart", "failed", why)


def test_two_benchmarks_are_compared(on_tab: OnTab) -> None:
    page = on_tab("benchmarks")
    page.sees("Choose two")

    for box in range(2):
        page.script("document.querySelectorAll('tbody input')[arguments[0]].click()", box)

    page.sees("Compared", "worse")


def test_from_another_machine_the_admin_token_is_asked_for(on_tab: OnTab, mock: Mock) -> None:
    closed = "this changes the fleet: send its admin token"
    mock.refusals["/dashboard/api/settings"] = (401, {"error": closed})
    mock.admin = "s3cret"
    page = on_tab("settings")
    page.sees("predictions")

    page.click("#setting-predictions")
    mock.answers["/dashboard/api/settings"]["settings"][0]["value"] = False
    page.sees_in("#admin", closed)
    page.find("#admin-token").send_keys("s3cret", Keys.ENTER)
    page.sees_in("#toast", "predictions is off now.")

    page.click("#setting-predictions")
    page.sees_in("#toast", "predictions is on now.")


def test_leaving_the_token_out_leaves_the_setting(on_tab: OnTab, mock: Mock) -> None:
    mock.refusals["/dashboard/api/settings"] = (401, {"error": "send its admin token"})
    page = on_tab("settings")
    page.sees("predictions")

    page.click("#setting-predictions")
    page.sees_in("#admin", "send its admin token")
    page.click('#admin button[value="leave"]')

    page.sees("send its admin token")
    assert page.find("#setting-predictions").is_selected()
