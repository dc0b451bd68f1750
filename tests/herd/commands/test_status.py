"""`herd status` and `herd where`, against a server that answers as herd does."""

import contextlib
import threading
from collections.abc import Generator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from herd.cli import group
from herd.commands import status, where
from herd.errors import HerdError
from herd.processes import run_file
from herd.processes.run_file import RunFile

FLEET: dict[str, object] = {
    "fleet": {"nodes_total": 1},
    "nodes": [
        {
            "node_id": "studio\x1b[2J",
            "status": "online",
            "ollama_url": "http://studio:11434",
            "ollama": {
                "models_loaded": [{"name": "llama3.2:3b", "size_gb": 3.26}],
                "models_available": ["llama3.2:3b", "qwen2.5:7b"],
                "version": "0.40.2",
            },
        }
    ],
    "queues": {
        "studio:llama3.2:3b": {
            "node_id": "studio",
            "model": "llama3.2:3b",
            "pending": 1,
            "in_flight": 2,
            "completed": 11,
            "failed": 3,
            "concurrency": 4,
        }
    },
}


class Answer(BaseHTTPRequestHandler):
    body = msgspec.json.encode(FLEET)
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/fleet/status" else 404)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's)
        del format, args


@contextlib.contextmanager
def serving(kind: type[Answer]) -> Generator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture
def balancer() -> Iterator[str]:
    with serving(Answer) as url:
        yield url


def test_a_node_that_takes_no_work_says_why(balancer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [
        {"node_id": "ada", "status": "online", "paused": "its owner is using it"},
        {"node_id": "bob", "status": "online", "draining": True},
        {"node_id": "cyd", "status": "offline", "paused": "its owner is using it"},
    ]
    monkeypatch.setattr(Answer, "body", msgspec.json.encode({"nodes": nodes}))
    lines = herd_status("--url", balancer).output.splitlines()[3:]
    assert ["paused: its owner is using it" in line for line in lines] == [True, False, False]
    assert [line.split()[1] for line in lines[1:]] == ["draining", "offline"]


def test_a_node_that_is_away_has_no_slots(balancer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [{"node_id": "ada", "status": "online"}, {"node_id": "bob", "status": "offline"}]
    queues = {each: {"node_id": each, "model": "m", "concurrency": 8} for each in ("ada", "bob")}
    body = msgspec.json.encode({"nodes": nodes, "queues": queues})
    monkeypatch.setattr(Answer, "body", body)
    lines = herd_status("--url", balancer).output.splitlines()
    assert [line.split()[3] for line in lines[-2:]] == ["8", "-"]


def herd_status(*arguments: str) -> Result:
    return CliRunner().invoke(status.command, arguments)


def test_the_table_shows_nodes_and_queues_and_nothing_a_terminal_obeys(balancer: str) -> None:
    lines = herd_status("--url", f"{balancer}/").output.splitlines()
    assert lines[0] == f"herd at {balancer}: 1 node"
    assert [line.split() for line in lines[1:]] == [
        [],
        ["NODE", "STATUS", "ADDRESS", "RESIDENT", "MODELS", "VERSION"],
        ["studio?[2J", "online", "http://studio:11434", "llama3.2:3b", "2", "0.40.2"],
        [],
        ["MODEL", "NODE", "RUNNING", "SLOTS", "WAITING", "DONE", "FAILED"],
        ["llama3.2:3b", "studio", "2", "4", "1", "11", "3"],
    ]


def test_json_is_the_balancers_own(balancer: str) -> None:
    shown = herd_status("--json", "--url", balancer)
    assert msgspec.json.decode(shown.output) == FLEET


def test_an_empty_fleet_says_what_to_do(balancer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Answer, "body", b'{"nodes":[]}')
    assert "run `herd node`" in herd_status("--url", balancer).output


def test_what_was_is_not_shown_as_what_is(balancer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Answer, "body", b'{"nodes":[],"fleet":{"current":false}}')
    assert "control does not answer" in herd_status("--url", balancer).output


@pytest.mark.parametrize("words", [("status",), ("top", "--once"), ("nodes", "list")])
def test_a_plain_ollama_is_told_to_be_no_herd(
    balancer: str, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setattr(Answer, "body", b"404 page not found")
    monkeypatch.setattr(Answer, "status", 404)
    error = CliRunner().invoke(group, [*words, "--url", balancer]).exception
    assert isinstance(error, HerdError)
    assert error.what.startswith(f"{balancer} is no herd")
    assert "--url" in error.next_step


@pytest.mark.parametrize(
    ("code", "body", "told"), [(503, b"", "answered 503"), (401, b'{"error":"a key"}', "a key")]
)
def test_top_shows_no_empty_fleet_where_it_is_refused(
    balancer: str, monkeypatch: pytest.MonkeyPatch, code: int, body: bytes, told: str
) -> None:
    monkeypatch.setattr(Answer, "body", body)
    monkeypatch.setattr(Answer, "status", code)
    error = CliRunner().invoke(group, ["top", "--once", "--url", balancer]).exception
    assert isinstance(error, HerdError)
    assert error.what.endswith(told)


def test_top_does_without_the_last_requests_while_the_log_is_away(balancer: str) -> None:
    done = CliRunner().invoke(group, ["top", "--once", "--url", balancer])
    assert "1 of 1 nodes online" in done.output


@pytest.mark.parametrize(("code", "body"), [(200, b"Ollama is running"), (503, b"away")])
def test_an_answer_that_is_not_herds_is_an_error(
    balancer: str, monkeypatch: pytest.MonkeyPatch, code: int, body: bytes
) -> None:
    monkeypatch.setattr(Answer, "body", body)
    monkeypatch.setattr(Answer, "status", code)
    assert isinstance(herd_status("--url", balancer).exception, HerdError)


class Page(Answer):
    """A web server that has the same page for whatever is asked."""

    body = b"<html>a router</html>"

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.path = "/fleet/status"
        super().do_GET()

    do_POST = do_DELETE = do_GET  # noqa: N815 (the base class's)


@pytest.mark.parametrize(
    "words",
    [
        "drain a",
        "undrain a",
        "wake a",
        "pull m",
        "pull m --yes",
        "rm m --yes",
        "pin",
        "pin m",
        "unpin m",
        "nodes list",
        "nodes approve a",
        "nodes revoke a",
        "key list",
    ],
)
def test_a_web_server_is_no_herd_to_any_command(words: str) -> None:
    with serving(Page) as url:
        error = CliRunner().invoke(group, [*words.split(), "--url", url]).exception
    assert isinstance(error, HerdError)
    assert "does not answer like herd" in error.what or "<html>a router</html>" in error.what


class BrokenOff(Answer):
    """A balancer whose node dies while it pulls."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b'{"status":"pulling"}\n{"error":"node failed: connection closed"}\n')


def test_a_pull_that_breaks_off_says_why() -> None:
    with serving(BrokenOff) as url:
        error = CliRunner().invoke(group, ["pull", "m", "--yes", "--url", url]).exception
    assert isinstance(error, HerdError)
    assert error.what == "node failed: connection closed"


def test_what_is_not_there_is_not_deleted(balancer: str) -> None:
    def what(*words: str) -> str:
        error = CliRunner().invoke(group, ["rm", *words, "--yes", "--url", balancer]).exception
        assert isinstance(error, HerdError)
        return error.what

    assert what("m") == "no node that is online has m"
    assert what("m", "--node", "studio\x1b[2J").endswith("does not have m")
    assert what("m", "--node", "nobody") == "no node is called 'nobody'"


def test_no_balancer_says_how_to_start_one() -> None:
    error = herd_status("--url", "http://127.0.0.1:1").exception
    assert isinstance(error, HerdError)
    assert error.what.startswith("no balancer answers at http://127.0.0.1:1")
    assert "start it with `herd`" in error.next_step


def running_at(port: int, data_dir: Path, pid: int) -> RunFile:
    content = RunFile(
        version="0",
        host="0.0.0.0",  # noqa: S104 (the default of herd)
        port=port,
        data_dir=str(data_dir),
        started_at=0.0,
        pids={"supervisor": pid},
        born={"supervisor": run_file.birth(pid)},
    )
    (data_dir / "run").mkdir(exist_ok=True)
    (data_dir / "run" / "herd.json").write_bytes(msgspec.json.encode(content))
    return content


def test_the_balancer_of_this_data_directory_is_asked(tmp_path: Path) -> None:
    running_at(4321, tmp_path, 1)
    assert status.balancer_url(str(tmp_path)) == "http://localhost:4321"


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Another herd is where nobody is asked for one that was named."""
    monkeypatch.setenv("FLEET_PORT", "4320")
    monkeypatch.delenv("FLEET_DATA_DIR", raising=False)
    return monkeypatch


@pytest.mark.parametrize("is_left", [False, True], ids=["empty", "killed"])
def test_of_a_directory_where_no_herd_runs_no_other_is_asked(
    elsewhere: pytest.MonkeyPatch, tmp_path: Path, *, is_left: bool
) -> None:
    del elsewhere
    if is_left:
        left = msgspec.structs.replace(running_at(4320, tmp_path, 1), born={"supervisor": 1.0})
        (tmp_path / "run" / "herd.json").write_bytes(msgspec.json.encode(left))
    with pytest.raises(HerdError, match=f"no herd runs on {tmp_path}") as error:
        status.balancer_url(str(tmp_path))
    assert "--url" in error.value.next_step


@pytest.mark.parametrize("arguments", [("drain", "n"), ("rm", "m", "--yes"), ("key", "add", "k")])
def test_a_command_changes_no_other_herd(
    balancer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setenv("FLEET_PORT", balancer.rpartition(":")[2])
    error = CliRunner().invoke(group, [*arguments, "--data-dir", str(tmp_path)]).exception
    assert str(error) == f"no herd runs on {tmp_path}"


def test_a_directory_of_the_environment_is_named_unless_a_port_is_beside_it(
    elsewhere: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    elsewhere.setenv("FLEET_DATA_DIR", str(tmp_path))
    assert status.balancer_url() == "http://localhost:4320"
    elsewhere.delenv("FLEET_PORT")
    with pytest.raises(HerdError, match="no herd runs on"):
        status.balancer_url()
    elsewhere.delenv("FLEET_DATA_DIR")
    elsewhere.setenv("HOME", str(tmp_path))
    assert status.balancer_url() == "http://localhost:11435"


def test_where_names_every_path(tmp_path: Path) -> None:
    arguments = ["--json", "--data-dir", str(tmp_path)]
    shown = CliRunner().invoke(where.command, arguments)
    places = msgspec.json.decode(shown.output, type=dict[str, str])
    assert places["address"] == ""
    assert places["journal"] == str(tmp_path / "log" / "journal")
    assert places["log_file"] == str(tmp_path / "logs" / "herd.jsonl")
    assert not list(tmp_path.iterdir())


def test_where_names_the_address_only_while_herd_runs(tmp_path: Path) -> None:
    running_at(4321, tmp_path, 1)
    running = CliRunner().invoke(where.command, ["--data-dir", str(tmp_path)]).output
    assert running.startswith("address         http://localhost:4321\n")
    content = running_at(4321, tmp_path, 1)
    other = msgspec.structs.replace(content, born={"supervisor": 1.0})
    (tmp_path / "run" / "herd.json").write_bytes(msgspec.json.encode(other))
    gone = CliRunner().invoke(where.command, ["--data-dir", str(tmp_path)]).output
    assert gone.startswith("address         not running\n")


def test_a_narrow_terminal_folds_no_line(balancer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    resident = [{"name": f"a-model-with-a-long-name:{size}b"} for size in (7, 13, 70)]
    node = {
        "node_id": "studio",
        "status": "online",
        "ollama_url": "http://studio.example.net:11434",
        "ollama": {"models_loaded": resident, "version": "0.40.2"},
    }
    monkeypatch.setattr(Answer, "body", msgspec.json.encode({"nodes": [node]}))
    assert "a-model-with-a-long-name:70b" in herd_status("--url", balancer).output
    monkeypatch.setattr(status, "_columns", lambda: 80)
    lines = herd_status("--url", balancer).output.splitlines()
    assert max(map(len, lines)) == 80
    assert lines[-1].split()[:2] == ["studio", "online"]
    assert "…" in lines[-1]
    assert lines[-1].endswith("0.40.2")
