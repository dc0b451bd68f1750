"""The fleet as it was: a herd of real processes looks back, and goes on serving."""

from typing import Any

from tests.e2e.herds import Herd, until
from tests.e2e.nodes import BIG, SMALL
from tests.e2e.wire import ask, chat

PATH = "/dashboard/api/past"


def test_the_fleet_is_seen_as_it_was_when_a_request_ran(herd: Herd) -> None:
    done = ask(herd.url, "/api/chat", chat(SMALL))

    query = "SELECT max(seq) AS seq FROM events WHERE kind = 'request_dispatched'"
    assert until(lambda: herd.sql(query)[0]["seq"] is not None, 10.0)
    seq = herd.sql(f"{query} AND request_id = '{done.request_id}'")[0]["seq"]
    assert until(lambda: ask(herd.url, PATH).json.get("last_seq", 0) >= seq, 10.0)

    then = ask(herd.url, f"{PATH}?seq={seq}").json

    assert (then["seq"], then["kind"]) == (seq, "request_dispatched")
    assert (then["request_id"], then["node_id"]) == (done.request_id, done.node)
    running = [q for q in then["status"]["queues"].values() if q["node_id"] == done.node]
    assert sum(queue["in_flight"] for queue in running) >= 1
    assert then["first_seq"] <= seq <= then["last_seq"]
    assert "seq must be" in ask(herd.url, f"{PATH}?seq=999999999").json["error"]
    assert "seq must be" in ask(herd.url, f"{PATH}?seq=now").json["error"]


def test_a_request_is_explained_with_those_that_were_no_candidates(herd: Herd) -> None:
    done = ask(herd.url, "/api/chat", chat(BIG))

    def explained() -> Any:
        return ask(herd.url, f"/dashboard/api/explain?request_id={done.request_id}").json

    assert until(lambda: explained().get("ended", False), 20.0)
    [decided] = explained()["decisions"]
    assert decided["node_id"] == done.node
    assert decided["known"]
    named = [each["node_id"] for each in (*decided["candidates"], *decided["others"])]
    assert sorted(named) == ["mini", "studio", "tower"]
    unknown = ask(herd.url, "/dashboard/api/explain?request_id=nobody")
    assert (unknown.status, "no request nobody" in unknown.json["error"]) == (400, True)
