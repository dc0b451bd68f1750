"""`herd top`: what one picture shows, and what it does when nobody answers."""

import msgspec
import pytest
from click.testing import CliRunner
from rich.console import Console

from herd.commands import top
from herd.commands.top import (
    Fleet,
    Frame,
    Loaded,
    Node,
    Ollama,
    Part,
    Queues,
    Slots,
    Status,
    Trace,
    Traces,
    drawn,
)
from herd.errors import HerdError

URL = "http://localhost:11435"
STUDIO = Node(
    node_id="studio",
    status="online",
    ollama=Ollama(models_loaded=[Loaded("llama3.2:3b"), Loaded("qwen2.5:7b")]),
    memory=Part(total_gb=64, used_gb=20.4),
    cpu=Part(utilization_pct=12.3),
)
GONE = Node(node_id="gone", status="offline")
RUNNING = Slots("llama3.2:3b", "studio", in_flight=3, completed=1200, failed=7, max_concurrent=4)
WAITING = Slots("qwen2.5:7b", pending=5, predicted_wait_s=12.34)


def trace(number: int, **more: object) -> Trace:
    known = Trace(f"r{number}", 1_760_000_000 + number, "llama3.2:3b", "completed", "studio")
    return msgspec.structs.replace(known, **more)


def text(
    *nodes: Node,
    queues: tuple[Slots, ...] = (),
    traces: tuple[Trace, ...] = (),
    lines: int = 40,
    width: int = 140,
) -> str:
    frame = Frame(
        URL,
        Status(list(nodes)),
        Queues({str(n): each for n, each in enumerate(queues)}),
        Traces(list(traces)),
    )
    console = Console(width=width, color_system=None)
    with console.capture() as captured:
        console.print(drawn(frame, lines, width))
    return captured.get()


def row(picture: str, begins: str) -> list[str]:
    return next(line for line in picture.splitlines() if line.startswith(begins)).split()


def test_a_node_shows_what_runs_and_what_it_holds() -> None:
    picture = text(STUDIO, GONE, queues=(RUNNING,))
    assert "1 of 2 nodes online   3 running   0 waiting   1,200 done   7 failed" in picture
    assert row(picture, "studio")[:2] == ["studio", "online"]
    assert "3/4" in row(picture, "studio")
    assert "20 of 64 GB" in picture
    assert "12 %" in picture
    assert "llama3.2:3b (3), qwen2.5:7b" in picture
    assert row(picture, "gone")[:2] == ["gone", "offline"]


def test_on_a_narrow_terminal_only_names_are_cut() -> None:
    long = "hf.co/bartowski/a-model-with-a-very-long-name-GGUF:Q4_K_M"
    full = Node(node_id="tower", status="online", ollama=Ollama([Loaded(long), Loaded(long)]))
    ended = tuple(
        trace(n, model=long, app="notes", queue_ms=40.0, latency_ms=2500.0) for n in range(50)
    )
    busy = Slots(long, "tower", in_flight=3, max_concurrent=4)
    picture = text(STUDIO, full, queues=(busy, WAITING), traces=ended, lines=24, width=80)
    assert max(map(len, picture.splitlines())) <= 80
    assert len(picture.splitlines()) <= 24
    assert "2 of 2 nodes online   3 running   5 waiting" in picture
    assert row(picture, "tower")[:2] == ["tower", "online"]
    assert "3/4" in row(picture, "tower")
    assert {"WAITED", "TOOK", "completed", "2.50"} <= set(picture.split())
    assert "…" in picture


def test_slots_are_those_of_the_models_in_memory() -> None:
    other = Slots("qwen2.5:7b", "studio", in_flight=1, max_concurrent=2)
    cold = Slots("phi4:14b", "studio", max_concurrent=8)
    assert "4/6" in row(text(STUDIO, queues=(RUNNING, other, cold)), "studio")


def test_a_node_that_is_away_has_no_slots() -> None:
    away = msgspec.structs.replace(STUDIO, status="offline")
    line = row(text(away, queues=(msgspec.structs.replace(RUNNING, in_flight=0),)), "studio")
    assert line[3] == "0"


def test_a_drained_node_says_so() -> None:
    assert "draining" in text(Node(node_id="a", status="online", draining=True))


def test_lines_are_shown_only_while_somebody_waits() -> None:
    assert "WAITING FOR" not in text(STUDIO, queues=(RUNNING,))
    picture = text(STUDIO, queues=(RUNNING, WAITING))
    assert row(picture, "qwen2.5:7b") == ["qwen2.5:7b", "5", "12.3", "s"]


def test_the_last_requests_fill_what_is_left_of_the_screen() -> None:
    traces = tuple(trace(n) for n in range(50))
    assert text(STUDIO, traces=traces, lines=20).count("completed") == 13
    assert text(STUDIO, traces=traces, lines=7).count("completed") == 0


def test_a_request_shows_its_times_and_its_pace() -> None:
    times = {"queue_ms": 40.0, "time_to_first_token_ms": 500.0, "latency_ms": 2500.0}
    ended = trace(1, app="notes", completion_tokens=100, **times)
    line = next(line for line in text(STUDIO, traces=(ended,)).splitlines() if "notes" in line)
    assert line.split()[1:] == [
        *("llama3.2:3b", "studio", "notes", "0.04", "s", "0.50", "s", "2.50", "s", "50"),
        "completed",
    ]


def test_an_answer_in_one_piece_has_the_pace_of_its_whole_time() -> None:
    times = {"queue_ms": 900.0, "time_to_first_token_ms": 1999.0, "latency_ms": 2000.0}
    ended = trace(1, app="notes", completion_tokens=134, **times)
    at_once = trace(2, app="curl", completion_tokens=1, time_to_first_token_ms=0, latency_ms=0)
    lines = text(STUDIO, traces=(ended, at_once)).splitlines()
    assert [line.split()[-2] for line in lines[-2:]] == ["67", "s"]


def test_names_cannot_write_to_the_terminal() -> None:
    hostile = Node(node_id="\x1b[2Jx", status="on\x07line")
    picture = text(hostile, traces=(trace(1, model="\x1b]0;owned\x07"),))
    assert "\x1b" not in picture
    assert "\x07" not in picture


def test_what_was_is_not_shown_as_what_is() -> None:
    frame = Frame(URL, Status([STUDIO], Fleet(current=False)), Queues(), Traces([]))
    console = Console(width=200, color_system=None)
    with console.capture() as captured:
        console.print(drawn(frame, 40, 200))
    assert "control does not answer" in captured.get()
    assert "control does not answer" not in text(STUDIO)


def test_no_node_teaches_the_next_step() -> None:
    assert "run `herd node`" in text()


def test_nobody_answers() -> None:
    with pytest.raises(HerdError, match=r"no balancer answers at http://127\.0\.0\.1:9"):
        CliRunner().invoke(top.command, ["--url", "http://127.0.0.1:9"], catch_exceptions=False)
