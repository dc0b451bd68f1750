"""Old lines stay readable: nobody renames a field, changes a default or moves a place."""

import msgspec
import pytest

from events import decode, encode
from events.codec import KINDS, VERSIONS
from tests.golden import stored
from tests.golden.stored import Shape

LINES = stored.lines()
PRESENT = {shape.name: shape for shape in stored.present_shapes()}


def kind_and_version(line: bytes) -> tuple[str, int]:
    class Mark(msgspec.Struct):
        k: str
        v: int = 1

    mark = msgspec.json.decode(line, type=Mark)
    return mark.k, mark.v


@pytest.mark.parametrize("line", LINES, ids=lambda line: "{}/{}".format(*kind_and_version(line)))
def test_a_stored_line_is_still_read_as_it_was_meant(line: bytes) -> None:
    record = decode(line)

    kind, version = kind_and_version(line)
    assert type(record.event) is KINDS[kind]
    if version == VERSIONS[kind]:
        assert encode(record) == line
    assert decode(encode(record)) == record


def test_every_kind_version_field_and_word_has_a_stored_line() -> None:
    assert stored.missing_lines() == [], "run: python -m tests.golden"


def test_every_field_and_default_is_stored() -> None:
    assert stored.missing_shapes() == [], "run: python -m tests.golden"


def test_stored_lines_are_one_log() -> None:
    assert [decode(line).seq for line in LINES] == list(range(1, len(LINES) + 1))


@pytest.mark.parametrize("shape", stored.shapes(), ids=lambda shape: shape.name)
def test_a_stored_field_keeps_its_name_and_default(shape: Shape) -> None:
    now = {field.name: field.default for field in PRESENT[shape.name].fields}

    for field in shape.fields:
        assert now[field.name] == field.default, f"{shape.name}.{field.name}"


@pytest.mark.parametrize(
    "shape", [shape for shape in stored.shapes() if shape.array], ids=lambda shape: shape.name
)
def test_a_value_stored_as_an_array_only_grows_at_its_end(shape: Shape) -> None:
    now = PRESENT[shape.name]

    assert now.array
    assert now.fields[: len(shape.fields)] == shape.fields


def test_a_renamed_field_would_be_noticed() -> None:
    line = LINES[0].replace(b'"failed_seq"', b'"seq_failed"')

    with pytest.raises(msgspec.ValidationError):
        decode(line)
