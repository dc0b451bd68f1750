"""Models are managed through herd as on one Ollama: on real simulated nodes, in this process."""

import asyncio
import hashlib
import json
from typing import Any

import msgspec
import pytest

from events import (
    ModelCopied,
    ModelCreated,
    ModelDeleted,
    ModelFacts,
    ModelPushed,
    NodeFacts,
    PullEnded,
    PullProgressed,
    PullStarted,
)
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import Control, fronting, node_view, post, view
from tests.herd.http.sockets import client
from tests.herd.http.stocked import SIZE, TINY, Fleet, fleet
from tests.herd.simulator.talk import SMALL, lines, until

# Pull


def test_a_pull_goes_where_the_model_fits_best_and_is_recorded(run: Run) -> None:
    async def main() -> None:
        async with fleet() as herd:
            answer = await herd.ask("/api/pull", {"model": "SmolLM2:135m"})
            assert answer.header(b"x-fleet-node") == b"big"
            assert answer.header(b"content-type") == b"application/x-ndjson"
            assert lines(answer.body)[-1] == {"status": "success"}
            assert "SmolLM2:135m" in await herd.has("big")
            began = await herd.control.heard(PullStarted)
            ended = await herd.control.heard(PullEnded)
            assert (began.node_id, began.by, began.automatic) == ("big", "127.0.0.1", False)
            assert began.pull_id == ended.pull_id != ""
            assert (ended.outcome, ended.error) == ("done", "")
            assert ended.total_bytes == ended.completed_bytes > SIZE
            assert (await herd.control.heard(PullProgressed)).total_bytes >= SIZE

    run(main())


@pytest.mark.parametrize(("named", "header"), [({"Node_Id": "small"}, ""), ({}, "small")])
def test_a_pull_goes_where_it_is_told_to(named: dict[str, str], header: str, run: Run) -> None:
    async def main() -> None:
        async with fleet() as herd:
            answer = await herd.ask(
                "/api/pull", {"name": TINY, "stream": False, **named}, node=header
            )
            assert (answer.status, answer.body) == (200, b'{"status":"success"}')
            assert TINY in await herd.has("small")
            assert (await herd.control.heard(PullEnded)).outcome == "done"

    run(main())


def test_one_that_is_there_is_pulled_where_it_is(run: Run) -> None:
    async def main() -> None:
        async with fleet() as herd:
            await herd.ask("/api/pull", {"model": TINY, "node_id": "small"})
            answer = await herd.ask("/api/pull", {"model": TINY})
            assert answer.header(b"x-fleet-node") == b"small"

    run(main())


def test_progress_comes_as_it_is_made_and_who_leaves_ends_it(run: Run) -> None:
    async def main() -> None:
        async with fleet(time_scale=0.1) as herd, client(herd.port) as one:
            post(one, "/api/pull", json.dumps({"model": TINY}).encode())
            await one.until(b'"completed":')
            shelf: Any = herd.nodes["big"].shelf
            assert shelf._downloads
            one.close()
            ended = await herd.control.heard(PullEnded)
            assert (ended.outcome, ended.error) == ("cancelled", "")
            await until(lambda: not shelf._downloads)

    run(main())


def test_what_cannot_be_had_is_told_by_the_node_and_recorded_in_few_words(run: Run) -> None:
    async def main() -> None:
        async with fleet() as herd:
            answer = await herd.ask("/api/pull", {"model": "nope"})
            assert "file does not exist" in lines(answer.body)[-1]["error"]
            ended = await herd.control.heard(PullEnded)
            assert (ended.outcome, ended.error) == ("failed", "not in the registry")

    run(main())


def test_a_node_that_dies_meanwhile_ends_the_stream_with_an_error(run: Run) -> None:
    async def main() -> None:
        async with fleet(time_scale=0.1) as herd, client(herd.port) as one:
            post(one, "/api/pull", json.dumps({"model": TINY}).encode())
            await one.until(b'"completed":')
            await herd.nodes["big"].stop()
            rest = await one.rest()
            assert b'{"error":"node failed: connection ' in rest
            assert not rest.endswith(b"0\r\n\r\n"), "never a clean end"
            assert (await herd.control.heard(PullEnded)).outcome == "failed"

    run(main())


def test_a_slow_client_pauses_the_node(run: Run) -> None:
    async def main() -> None:
        async with fleet(time_scale=0.1) as herd, client(herd.port) as one:
            post(one, "/api/pull", json.dumps({"model": TINY}).encode())
            await one.until(b'"completed":')
            [connection] = [c for c in _connections(herd) if c._receiver is not None]
            exchange = connection._receiver._exchange
            exchange.on_blocked()
            assert connection._paused
            exchange.on_writable()
            assert not connection._paused

    run(main())


def _connections(herd: Fleet) -> list[Any]:
    import gc

    from herd.http.upstream import Connection

    del herd
    return [found for found in gc.get_objects() if isinstance(found, Connection)]


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        (b"", 400, "missing request body"),
        (b"{", 400, "JSON is malformed: input data was truncated (byte 1)"),
        (b"5 ducks", 400, "JSON is malformed: trailing characters (byte 3)"),
        (b'{"a" 1}', 400, "JSON is malformed: expected ':' (byte 5)"),
        (b'{"model":"\xff"}', 400, "JSON is malformed: not UTF-8"),
        (b"[]", 400, "json: cannot unmarshal array into Go value of type api."),
        (b'{"Model":7}', 400, "json: cannot unmarshal number into Go struct field "),
        (b'{"model":"x","stream":1}', 400, "Request.stream of type bool"),
        (b'{"model":"x","files":[]}', 400, "Request.files of type map[string]string"),
        (b'{"model":"x","files":{"a":1}}', 400, "JSON is malformed"),
        (b'{"model":" "}', 400, "model is required"),
        (b'{"model":"x","node_id":"attic"}', 404, "the fleet has: big, small, away, vllm"),
        (b'{"model":"x","node_id":"away"}', 503, "'away' is offline"),
        (b'{"model":"x","node_id":"vllm"}', 400, "is no Ollama"),
    ],
)
@pytest.mark.parametrize("path", ["/api/pull", "/api/push", "/api/create", "/api/delete"])
def test_orders_that_cannot_be_carried_out(
    path: str, body: bytes, status: int, text: str, run: Run
) -> None:
    async def main() -> None:
        async with fleet() as herd:
            more = (
                node_view("away", status="offline"),
                node_view("vllm", facts=NodeFacts(dialect="openai")),
            )
            herd.control.view = view(*herd.control.view.nodes, *more)
            answer = await herd.ask(path, body)
            assert answer.status == status
            assert text in msgspec.json.decode(answer.body)["error"]
            assert (answer.header(b"retry-after") != b"") == (status == 503)
            assert herd.control.facts == []

    run(main())


def test_with_no_node_or_no_room_nothing_is_pulled(run: Run) -> None:
    async def main() -> None:
        control = Control()
        async with fronting(control) as listener, client(listener.port) as one:
            post(one, "/api/pull", b'{"model":"x"}')
            assert (await one.answer())[0].startswith(b"HTTP/1.1 503 ")
            large = ModelFacts(name="large:1t", size_bytes=10**12)
            full = NodeFacts(disk_free_bytes=10**11)
            control.view = view(
                node_view("full", facts=full), node_view("away", large, status="offline")
            )
            post(one, "/api/pull", b'{"model":"large:1t"}')
            head, body = await one.answer()
            assert head.startswith(b"HTTP/1.1 507 ")
            assert b"1000.0 GB" in body

    run(main())


def test_another_machine_needs_the_token(run: Run) -> None:
    async def main() -> None:
        async with fleet() as herd, client(herd.port) as one:
            for path in ("/api/pull", "/api/copy", f"/api/blobs/sha256:{'0' * 64}"):
                post(one, path, b'{"model":"x"}', b"X-Forwarded-For: 192.168.1.4")
                assert (await one.answer())[0].startswith(b"HTTP/1.1 401 ")

    run(main())


# Delete and copy


@pytest.mark.parametrize("method", ["DELETE", "POST"])
def test_delete_and_copy_go_wherever_the_model_is(method: str, run: Run) -> None:
    async def main() -> None:
        async with fleet() as herd:
            copied = await herd.ask("/api/copy", {"source": SMALL, "destination": "mine"})
            assert (copied.status, copied.body) == (200, b"")
            assert copied.header(b"x-fleet-node") == b"big, small"
            fact = await herd.control.heard(ModelCopied, 2)
            assert (fact.model, fact.destination, fact.by) == (SMALL, "mine:latest", "127.0.0.1")
            deleted = await herd.ask("/api/delete", {"model": "mine"}, method=method)
            assert (deleted.status, deleted.body) == (200, b"")
            for name in ("big", "small"):
                assert "mine:latest" not in await herd.has(name)
            fact2 = await herd.control.heard(ModelDeleted, 2)
            assert (fact2.node_id, fact2.model, fact2.by) == ("small", "mine:latest", "127.0.0.1")

    run(main())


def test_delete_on_one_node_leaves_the_others(run: Run) -> None:
    async def main() -> None:
        async with fleet() as herd:
            answer = await herd.ask("/api/delete", {"model": SMALL, "node_id": "small"})
            assert answer.status == 200
            assert SMALL in await herd.has("big")
            assert SMALL not in await herd.has("small")
            again = await herd.ask("/api/delete", {"model": SMALL}, node="small")
            assert (again.status, again.body) == (
                404,
                b'{"error":"model \'%b\' not found"}' % SMALL.encode(),
            )

    run(main())


def test_what_is_nowhere_cannot_be_deleted_or_copied(run: Run) -> None:
    async def main() -> None:
        async with fleet() as herd:
            gone = await herd.ask("/api/delete", {"model": "nope"}, method="DELETE")
            assert (gone.status, gone.body) == (404, b'{"error":"model \'nope\' not found"}')
            lost = await herd.ask("/api/copy", {"source": "nope", "destination": "x"})
            assert (lost.status, lost.body) == (404, b'{"error":"model \\"nope\\" not found"}')
            half = await herd.ask("/api/copy", {"source": "nope"})
            assert (half.status, half.body) == (400, b'{"error":"destination \\"\\" is invalid"}')
            away = node_view("away", ModelFacts(name="old:latest"), status="offline")
            herd.control.view = view(*herd.control.view.nodes, away)
            offline = await herd.ask("/api/delete", {"model": "old"})
            assert offline.status == 503
            assert b"offline: away" in offline.body
            assert herd.control.facts == []

    run(main())


def test_what_was_done_on_some_nodes_only_is_no_success(run: Run) -> None:
    async def main() -> None:
        async with fleet() as herd:
            await herd.nodes["small"].stop()
            answer = await herd.ask("/api/delete", {"model": SMALL})
            assert answer.status == 502
            text = msgspec.json.decode(answer.body)["error"]
            assert text == "node failed: small: connection refused; done on big"
            assert [
                fact.node_id for fact in herd.control.facts if isinstance(fact, ModelDeleted)
            ] == ["big"]

    run(main())


# Create and push


def test_a_model_is_made_where_its_blobs_are(run: Run) -> None:
    async def main() -> None:
        async with fleet() as herd:
            data = b"GGUF" * 1000
            digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
            path = f"/api/blobs/{digest}"
            assert (await herd.ask(path, method="HEAD")).status == 404
            assert (await herd.ask(path, data, node="small")).status == 201
            found = await herd.ask(path, method="HEAD")
            assert (found.status, found.header(b"x-fleet-node")) == (200, b"small")
            again = await herd.ask(path, data)
            assert (again.status, again.header(b"x-fleet-node")) == (200, b"small")
            made = await herd.ask("/api/create", {"model": "new", "files": {"a.gguf": digest}})
            assert lines(made.body)[-1] == {"status": "success"}
            assert "new:latest" in await herd.has("small")
            fact = await herd.control.heard(ModelCreated)
            assert (fact.node_id, fact.model) == ("small", "new:latest")
            other = f"sha256:{'0' * 64}"
            lost = await herd.ask("/api/create", {"model": "new", "files": {"a": other}})
            assert lost.status == 400
            assert b"send them again" in lost.body
            assert (await herd.ask("/api/blobs/nope", b"x")).status == 400
            bad = await herd.ask(f"/api/blobs/{other}", b"x")
            assert (bad.status, bad.body) == (400, b'{"error":"digest mismatch"}')

    run(main())


def test_a_model_made_from_another_is_made_where_that_is(run: Run) -> None:
    async def main() -> None:
        async with fleet() as herd:
            asked = {"model": "coder", "from": "qwen2.5:7b", "stream": False}
            made = await herd.ask("/api/create", asked)
            assert (made.body, made.header(b"x-fleet-node")) == (b'{"status":"success"}', b"big")
            assert (await herd.control.heard(ModelCreated)).node_id == "big"
            failed = await herd.ask("/api/create", {"model": "x", "from": "nope"})
            assert failed.status == 404
            assert herd.control.kinds == ["ModelCreated"], "what failed is no fact"

    run(main())


def test_a_push_comes_from_a_node_that_has_it(run: Run) -> None:
    async def main() -> None:
        async with fleet() as herd:
            answer = await herd.ask("/api/push", {"model": "qwen2.5:7b"})
            assert answer.header(b"x-fleet-node") == b"big"
            assert lines(answer.body)[-1] == {"status": "success"}
            assert (await herd.control.heard(ModelPushed)).node_id == "big"
            gone = await herd.ask("/api/push", {"model": "nope"})
            assert gone.status == 404
            await asyncio.sleep(0)

    run(main())
