"""Who looks at a fleet with keys from another machine: a link of `herd dashboard`, or the token."""

import http.client
import json
from functools import partial
from urllib.parse import urlsplit

from herd.simulator.fleet import NodeOrder
from tests.e2e.conftest import StartHerd, StartNodes
from tests.e2e.herds import Herd, command, until
from tests.e2e.test_keys import holds
from tests.e2e.wire import ask

ELSEWHERE = {"X-Forwarded-For": "192.0.2.7"}
"""What a proxy beside herd says of who comes from another machine."""
SHOWN = ("/fleet/status", "/dashboard/api/health", "/metrics")


def come(herd: Herd, link: str) -> tuple[int, list[str]]:
    """Open a link as a browser elsewhere does: its status, and the cookies that it leaves."""
    to = urlsplit(link)
    connection = http.client.HTTPConnection(str(urlsplit(herd.url).netloc), timeout=10)
    try:
        connection.request("GET", f"{to.path}?{to.query}", headers=ELSEWHERE)
        answer = connection.getresponse()
        answer.read()
        cookies = [value for name, value in answer.getheaders() if name.lower() == "set-cookie"]
        return answer.status, [cookie.partition(";")[0] for cookie in cookies]
    finally:
        connection.close()


def test_a_fleet_with_keys_shows_itself_to_whom_it_knows(
    start_herd: StartHerd, start_nodes: StartNodes
) -> None:
    nodes = start_nodes(NodeOrder(profile="ideal", name="ada"))
    herd = start_herd(*nodes.flags(), wait_for=("ada",))
    for path in SHOWN:
        assert ask(herd.url, path, headers=ELSEWHERE).status == 200, "no key, no question"

    added = command("key", "add", "laptop", "--json", "--url", herd.url)
    key = str(json.loads(added.stdout)["key"])
    for path in SHOWN:
        assert until(partial(_refused, herd, path), 5.0), path
        assert ask(herd.url, path).status == 200, "this machine looks as before"
    shown = {**ELSEWHERE, "Authorization": f"Bearer {key}"}
    assert ask(herd.url, "/fleet/status", headers=shown).status == 401, "a key asks models"
    assert ask(herd.url, "/api/tags", headers=shown).status == 200

    made = command("dashboard", "--json", "--url", herd.url, "--data-dir", str(herd.data_dir))
    assert made.returncode == 0, made.stderr
    link = str(json.loads(made.stdout)["links"][0])
    status, cookies = come(herd, link)
    assert status == 303
    assert [come(herd, link)[0] for _ in range(6)] == [403] * 6, "once, at whichever front"
    signed_in = {**ELSEWHERE, "Cookie": cookies[0]}
    for path in SHOWN[:2]:
        assert ask(herd.url, path, headers=signed_in).status == 200

    assert command("drain", "ada", "--url", herd.url).returncode == 0
    assert herd.stop() == 0
    stored = [path for path in herd.data_dir.rglob("*") if path.is_file()]
    for secret in (link.partition("code=")[2], cookies[0].partition("=")[2]):
        assert secret
        assert secret not in herd.words
        assert not [path for path in stored if holds(path, secret)]


def _refused(herd: Herd, path: str) -> bool:
    return ask(herd.url, path, headers=ELSEWHERE).status == 401
