"""`herd drain` and `herd undrain` against a running balancer."""

import json

from tests.e2e.herds import Herd, command
from tests.e2e.nodes import SMALL, Nodes
from tests.e2e.wire import Call, ask, chat


def test_a_node_is_drained_to_its_end_and_taken_back(pair_herd: Herd, pair: Nodes) -> None:
    pair.fault("slow", factor=20.0)
    with Call(pair_herd.url, "/api/chat", chat(SMALL, stream=True)) as call:
        node = call.response.headers["X-Fleet-Node"]
        said = command("drain", str(node), "--wait", "--url", pair_herd.url)
        assert said.returncode == 0, said.stderr
        assert "1 running there" in said.stdout
        assert said.stdout.endswith(f"{node} is idle\n")
        pair.heal()
        assert json.loads(call.answer().body.splitlines()[-1])["done"]
    answers = [ask(pair_herd.url, "/api/chat", chat(SMALL)) for _ in range(4)]
    assert {answer.node for answer in answers} == set(pair.names) - {node}
    back = command("undrain", str(node), "--json", "--url", pair_herd.url)
    assert json.loads(back.stdout) == {"node_id": node, "draining": False}
    pair_herd.until(lambda status: not status.draining)


def test_a_wrong_name_and_a_wrong_address_say_what_to_do(pair_herd: Herd) -> None:
    wrong = command("drain", "nobody", "--url", pair_herd.url)
    assert wrong.returncode == 1
    assert "no node is called 'nobody'; the fleet has: alpha, beta" in wrong.stderr
    nothing = command("drain", "alpha", "--url", "http://127.0.0.1:9")
    assert nothing.returncode == 1
    assert "start it with `herd`" in nothing.stderr
