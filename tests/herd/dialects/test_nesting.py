"""Whether a JSON text is whole is seen by its brackets, however it comes."""

import json

from hypothesis import given
from hypothesis import strategies as st

from herd.dialects.nesting import Nesting

texts = st.text(st.sampled_from('ab"\\{}[]é\n')) | st.text()
values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
)
containers = st.lists(values) | st.dictionaries(texts, values)


def whole(data: bytes, cuts: list[int]) -> bool:
    nesting = Nesting()
    for at in cuts:
        nesting.feed(data[:at])
        data = data[at:]
    nesting.feed(data)
    return nesting.whole


@given(containers, st.booleans(), st.lists(st.integers(0, 9)))
def test_a_value_is_whole_at_its_end_and_nowhere_before(
    value: object,
    ascii_only: bool,  # noqa: FBT001 (a case)
    cuts: list[int],
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    assert whole(text, cuts)
    assert whole(b" " + text + b"\r\n", cuts)
    assert not any(whole(text[:end], cuts) for end in range(len(text)))


def test_nothing_is_not_whole() -> None:
    assert not whole(b"", [])
    assert not whole(b" \n", [])
