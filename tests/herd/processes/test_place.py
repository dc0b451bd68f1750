"""The door of a running herd: what is said there that nobody should say."""

import re
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from herd.paths import DataDir
from herd.platform import FileLock
from herd.processes.talk import (
    DONE,
    HERE,
    LARGEST_BYTES,
    LET_GO,
    REFUSED,
    RELOAD,
    REPLACE,
    SOCKETS,
    TOLD,
    Talk,
    Word,
)
from herd.unix_sockets import connect_unix
from tests.herd.processes.test_supervisor import Rig

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path, "normal", 0)
    made.hears("ready")
    yield made
    made.clear()


def knock(rig: Rig) -> Talk:
    return Talk(connect_unix(DataDir(rig.data_dir).door, timeout_s=20), 20)


def answered(rig: Rig, word: Word) -> Word:
    talk = knock(rig)
    try:
        talk.say(word)
        found, sockets = talk.hear()
    finally:
        talk.close()
    for each in sockets:
        each.close()
    return found


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        struct.pack(">I", LARGEST_BYTES + 1),
        struct.pack(">I", 3) + b"{}}",
        struct.pack(">I", 9) + b'{"word":1',
        struct.pack(">I", 100) + b"half",
        b"\0",
        b"",
    ],
)
def test_nonsense_at_the_door_changes_nothing(rig: Rig, said: bytes) -> None:
    before = rig.pids()
    with connect_unix(DataDir(rig.data_dir).door, timeout_s=20) as door:
        door.sendall(said)
        door.shutdown(socket.SHUT_WR)
        with suppress(ConnectionResetError):  # not all of it was read
            assert door.recv(1) == b""
    assert answered(rig, Word(RELOAD)).word == TOLD
    assert rig.pids() == before


def test_words_out_of_turn_are_refused(rig: Rig) -> None:
    for word in (LET_GO, DONE, HERE, "louder"):
        told = answered(rig, Word(word))
        assert told.word == REFUSED
        assert "does not understand" in told.why
    first = knock(rig)
    first.say(Word(REPLACE))
    here, held = first.hear()
    assert (here.word, here.pid, len(held)) == (HERE, rig.pid, 1)
    assert answered(rig, Word(REPLACE)).why == "another replaces it"
    first.say(Word(DONE))
    assert first.hear()[0].word == REFUSED, "it has not let go yet"
    first.close()
    held[0].close()
    rig.hears("gone before it took the place")
    assert answered(rig, Word(REPLACE)).word == HERE


def test_an_heir_that_goes_before_the_log_is_given_up_leaves_it_at_work(tmp_path: Path) -> None:
    rig = Rig(tmp_path, "deciding", 0)
    try:
        rig.hears("ready")
        heir = knock(rig)
        heir.say(Word(REPLACE))
        _, (held,) = heir.hear()
        held.close()
        heir.say(Word(LET_GO))
        assert heir.hear()[0].word == SOCKETS
        heir.close()  # its control takes a second to end
        rig.hears("this one goes on")
        rig.hears(re.escape("pids ['control', 'logd']"))
        assert FileLock(DataDir(rig.data_dir).lock).holder() == rig.pid
        assert answered(rig, Word(REPLACE)).word == HERE
    finally:
        rig.clear()


def test_a_word_of_a_newer_herd_is_read_as_far_as_it_is_known(rig: Rig) -> None:
    said = b'{"word":"reload","louder":[1]}'
    talk = knock(rig)
    talk.sock.sendall(struct.pack(">I", len(said)) + said)
    assert talk.hear()[0].word == TOLD
    talk.close()
