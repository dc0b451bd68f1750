"""A start takes over what this herd or an older one has left, and nothing of a newer one."""

from pathlib import Path

import msgspec
import pytest

from actors.core.standing import row_of
from actors.core.state import SCHEMA, Node, State, dump, load
from events import NodeId, Recorded, StateSnapshotted, encode
from herd.control.restore import become, restore
from herd.errors import HerdError
from herd.journal import snapshots
from herd.journal.files import segment_path
from herd.paths import DataDir
from tests.actors.cast import book, node
from tests.herd.logd.rig import data_dir

SEQ = 41


def left(root: Path, *, schema: int, beside: bool = False) -> DataDir:
    """Leave what a herd of that format knew: one node, and a field that this one may not know."""
    playing = book(*node("ada"))
    raw = msgspec.json.decode(dump(playing.state))
    state = msgspec.Raw(msgspec.json.encode({**raw, "seq": SEQ - 1, "of_that_herd": {"a": [1]}}))
    directory = data_dir(root)
    if beside:
        written = snapshots.Snapshot(SEQ, 1, schema, "9.8.7", state)
        snapshots.write(directory.snapshots, written)
    else:
        head = StateSnapshotted(state=state, schema=schema, version="9.8.7")
        segment_path(directory.journal, SEQ).write_bytes(encode(Recorded(SEQ, 1, head)))
    return directory


@pytest.mark.parametrize("schema", [1, SCHEMA - 1, SCHEMA])
def test_what_an_older_herd_knew_is_known(tmp_path: Path, schema: int) -> None:
    state = restore(left(tmp_path, schema=schema))
    assert list(state.nodes) == [NodeId("ada")]
    assert state.seq == SEQ


@pytest.mark.parametrize("beside", [False, True])
def test_what_a_newer_herd_knew_is_refused_naming_it(tmp_path: Path, *, beside: bool) -> None:
    directory = left(tmp_path, schema=SCHEMA + 1, beside=beside)
    with pytest.raises(HerdError, match=r"written by herd 9\.8\.7, whose format") as caught:
        restore(directory)
    assert "update this herd" in caught.value.next_step


def test_a_fresh_directory_is_the_empty_state(tmp_path: Path) -> None:
    assert dump(restore(data_dir(tmp_path))) == dump(State())
    assert dump(load(dump(State()))) == dump(State())


def test_what_followed_from_the_nodes_of_before_is_forgotten() -> None:
    studio = NodeId("studio")
    state = State(nodes={studio: Node(node_id=studio, url="", origin="agent")})
    other = State(nodes={studio: Node(node_id=studio, url="", origin="agent")})
    state.kept.on = True
    assert row_of(state, "llama3.2:3b").seats[studio].node is state.nodes[studio]
    become(state, other)
    assert row_of(state, "llama3.2:3b").seats[studio].node is other.nodes[studio]
