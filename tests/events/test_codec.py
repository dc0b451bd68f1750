import msgspec
import pytest
from hypothesis import given

from events import (
    CONTROL,
    Recorded,
    RequestId,
    RequestReceived,
    Source,
    TimerFired,
    Unknown,
    decode,
    encode,
)
from events.codec import KINDS
from tests.events.strategies import RECORDS

RECEIVED = RequestReceived(request_id=RequestId("r1"), model="llama3.3:70b", body_bytes=12)


def test_a_line_reads_like_a_sentence_and_leaves_defaults_out() -> None:
    record = Recorded(7, 1_763_942_400_000_000, RECEIVED, Source("f1-6b3c01"), n=3, cause=0)

    assert encode(record) == (
        b'{"seq":7,"recorded_at":1763942400000000,"src":"f1-6b3c01","n":3,"cause":0,'
        b'"k":"request_received","request_id":"r1","model":"llama3.3:70b","body_bytes":12}\n'
    )


def test_an_event_without_fields_is_a_line_too() -> None:
    record = Recorded(1, 2, TimerFired())

    assert encode(record).endswith(b'"cause":0,"k":"timer_fired"}\n')
    assert decode(encode(record)) == record


@given(RECORDS)
def test_what_was_encoded_is_decoded(record: Recorded) -> None:
    line = encode(record)

    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert decode(line) == record
    assert type(decode(line).event) is type(record.event)
    assert encode(decode(line)) == line


@given(RECORDS)
def test_any_reader_of_json_finds_the_envelope(record: Recorded) -> None:
    read = msgspec.json.decode(encode(record), type=dict[str, msgspec.Raw])

    assert list(read)[:6] == ["seq", "recorded_at", "src", "n", "cause", "k"]
    assert int(bytes(read["seq"])) == record.seq


def test_the_envelope_may_be_short() -> None:
    record = decode(b'{"seq":1,"recorded_at":2,"k":"timer_fired"}')

    assert record == Recorded(1, 2, TimerFired(), CONTROL, 0, 0)


@pytest.mark.parametrize("ending", [b"", b"\n"])
def test_an_unknown_kind_is_kept_to_the_byte(ending: bytes) -> None:
    line = b'{"recorded_at":9, "seq":4, "k":"request_blessed", "by":["?"]}'

    record = decode(line + ending)

    assert record.seq == 4
    assert record.event == Unknown(kind="request_blessed", line=line + b"\n")
    assert encode(record) == line + b"\n"


def test_a_newer_version_of_a_kind_is_kept_to_the_byte_and_not_taken_for_this_one() -> None:
    line = encode(Recorded(1, 2, TimerFired())).replace(b'"k":', b'"v":2,"k":')

    record = decode(line)

    assert record.event == Unknown(kind="timer_fired", line=line)
    assert encode(record) == line


def test_an_unknown_field_of_a_later_version_is_passed_over() -> None:
    line = encode(Recorded(1, 2, RECEIVED)).replace(b'"body_bytes"', b'"mood":"good","body_bytes"')

    assert decode(line).event == RECEIVED


@pytest.mark.parametrize("length", range(1, 130))
def test_a_torn_line_is_never_an_event(length: int) -> None:
    line = encode(Recorded(7, 1_763_942_400_000_000, RECEIVED, Source("f1-6b3c01"), n=3))

    with pytest.raises(msgspec.DecodeError):
        decode(line[:length])


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"[]\n",
        b'{"seq":1,"recorded_at":2}\n',
        b'{"seq":"one","recorded_at":2,"k":"timer_fired"}\n',
        b'{"seq":1,"recorded_at":2,"k":"request_received","request_id":"r"}\n',
        b'{"seq":1,"recorded_at":2,"k":"circuit_closed","node_id":"n","model":7}\n',
        b'{"seq":1,"recorded_at":2,"k":"node_discovered","node_id":"n","url":"u","origin":"?"}\n',
    ],
    ids=["empty", "list", "no kind", "no number", "field missing", "wrong type", "unknown word"],
)
def test_a_foreign_line_is_refused(line: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode(line)


def test_every_kind_is_stored_under_its_own_name() -> None:
    assert len(set(KINDS.values())) == len(KINDS)
    assert "unknown" not in KINDS
