"""The sample: recorded by herd, whole, small, and nobody's."""

import gzip
import socket

from herd.replay.incident import TROUBLES, content
from herd.replay.redaction import GONE
from herd.replay.source import Source
from tests.architecture.test_text import ELSEWHERE
from tests.notebooks.rig import SAMPLE

MOST_BYTES = 1_500_000


def test_every_decision_in_it_can_be_made_again() -> None:
    found = content(SAMPLE)
    assert not found.replayed.divergences
    assert found.replayed.dispatches > 1000
    assert found.nodes == ("laptop", "mini", "studio", "tower")
    assert len(set(found.troubles) & set(TROUBLES)) > 3


def test_it_is_small() -> None:
    assert SAMPLE.stat().st_size < MOST_BYTES


def test_it_names_neither_a_machine_nor_a_person() -> None:
    text = gzip.decompress(SAMPLE.read_bytes()).decode()
    assert not ELSEWHERE.search(text)
    assert "tmp/" not in text
    assert socket.gethostname() not in text
    with Source(SAMPLE) as source:
        clients = source.ask("SELECT DISTINCT client FROM requests WHERE client IS NOT NULL")
        places = source.ask("SELECT DISTINCT value FROM settings WHERE key IN ('data_dir', 'host')")
    assert clients == [("127.0.0.1",)]
    assert places == [(GONE,)]


def test_it_holds_what_the_notebooks_tell_of() -> None:
    with Source(SAMPLE) as source:
        policies = source.ask("SELECT value FROM settings WHERE key = 'policy' ORDER BY seq")
        rejected = source.ask("SELECT count(*) FROM requests WHERE status = 'rejected'")
        drained = source.ask("SELECT node_id FROM events WHERE kind = 'node_drained'")
    assert policies == [("round-robin",), ("resident-first",)]
    assert rejected[0][0] > 20
    assert drained == [("tower",)]
