"""The log file: what a line holds, and how the file begins anew."""

import io
import json
import logging
import multiprocessing
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from herd.config import load
from herd.logs import LogFile, configure_logging, start

NOON_S = 1_760_011_200.0  # 2025-10-09 12:00 UTC
DAY_S = 86_400.0
_log = logging.getLogger("herd.test")


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def started(tmp_path: Path) -> Iterator[tuple[Path, io.StringIO]]:
    path, terminal = tmp_path / "herd.jsonl", io.StringIO()
    undo = start(path, "front 1", terminal=terminal)
    yield path, terminal
    undo()


Started = tuple[Path, io.StringIO]


def test_a_line_names_its_time_place_and_subject(started: Started) -> None:
    _log.info("sent to %s", "mini", extra={"request_id": "r1", "node_id": "mini", "model": "m"})
    [line] = lines(started[0])
    assert line.pop("ts").endswith("+00:00")
    assert line == {
        "level": "INFO",
        "logger": "herd.test",
        "msg": "sent to mini",
        "process": "front 1",
        "request_id": "r1",
        "node_id": "mini",
        "model": "m",
    }


def test_only_warnings_reach_the_terminal(started: Started) -> None:
    path, terminal = started
    _log.debug("too fine")
    _log.info("quiet")
    _log.warning("look")
    assert [line["msg"] for line in lines(path)] == ["quiet", "look"]
    assert terminal.getvalue() == "herd: front 1: look\n"


def test_other_libraries_are_heard_from_warnings_on(started: Started) -> None:
    logging.getLogger("elsewhere").info("chatter")
    logging.getLogger("elsewhere").warning("trouble")
    assert [line["msg"] for line in lines(started[0])] == ["trouble"]


def test_a_failure_keeps_its_traceback_in_one_line(started: Started) -> None:
    try:
        int("x")
    except ValueError:
        _log.exception("it failed\nbadly")
    [line] = lines(started[0])
    assert line["msg"] == "it failed\nbadly"
    assert line["exception"].endswith("invalid literal for int() with base 10: 'x'")


def test_undone_it_writes_no_more(tmp_path: Path) -> None:
    path = tmp_path / "herd.jsonl"
    start(path, "x", terminal=io.StringIO())()
    _log.warning("nobody listens")
    assert not path.exists()


def test_the_process_is_named_as_the_supervisor_names_it(tmp_path: Path) -> None:
    settings = load({"data_dir": str(tmp_path)}, {})
    settings.directory.create()
    root = logging.getLogger()
    before = list(root.handlers)
    try:
        configure_logging(settings)
        _log.info("hello")
    finally:
        for handler in set(root.handlers) - set(before):
            root.removeHandler(handler)
            handler.close()
        for name in ("herd", "actors"):
            logging.getLogger(name).setLevel(logging.NOTSET)
    [line] = lines(settings.directory.jsonl)
    assert line["process"] == "supervisor"


Clock = Callable[[float], None]


@pytest.fixture
def file(tmp_path: Path) -> tuple[LogFile, Path, Clock]:
    now = [NOON_S]
    path = tmp_path / "herd.jsonl"

    def set_now(now_s: float) -> None:
        now[0] = now_s

    return LogFile(path, largest_bytes=100, kept_files=3, now_s=lambda: now[0]), path, set_now


def test_a_new_day_begins_a_new_file(file: tuple[LogFile, Path, Clock]) -> None:
    log, path, now = file
    log.append(b"first day\n")
    os.utime(path, (NOON_S, NOON_S))
    now(NOON_S + 60)
    log.append(b"still\n")
    os.utime(path, (NOON_S + 60, NOON_S + 60))
    now(NOON_S + DAY_S)
    log.append(b"second day\n")
    assert path.read_bytes() == b"second day\n"
    aside = path.with_name("herd.jsonl.2025-10-09")
    assert aside.read_bytes() == b"first day\nstill\n"


def test_a_file_found_from_another_day_is_put_aside_too(
    file: tuple[LogFile, Path, Clock],
) -> None:
    log, path, _ = file
    path.write_bytes(b"before the restart\n")
    os.utime(path, (NOON_S - DAY_S, NOON_S - DAY_S))
    log.append(b"after\n")
    assert path.read_bytes() == b"after\n"
    assert path.with_name("herd.jsonl.2025-10-08").read_bytes() == b"before the restart\n"


def test_a_large_file_begins_anew_and_old_ones_go(file: tuple[LogFile, Path, Clock]) -> None:
    log, path, now = file
    for round_ in range(6):
        now(NOON_S + 2 * round_)
        log.append(b"%d" % round_ * 120 + b"\n")
        os.utime(path, (NOON_S + 2 * round_, NOON_S + 2 * round_))
    assert path.read_bytes()[:1] == b"5"
    kept = sorted(p.read_bytes()[:1] for p in path.parent.glob("herd.jsonl.2*"))
    assert kept == [b"2", b"3", b"4"]


def test_every_process_follows_who_began_anew(file: tuple[LogFile, Path, Clock]) -> None:
    log, path, now = file
    later = [NOON_S]
    other = LogFile(path, largest_bytes=100, now_s=lambda: later[0])
    other.append(b"x" * 120 + b"\n")
    log.append(b"")  # both have the first file open
    os.utime(path, (NOON_S, NOON_S))
    now(NOON_S + 2)
    log.append(b"mine, in the second\n")
    later[0] = NOON_S + 3
    os.utime(path, (NOON_S + 2, NOON_S + 2))
    other.append(b"theirs\n")
    assert path.read_bytes() == b"mine, in the second\ntheirs\n"


def test_a_file_taken_away_is_made_again(file: tuple[LogFile, Path, Clock]) -> None:
    log, path, now = file
    log.append(b"1\n")
    path.unlink()
    now(NOON_S + 2)
    log.append(b"2\n")
    assert path.read_bytes() == b"2\n"


def test_a_log_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    LogFile(tmp_path / "missing" / "herd.jsonl").append(b"lost\n")


def write_many(path: Path, process: int) -> None:
    file = LogFile(path, largest_bytes=20_000)
    for number in range(400):
        file.append(b'{"process":%d,"number":%d,"x":"%s"}\n' % (process, number, b"y" * 80))


def test_lines_of_many_processes_never_mix(tmp_path: Path) -> None:
    path = tmp_path / "herd.jsonl"
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=write_many, args=(path, number)) for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
        assert process.exitcode == 0
    files = [path, *tmp_path.glob("herd.jsonl.2*")]
    found = [(line["process"], line["number"]) for file in files for line in lines(file)]
    assert sorted(found) == [(process, number) for process in range(3) for number in range(400)]
