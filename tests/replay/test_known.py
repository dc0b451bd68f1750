"""The known log gives the known decisions and states: here, in every other Python, in any order.

If you changed decisions on purpose, `python -m tests.replay` makes the log anew.
"""

import os
import subprocess
import sys
from collections import Counter

import msgspec
import pytest

from actors.core.policies import POLICIES
from events import (
    ConfigurationLoaded,
    Recorded,
    RequestCompleted,
    RequestDispatched,
    StateSnapshotted,
    decode,
    encode,
)
from herd.replay.check import check
from tests.architecture.tree import ROOT
from tests.replay import known, pythons
from tests.replay.__main__ import remake
from tests.replay.digest import Digest, Replayed, replay

CHANGED = "decided otherwise than when it was recorded; if that is meant: python -m tests.replay"


def elsewhere(python: str, hash_seed: int, *library: str) -> Replayed:
    """Replay in another process, which sees nothing but the core and msgspec."""
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
    done = subprocess.run(
        [python, "-B", "-W", "error", "-m", "tests.replay.digest", str(known.LOG)],
        cwd=ROOT,
        env={**kept, "PYTHONHASHSEED": str(hash_seed), "PYTHONPATH": os.pathsep.join(library)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, done.stderr
    return msgspec.json.decode(done.stdout, type=Replayed)


@pytest.fixture(scope="module")
def log() -> list[Recorded]:
    return [decode(line) for line in known.lines()]


def test_it_is_decided_here_as_it_was() -> None:
    replayed = replay(known.lines())
    assert replayed.parted is None, CHANGED
    assert replayed.digest == known.digest(), CHANGED


def test_the_check_agrees(log: list[Recorded]) -> None:
    report = check(log)
    assert report.divergences == [], CHANGED
    assert (report.skipped, report.unknown, report.cut_off) == (0, 0, 0)
    assert report.dispatches == known.digest().dispatches
    assert report.snapshots == sum(isinstance(r.event, StateSnapshotted) for r in log) - 1


@pytest.mark.parametrize("hash_seed", [0, 1, 4242])
def test_the_order_of_hashes_changes_nothing(hash_seed: int) -> None:
    replayed = elsewhere(sys.executable, hash_seed)
    assert (replayed.parted, replayed.digest) == (None, known.digest())


def test_every_other_python_decides_the_same() -> None:
    """Of each version that is here, the newest; at least one."""
    found = pythons.others()
    if not found:
        pytest.skip("no other Python from 3.11 on is here: on PATH, or in pyenv's versions")
    for number, python in enumerate(found, start=7):
        try:
            library = pythons.library(python)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no msgspec for {python.path}: {error.stderr}")
        replayed = elsewhere(python.path, number, str(library))
        assert replayed.python == ".".join(map(str, python.version)), "it ran there"
        assert (replayed.parted, replayed.digest) == (None, known.digest()), replayed.python
    ran = [sys.version_info[:3], *(python.version for python in found)]
    sys.stderr.write(f"{known.digest().decisions} on Python {ran}\n")


# That this means something


def test_another_decision_would_be_seen(log: list[Recorded]) -> None:
    place, record = next(
        (place, record)
        for place, record in enumerate(log)
        if isinstance(record.event, RequestDispatched) and record.event.queue_s > 0
    )
    event = record.event
    assert isinstance(event, RequestDispatched)
    nudged = msgspec.structs.replace(event, queue_s=event.queue_s * (1 + 2**-52))
    lines = known.lines()
    lines[place] = encode(msgspec.structs.replace(record, event=nudged))
    parted = replay(lines).parted
    assert parted is not None
    assert decode(parted[0].encode()).seq == record.seq


def test_another_fact_makes_other_digests(log: list[Recorded]) -> None:
    lines = known.lines()
    place, record = next(
        (place, record)
        for place, record in enumerate(log)
        if isinstance(record.event, RequestCompleted) and record.event.service_s > 0.01
    )
    event = record.event
    assert isinstance(event, RequestCompleted)
    nudged = msgspec.structs.replace(event, service_s=event.service_s * (1 + 2**-52))
    lines[place] = encode(msgspec.structs.replace(record, event=nudged))
    digest = replay(lines).digest
    assert digest.decisions != known.digest().decisions
    assert digest.state != known.digest().state


def test_it_has_a_bit_of_everything(log: list[Recorded]) -> None:
    kinds = Counter(type(record.event).__name__ for record in log)
    rare = {
        "AttemptFailed": 20,
        "CircuitOpened": 1,
        "FrontLost": 3,
        "LeaseAdopted": 3,
        "LeaseVoided": 3,
        "NodeDegraded": 3,
        "NodeDrained": 3,
        "NodeWentOffline": 1,
        "RequestQueued": 100,
        "RequestRejected": 20,
        "SettingsChanged": 5,
        "SlotsChanged": 10,
        "StateSnapshotted": len(POLICIES),
    }
    assert {kind: kinds[kind] for kind in rare if kinds[kind] < rare[kind]} == {}
    assert known.LOG.stat().st_size <= known.LARGEST_BYTES
    loaded = {r.event.settings["policy"] for r in log if isinstance(r.event, ConfigurationLoaded)}
    assert loaded == set(POLICIES), "python -m tests.replay takes new policies in"


def test_it_can_be_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the present code, to the byte; else the log is of another time and should be remade."""
    kept: list[bytes] = []

    def keep(lines: list[bytes], _digest: Digest) -> None:
        kept.extend(lines)

    monkeypatch.setattr(known, "keep", keep)
    assert remake() == ["nothing changed"]
    assert kept == []
    monkeypatch.setattr(known, "lines", lambda: known.told()[:-1])
    assert remake()[-1].startswith("known.ndjson.gz: ")
    assert len(kept) == known.digest().events
