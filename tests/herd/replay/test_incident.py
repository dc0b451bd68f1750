"""Incident files: any window replays, nobody is named in it, and nothing is half written."""

import gzip
import json
import os
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

import msgspec
import pytest

from actors.core.health import AGENT
from actors.core.state import State, dump, load
from events import (
    ConfigurationLoaded,
    NodeDrained,
    NodeId,
    Recorded,
    StateSnapshotted,
    decode,
    encode,
)
from herd.errors import HerdError
from herd.replay.check import Report, check
from herd.replay.incident import Window, content, header_of, iso, save, window
from herd.replay.redaction import Redaction
from herd.replay.source import Source
from tests.actors.cast import received
from tests.herd.replay.eventful import ADDRESS, CANARIES, HOME, eventful, on_disk, request
from tests.playbook import START_US

ALL = list(chain.from_iterable(eventful()))
BY_SEQ = {record.seq: record for record in ALL}
FACTS = [record.seq for record in ALL if record.cause == 0]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return on_disk(tmp_path_factory.mktemp("log"))


def lines(file: Path) -> list[bytes]:
    return gzip.decompress(file.read_bytes()).splitlines()


def saved(log: Path, file: Path, around: str, minutes: float = 5.0) -> Report:
    with Source(log) as source:
        return save(source, window(source, around, minutes), file)


def at(seconds: float) -> str:
    return iso(START_US + round(seconds * 1e6))


def _renamed(state: State) -> State:
    """Return a state as it is redacted: the first that a file names."""
    head = Recorded(1, 1, StateSnapshotted(state=msgspec.Raw(dump(state)), schema=1, version=""))
    found = decode(Redaction().line(encode(head).rstrip(b"\n"))).event
    assert isinstance(found, StateSnapshotted)
    return load(bytes(found.state))


@pytest.mark.parametrize("first", FACTS)
def test_a_window_may_begin_at_any_fact(log: Path, tmp_path: Path, first: int) -> None:
    file = tmp_path / "a.herd"
    what = Window(around="here", minutes=1.0, first_seq=first, last_seq=ALL[-1].seq)
    with Source(log) as source:
        report = save(source, what, file)
        before = None if first == 1 else source.state_at(first - 1)
    assert (report.divergences, report.skipped) == ([], 0)
    with Source(file) as source:
        assert check(source.records()) == report
        head, *stored = source.records()
        if before is not None and not isinstance(BY_SEQ[first].event, StateSnapshotted):
            assert (head.seq, stored[0].seq) == (first - 1, first)
            told = dump(source.state_at(first - 1))
            assert told == dump(_renamed(before)), "the same state, reporters too"
        else:
            assert head.seq == first
            stored.insert(0, head)
    assert [record.seq for record in stored] == [seq for seq in BY_SEQ if seq >= first]


@pytest.mark.parametrize("minutes", [0.3, 1.0])
@pytest.mark.parametrize("seconds", range(0, 220, 20))
def test_any_time_replays(log: Path, tmp_path: Path, seconds: int, minutes: float) -> None:
    report = saved(log, tmp_path / "a.herd", at(seconds), minutes)
    assert (report.divergences, report.skipped) == ([], 0)
    margin_us = round(minutes * 60e6)
    wanted = [
        record.seq
        for record in ALL
        if abs(record.recorded_at - START_US - seconds * 1_000_000) <= margin_us
    ]
    header = header_of(tmp_path / "a.herd")
    assert (header.first_seq, header.last_seq) == (wanted[0], wanted[-1])


def test_a_kill_and_a_gap_inside_are_told(log: Path, tmp_path: Path) -> None:
    report = saved(log, tmp_path / "a.herd", at(140), 1.0)
    assert (report.cut_off, report.gaps, report.snapshots) == (1, [(61, 64)], 1)
    assert report.dispatches == 3


def test_nobody_is_named(log: Path, tmp_path: Path) -> None:
    original = "".join(segment.read_text() for segment in log.rglob("*.ndjson"))
    assert [canary for canary in CANARIES if canary not in original] == []
    saved(log, tmp_path / "a.herd", at(100), 60)
    data = (tmp_path / "a.herd").read_bytes()
    text = gzip.decompress(data).decode()
    assert [canary for canary in CANARIES if canary in text or canary.encode() in data] == []
    assert HOME not in text
    assert "/home" not in text
    assert str(tmp_path) not in text
    assert str(log) not in text


def test_an_agent_is_no_client() -> None:
    """Decisions ask whether it was the agent that drained its node."""
    line = encode(Recorded(1, START_US, NodeDrained(node_id=NodeId("ada"), by=AGENT)))
    assert Redaction().line(line) == line.replace(b"\n", b"")


def test_tags_name_applications_too() -> None:
    asked = received("r", app="ada-lovelace", tags=("ada-lovelace", "nightly"))
    line = json.loads(Redaction().line(encode(Recorded(1, START_US, asked))))
    assert (line["app"], line["tags"]) == ("app-1", ["app-1", "app-2"])
    tagged = encode(Recorded(1, START_US, received("r", tags=("nightly",))))
    assert b"nightly" not in Redaction().line(tagged)


def test_a_client_has_one_name_everywhere(log: Path, tmp_path: Path) -> None:
    saved(log, tmp_path / "a.herd", at(100), 60)
    told = [json.loads(line) for line in lines(tmp_path / "a.herd")[1:]]
    names: dict[tuple[str, str], set[str]] = {}
    for event in told:
        before = json.loads(msgspec.json.encode(BY_SEQ[event["seq"]].event))
        for field in {"client", "app", "by"} & event.keys():
            names.setdefault((field, before[field]), set()).add(event[field])
    assert [each for (_, old), each in names.items() if old == ADDRESS] == 3 * [{"client-1"}]
    assert names["app", "Ada's notebook"] == {"app-1"}
    assert all(len(each) == 1 for each in names.values())
    assert len({tuple(each) for each in names.values()}) == 3, "two clients, one application"
    drained = [
        e["state"]["nodes"]["bob"]["drained_by"] for e in told if "state" in e and e["seq"] == 31
    ]
    assert drained == ["client-1"]


def test_what_says_nothing_of_anybody_stays_to_the_byte(log: Path, tmp_path: Path) -> None:
    saved(log, tmp_path / "a.herd", at(100), 60)
    with Source(log) as source:
        stored = list(source.lines())
    changed = [
        decode(old).event
        for old, new in zip(stored, lines(tmp_path / "a.herd")[1:], strict=True)
        if old != new
    ]
    assert Counter(type(event).__name__ for event in changed) == {
        "RequestReceived": 11,
        "ConfigurationLoaded": 3,
        "DrainRequested": 2,
        "NodeDrained": 1,
        "NodeUndrained": 1,
        "SettingsChanged": 1,
        "StateSnapshotted": 3,
        "RecordingResumed": 1,
    }


def test_settings_that_decide_stay(log: Path, tmp_path: Path) -> None:
    saved(log, tmp_path / "a.herd", at(100), 60)
    loaded = [
        record.event.settings
        for record in map(decode, lines(tmp_path / "a.herd")[1:])
        if isinstance(record.event, ConfigurationLoaded)
    ]
    assert loaded == 3 * [
        {
            "data_dir": "redacted",
            "host": "redacted",
            "port": 11435,
            "max_retries": 1,
            "policy": "resident-first",
            "nodes": "http://ada:11434 http://bob:11434",
        }
    ]


def test_why_nothing_was_recorded_stays_without_the_path(log: Path, tmp_path: Path) -> None:
    saved(log, tmp_path / "a.herd", at(190), 0)
    [resumed] = [line for line in lines(tmp_path / "a.herd") if b"recording_resumed" in line]
    assert json.loads(resumed)["error"] == "No space left on device"
    odd = Redaction().line(b'{"k":"recording_resumed","error":"cannot: %s"}' % HOME.encode())
    assert json.loads(odd)["error"] == "redacted"


def test_clients_may_be_kept_but_not_paths(log: Path, tmp_path: Path) -> None:
    with Source(log) as source:
        save(source, window(source, at(100), 60), tmp_path / "a.herd", keep_clients=True)
    text = gzip.decompress((tmp_path / "a.herd").read_bytes()).decode()
    assert ADDRESS in text
    assert "Ada's notebook" in text
    assert HOME not in text
    assert header_of(tmp_path / "a.herd").redacted == ("settings",)


def test_a_request_brings_all_its_events(log: Path, tmp_path: Path) -> None:
    for number in range(1, 11):
        name = request(number)
        mine = [r.seq for r in ALL if getattr(r.event, "request_id", "") == name]
        if not mine:
            continue
        saved(log, tmp_path / f"{number}.herd", name, 0)
        with Source(tmp_path / f"{number}.herd") as source:
            found = [r.seq for r in source.records() if getattr(r.event, "request_id", "") == name]
        assert found == mine
        assert header_of(tmp_path / f"{number}.herd").around == name


def test_the_same_window_is_the_same_file(log: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        saved(log, tmp_path / name, at(100), 1)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_bytes()[4:8] == bytes(4), "no time of saving"


def test_an_incident_can_be_cut_from_an_incident(log: Path, tmp_path: Path) -> None:
    saved(log, tmp_path / "a.herd", at(100), 60)
    report = saved(tmp_path / "a.herd", tmp_path / "b.herd", at(100), 0.5)
    assert (report.divergences, report.skipped) == ([], 0)
    assert report.dispatches


# What cannot be saved


@pytest.mark.parametrize(
    ("around", "what", "next_step"),
    [
        ("0199ffff", "no request in the log is called 0199ffff", "X-Herd-Request-Id"),
        ("0199", "several requests begin with 0199", "more of its letters"),
        ("2020-01-01", "nothing happened within 5 min", "from 2025-10-09T08:53:20.000"),
        (at(560), "nothing happened within 5 min", "to 2025-10-09T09:08:30.000"),
        ("2025-31-01", "'2025-31-01' is no time", "write one like 2026-05-04T12:30:00"),
    ],
)
def test_what_is_not_there(
    log: Path, tmp_path: Path, around: str, what: str, next_step: str
) -> None:
    with pytest.raises(HerdError, match=what) as error:
        saved(log, tmp_path / "a.herd", around)
    assert next_step in error.value.next_step
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_not_written_over(log: Path, tmp_path: Path) -> None:
    (tmp_path / "a.herd").write_text("mine")
    with pytest.raises(HerdError, match="exists") as error:
        saved(log, tmp_path / "a.herd", at(100))
    assert "--force" in error.value.next_step
    assert (tmp_path / "a.herd").read_text() == "mine"
    with Source(log) as source:
        save(source, window(source, at(100), 5), tmp_path / "a.herd", force=True)
    assert header_of(tmp_path / "a.herd").herd_incident == 1


def test_before_the_first_stored_state(tmp_path: Path) -> None:
    """Of an older log, whose first segment is gone but for a part of it."""
    first, *others = eventful()
    log = on_disk(tmp_path / "data", [first[20:], *others])
    for around in (at(60), request(1), request(4)):  # the last one ends behind it
        with pytest.raises(HerdError, match="no stored state is as old") as error:
            saved(log, tmp_path / "a.herd", around, 0.1)
        assert "from 2025-10-09T08:54:50.000" in error.value.next_step
    with Source(log) as source:
        what = window(source, at(60), 1)
        assert (what.first_seq, what.whole) == (31, False)
        assert save(source, what, tmp_path / "a.herd").divergences == []


def test_a_failure_leaves_no_file(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def torn(_self: Redaction, _line: bytes) -> bytes:
        return b"{"

    monkeypatch.setattr(Redaction, "line", torn)
    with pytest.raises(msgspec.DecodeError):
        saved(log, tmp_path / "a.herd", at(100))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(HerdError, match="cannot be written: No such file"):
        saved(log, tmp_path / "nowhere" / "a.herd", at(100))


def test_a_redaction_that_changes_a_decision_is_never_written(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def another_node(_self: Redaction, line: bytes) -> bytes:
        return line.replace(b'"ada"', b'"node-1"', 1)

    monkeypatch.setattr(Redaction, "line", another_node)
    with pytest.raises(HerdError, match="would not replay") as error:
        saved(log, tmp_path / "a.herd", at(100))
    assert "--keep-clients" in error.value.next_step
    assert list(tmp_path.iterdir()) == []


def test_a_log_that_diverges_is_an_incident_too(tmp_path: Path) -> None:
    log = on_disk(tmp_path / "data")
    path = next(log.rglob("00000000000000000001.ndjson"))
    path.write_bytes(path.read_bytes().replace(b'"lease":"1.1"', b'"lease":"1.7"', 1))
    report = saved(log, tmp_path / "a.herd", at(100), 60)
    assert [each.seq for each in report.divergences] == [16]
    assert [each.seq for each in content(tmp_path / "a.herd").replayed.divergences] == [16]


@pytest.mark.parametrize(
    "data",
    [b"", b"plain", gzip.compress(b"[]\n"), gzip.compress(b"\xff\n")],
    ids=["empty", "plain", "a list", "no text"],
)
def test_another_file_is_no_incident(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.herd").write_bytes(data)
    with pytest.raises(HerdError, match="is no incident file"):
        content(tmp_path / "a.herd")


def test_a_file_of_a_newer_herd_says_so(tmp_path: Path, log: Path) -> None:
    saved(log, tmp_path / "a.herd", at(100))
    header = msgspec.structs.replace(header_of(tmp_path / "a.herd"), herd_incident=2)
    (tmp_path / "b.herd").write_bytes(gzip.compress(msgspec.json.encode(header) + b"\n"))
    with pytest.raises(HerdError, match="newer herd") as error:
        header_of(tmp_path / "b.herd")
    assert error.value.next_step == "update herd"


# Times


def test_how_a_time_is_said(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now_us = START_US + 120_000_000
    monkeypatch.setattr("herd.clock.wall_s", lambda: now_us / 1e6)
    with Source(log) as source:
        end_us = ALL[-1].recorded_at
        local = datetime.fromtimestamp(START_US // 1_000_000 + 60, UTC).astimezone()
        for text, expected_us in (
            ("now", now_us),
            ("2025-10-09T08:54:20Z", START_US + 60_000_000),
            ("2025-10-09 10:54:20+02:00", START_US + 60_000_000),
            (f"{local:%H:%M:%S}", START_US + 60_000_000),
            ("5m", end_us - 300_000_000),
        ):
            expected = window(source, iso(expected_us), 6)
            assert window(source, text, 6) == expected


# Elsewhere


def test_it_replays_on_a_machine_that_knows_nothing(log: Path, tmp_path: Path) -> None:
    saved(log, tmp_path / "a.herd", at(100), 60)
    home = tmp_path / "home"
    home.mkdir()
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("FLEET_", "HERD_"))
    }
    done = subprocess.run(
        [sys.executable, "-m", "herd", "replay", "--check", "--json", "../a.herd"],
        cwd=home,
        env=environment | {"HOME": str(home)},
        capture_output=True,
        check=True,
    )
    report = msgspec.json.decode(done.stdout, type=Report)
    assert (report.divergences, report.skipped, report.cut_off) == ([], 0, 1)
    assert report.events == len(ALL)
    assert list(home.iterdir()) == []
