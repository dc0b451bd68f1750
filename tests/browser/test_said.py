"""The page says what is so: of requests that failed, nodes that are away, what is not known."""

from datetime import UTC, datetime
from typing import Any

from tests.browser.answers import REQUEST
from tests.browser.conftest import OnTab, Page
from tests.browser.mock import Mock


def test_a_rejected_request_says_so_and_nothing_of_candidates(mock: Mock, on_tab: OnTab) -> None:
    story: Any = mock.answers[f"/dashboard/api/requests/{REQUEST}"]
    story |= {"outcome": "rejected", "decisions": []}
    why = "no node online had the model for 30.2 s"
    told: dict[str, object] = {"request_id": REQUEST, "waits": [], "decisions": [], "rejected": why}
    mock.answers["/dashboard/api/explain"] = told

    page = on_tab(f"request/{REQUEST}")
    page.sees("Step by step")
    assert "rejected" in page.text(".request-head .status.warn")
    page.click(".section .bar button")

    page.sees(f"Rejected: {why}.")
    assert "candidate" not in page.text()


def test_slots_are_those_of_nodes_that_answer(mock: Mock, on_tab: OnTab) -> None:
    page = on_tab("overview")
    page.sees("of 20 slots")

    studio = mock.answers["/fleet/status"]["nodes"][0] | {"status": "offline"}
    mock.publish("delta", {"nodes": {"studio": studio}})

    page.sees("of 10 slots")


def test_how_many_of_many_slots_are_taken_is_told_without_a_pointer(
    mock: Mock, on_tab: OnTab
) -> None:
    row = mock.answers["/fleet/status"]["queues"]["studio:llama3.3:70b"]
    row |= {"in_flight": 7, "concurrency": 32}

    page = on_tab("overview")

    page.sees_in('[aria-label="studio"]', "7 of 32")


def test_a_request_of_100_s_is_not_said_to_take_as_long_as_one_of_140(
    mock: Mock, on_tab: OnTab
) -> None:
    first, second, *_ = mock.answers["/dashboard/api/traces"]["traces"]
    first["latency_ms"], second["latency_ms"] = 100_000, 140_000

    page = on_tab("overview")

    page.sees("1.7 min", "2.3 min")


FAST = "const now = Date.now.bind(Date); Date.now = () => now() + 3_600_000"


def test_how_long_ago_it_was_is_told_by_the_clock_of_herd(on_tab: OnTab) -> None:
    page = on_tab("overview")
    told = page.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": FAST})
    try:
        page.driver.refresh()
        page.go("models")
        page.sees("Last used", "60 min ago")
        assert "h ago" not in page.text()
    finally:
        page.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", told)


def test_memory_that_nobody_told_is_not_known_and_not_0(mock: Mock, on_tab: OnTab) -> None:
    studio: Any = mock.answers["/fleet/status"]["nodes"][0]
    studio["hardware"] |= {"memory_total_gb": None, "vram_total_gb": None}
    studio |= {"origin": "flag", "memory": None}
    for model in studio["ollama"]["models_loaded"]:
        model |= {"size_gb": None, "size_vram_gb": None}
    page = on_tab("overview")

    page.sees_in('[aria-label="studio"]', "Memory not known: no agent.", "in memory")
    assert "0 MiB" not in page.text('[aria-label="studio"]')
    assert page.complaints() == []


def test_the_strip_begins_with_what_herd_remembers(mock: Mock, on_tab: OnTab) -> None:
    mock.answers["/fleet/status"]["lately"] = [[110, 9, 3, 40], [30, 1, 0, 100]]
    page = on_tab("overview")

    page.sees_in(".pulse", "last 2 minutes", "running, at most 9", "waiting, at most 3")
    assert page.complaints() == []


def test_another_machine_is_not_sent_to_itself(mock: Mock, page: Page) -> None:
    mock.answers["/fleet/status"] |= {"nodes": [], "queues": {}}
    page.open(mock.url)
    page.sees(f"herd node --router-url http://THIS-MACHINE:{mock.port}", "herd doctor")

    page.open(mock.url.replace("127.0.0.1", "herd.localhost"))
    page.sees(f"herd node --router-url http://herd.localhost:{mock.port}")
    assert "THIS-MACHINE" not in page.text()


def test_nothing_to_change_is_said_only_where_that_is_known(mock: Mock, on_tab: OnTab) -> None:
    table: Any = mock.answers["/dashboard/api/recommendations"]
    table["recommendations"] = []
    page = on_tab("recommendations")
    page.sees("Nothing to change")

    for node in table["nodes"]:
        node |= {"total_ram_gb": 0.0, "usable_ram_gb": 0.0, "recommendations": []}
    mock.publish("changed", {"what": ["nodes"]})
    page.sees("Nothing can be proposed yet", "run herd node beside each Ollama")

    table["nodes"][1] |= {"total_ram_gb": 64.0}
    studio = mock.answers["/fleet/status"]["nodes"][0] | {"status": "offline"}
    mock.publish("delta", {"nodes": {"studio": studio}})
    page.sees("studio is offline", "On the others there is nothing to change", "It is offline")
    assert "What the nodes have" not in page.text()
    assert page.complaints() == []


OFFERED = "return [...document.querySelectorAll('form option')].map((each) => each.value)"


def test_an_offline_node_is_no_place_to_pull_a_model_onto(mock: Mock, on_tab: OnTab) -> None:
    page = on_tab("models")
    page.sees("Pull…")
    assert page.script(OFFERED) == ["studio", "tower", "mini"]

    nodes = mock.answers["/fleet/status"]["nodes"]
    mock.publish("delta", {"nodes": {"studio": nodes[0] | {"status": "offline"}}})

    page.sees_in('[aria-label="Disk of studio"]', "offline")
    assert "offline" not in page.text('[aria-label="Disk of tower"]')
    assert page.script(OFFERED) == ["tower", "mini"]
    assert not page.find('[aria-label="Delete qwen2.5:7b on studio"]').is_enabled()
    page.find("form input").send_keys("phi4:14b")
    page.click("form button")
    page.sees("Pull phi4:14b onto tower?")

    gone = {node["node_id"]: node | {"status": "offline"} for node in nodes}
    mock.publish("delta", {"nodes": gone})
    page.sees("No node is online to pull a model onto.")


CONTEXT = '[aria-label="Context by model"] tbody tr'


def test_of_a_context_that_is_not_known_nothing_is_advised(mock: Mock, on_tab: OnTab) -> None:
    row: Any = mock.answers["/dashboard/api/context-usage"]["models"][0]
    row |= {"allocated_ctx": None, "utilization_pct": None}

    page = on_tab("models")
    page.sees("In all p99")

    assert page.text(CONTEXT).split()[-1] == "\N{EN DASH}"
    assert "as it is" not in page.text()


def test_two_benchmarks_that_are_not_alike_are_said_to_be_so(mock: Mock, on_tab: OnTab) -> None:
    first, second, _ = mock.answers["/dashboard/api/benchmarks"]["data"]
    first |= {"duration_s": 120.0}
    second["per_model_results"].append(second["per_model_results"][0] | {"model": "phi4:14b"})
    page = on_tab("benchmarks")
    page.sees("History")

    for box in (1, 2):
        page.click(f"#panel tbody tr:nth-child({box}) [type=checkbox]")

    page.sees(
        "They are not alike: 30.0 s and 2 min long, with phi4:14b, qwen2.5:7b and with qwen2.5:7b."
    )


def test_the_first_benchmark_is_not_missed_while_it_runs(mock: Mock, on_tab: OnTab) -> None:
    mock.answers["/dashboard/api/benchmarks"] = {"data": []}
    under_way = {"status": "running", "phase": "running", "elapsed": 4, "duration": 30}
    page = on_tab("benchmarks")
    page.sees("No benchmark yet")

    mock.answers["/dashboard/api/benchmarks/progress"] = under_way
    mock.publish("changed", {"what": ["benchmarks"]})

    page.sees("of 30.0 s")
    assert "No benchmark yet" not in page.text()


def test_a_day_of_utc_has_its_own_date_wherever_it_is_read(on_tab: OnTab, mock: Mock) -> None:
    days = mock.answers["/dashboard/api/apps/daily"]["data"]
    newest = datetime.fromtimestamp(max(row["day_bucket"] for row in days), UTC).date()
    page = on_tab("overview")
    zone = {"timezoneId": "America/Los_Angeles"}
    page.driver.execute_cdp_cmd("Emulation.setTimezoneOverride", zone)
    try:
        page.go("apps")
        page.sees("Requests a day of UTC")
        page.click(".chart summary")
        page.sees_in(".chart table", "Time")
        first = page.text(".chart tbody td")
    finally:
        page.driver.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": ""})

    assert first == str(newest)


WIDTH = "return document.querySelector('.plot').herdPlot.axes[1]._size"


def test_the_marks_of_a_chart_have_the_room_that_they_need(on_tab: OnTab, mock: Mock) -> None:
    mock.answers["/dashboard/api/apps/daily"]["data"][0]["request_count"] = 300_000_000

    page = on_tab("apps")
    page.sees("Requests a day")

    width: Any = page.script(WIDTH)
    assert width >= len("300,000,000") * 7


MARKS = "return [...document.querySelectorAll('.plot')].at(-1).herdPlot.axes[1]._values"


def test_small_shares_have_marks_that_differ(on_tab: OnTab, mock: Mock) -> None:
    few = {"request_count": 1500, "failed_count": 1, "rejected_count": 0}
    for row in mock.answers["/dashboard/api/trends"]["data"]:
        row.update(few)

    page = on_tab("trends")
    page.sees("Share that failed")

    marks: Any = page.script(MARKS)
    assert len(marks) > 2
    assert len(set(marks)) == len(marks), marks


def test_that_no_node_is_online_is_said_first(on_tab: OnTab, mock: Mock) -> None:
    health = mock.answers["/dashboard/api/health"]["recommendations"]
    health.insert(0, health[0] | {"check_id": "no_node", "title": "Nobody", "node_id": None})
    page = on_tab("overview")
    nodes = mock.answers["/fleet/status"]["nodes"]

    gone = {node["node_id"]: node | {"status": "offline"} for node in nodes}
    mock.publish("delta", {"nodes": gone})

    page.sees_in(".verdict", "No node is online", "0 of 3 nodes online", "4 other things")
    page.go("recommendations")
    page.sees("studio, tower are offline")
    page.find(".verdict.warn")


def test_who_waits_beside_a_free_slot_is_not_said_to_wait_for_one(
    on_tab: OnTab, mock: Mock
) -> None:
    """`soonest` lets a request wait: `herd explain` calls it passed over by the policy."""
    page = on_tab("overview")
    page.sees("all 4 slots of studio in use")
    row = mock.answers["/fleet/status"]["queues"]["studio:llama3.3:70b"]

    mock.publish("delta", {"queues": {"studio:llama3.3:70b": row | {"in_flight": 3}}})

    page.sees_in(".lines", "a slot is free on studio; the policy lets it wait")


def test_a_drained_node_is_not_said_to_have_a_slot(on_tab: OnTab, mock: Mock) -> None:
    page = on_tab("overview")
    page.sees("all 4 slots of studio in use")

    nodes = mock.answers["/fleet/status"]["nodes"]
    drained = {node["node_id"]: node | {"draining": True} for node in nodes}
    mock.publish("delta", {"nodes": drained})

    page.sees_in(
        ".lines", "no node that takes work has this model: studio, tower, mini are drained"
    )


def test_why_a_request_was_refused_is_said_in_words(on_tab: OnTab, mock: Mock) -> None:
    for row in mock.answers["/dashboard/api/traces"]["traces"]:
        if row["status"] == "rejected":
            row["error_message"] = "queue_full"

    page = on_tab("overview")

    page.sees("queue full")


def test_the_first_byte_of_an_answer_in_one_piece_is_not_called_its_first_token(
    on_tab: OnTab,
) -> None:
    """It is the whole answer: `herd top` and the request's own page call it a byte, too."""
    page = on_tab("overview")
    page.sees("mean first byte", "First byte")
    for tab, words in {"apps": "First byte", "health": "mean first byte"}.items():
        page.go(tab)
        page.sees(words)
        assert "irst token" not in page.text()


def test_what_was_answered_is_not_called_what_was_asked(on_tab: OnTab) -> None:
    """Of 80 requests 40 were refused: Apps tells of 80, Model Insights of the answers."""
    page = on_tab("models")
    page.sees("Answered", "Answers a day")
    assert "Requests" not in page.text()
    page.go("recommendations")
    page.sees("answered in the last 24 hours")


def test_health_counts_the_nodes_that_the_overview_counts(on_tab: OnTab, mock: Mock) -> None:
    vitals = mock.answers["/dashboard/api/health"]["vitals"]
    assert (vitals["nodes_online"], vitals["nodes_degraded"]) == (2, 1)
    page = on_tab("overview")
    page.sees("3 of 3 nodes online")

    page.go("health")

    page.sees("of 3, 1 degraded")
    assert page.text(".figure b") == "3"
