"""Any event at all, for hypothesis: made from the types of its fields."""

from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from events import Event, Recorded, Source
from events.codec import KINDS

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
"""JSON is UTF-8, which has no lone surrogates."""
INTEGERS = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
SOURCES = st.from_regex(r"f[0-9]{1,3}-[0-9a-f]{6}|control|probe", fullmatch=True).map(Source)
RAW = st.dictionaries(TEXT, INTEGERS | FLOATS | TEXT).map(
    lambda state: msgspec.Raw(msgspec.json.encode(state))
)


def structs(struct: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    """Return instances of that class, with any fields."""
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    return st.builds(struct, **{field.name: _of(field.type) for field in info.fields})


def _of(kind: inspect.Type) -> st.SearchStrategy[Any]:
    match kind:
        case inspect.LiteralType(values=values):
            return st.sampled_from(values)
        case inspect.UnionType(types=types):
            return st.one_of([_of(each) for each in types])
        case inspect.VarTupleType(item_type=item):
            return st.lists(_of(item), max_size=4).map(tuple)
        case inspect.TupleType(item_types=items):
            return st.tuples(*[_of(item) for item in items])
        case inspect.DictType(key_type=key, value_type=value):
            return st.dictionaries(_of(key), _of(value), max_size=4)
        case inspect.StructType(cls=struct):
            return structs(struct)
        case _:
            return SCALARS[type(kind)]


SCALARS: dict[type[inspect.Type], st.SearchStrategy[Any]] = {
    inspect.BoolType: st.booleans(),
    inspect.IntType: INTEGERS,
    inspect.FloatType: FLOATS,
    inspect.StrType: TEXT,
    inspect.NoneType: st.none(),
    inspect.RawType: RAW,
}

EVENTS: st.SearchStrategy[Event] = st.one_of([structs(KINDS[kind]) for kind in sorted(KINDS)])
"""Any event of any kind."""

RECORDS: st.SearchStrategy[Recorded] = st.builds(
    Recorded,
    seq=st.integers(1, 2**63 - 1),
    recorded_at=st.integers(0, 2**63 - 1),
    event=EVENTS,
    src=SOURCES,
    n=st.integers(0, 2**63 - 1),
    cause=st.integers(0, 2**63 - 1),
)
"""Any event at any place in the log."""
