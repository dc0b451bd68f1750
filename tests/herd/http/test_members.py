"""What a body holds is passed over in C: neither its size nor its shape keeps the loop waiting."""

import json
import time
import tracemalloc

import pytest

from herd.dialects import refused
from herd.http.asked import read
from herd.http.members import MOST, members
from herd.http.problems import BadRequestError
from herd.http.rewriting import staying, with_context, with_model, without_extras

BYTES = 4_000_000
SHAPES = {
    "lists": b'"a":[' + b"[]," * (BYTES // 3) + b"1]",
    "objects": b'"a":[' + b"{}," * (BYTES // 3) + b"1]",
    "quotes": b'"a":"' + rb"\"" * (BYTES // 2) + b'"',
    "backslashes": b'"a":"' + rb"\\" * (BYTES // 2) + b'"',
    "messages": b'"messages":[' + b"0," * (BYTES // 2) + b"1]",
    "blanks": b'"a":' + b" " * BYTES + b"1",
}


def rewritten(body: bytes) -> bytes:
    changed = with_context(with_model(without_extras(body), "b"), 4096)
    return staying(changed)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("odd", [b"", b'"user":5,', b'"Model":"m",'])
def test_no_shape_of_a_body_takes_long(shape: str, odd: bytes) -> None:
    body = b'{"model":"m","fallback_models":["y"],' + odd + SHAPES[shape] + b"}"
    began = time.process_time()
    asked = read(body, streams=True, kind="api.ChatRequest")
    changed = rewritten(body)
    took_s = time.process_time() - began
    assert (asked.model, asked.fallbacks) == ("m", ("y",))
    assert changed == (
        b'{"keep_alive":-1,"options":{"num_ctx":4096},"model":"b",'
        + odd.replace(b'"m"', b'"b"')
        + SHAPES[shape]
        + b"}"
    )
    assert took_s < 2.0, "it was seven seconds"


def test_an_odd_body_is_not_made_into_a_tree() -> None:
    body = b'{"model":"m","user":5,' + SHAPES["objects"] + b"}"
    tracemalloc.start()
    read(body, streams=True, kind="api.ChatRequest")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * len(body)


@pytest.mark.parametrize(
    "body",
    [
        '{"model":"m",MANY}',
        '{"model":"m","user":5,MANY}',
        '{"model":"m","options":{MANY}}',
        '{"model":"m","user":5,"options":{MANY}}',
        '{"model":"m","metadata":{MANY}}',
    ],
)
def test_nobody_has_thousands_of_members(body: str) -> None:
    few, many = (",".join(f'"{n}":1' for n in range(size)) for size in (MOST - 2, MOST + 1))
    assert (
        read(body.replace("MANY", few).encode(), streams=True, kind="api.ChatRequest").model == "m"
    )
    with pytest.raises(BadRequestError, match="more than 1024"):
        read(body.replace("MANY", many).encode(), streams=True, kind="api.ChatRequest")


def test_long_chats_pass_byte_for_byte() -> None:
    picture = "iVBORw0KGgo" * 1_000_000
    turn = {"role": "user", "content": 'say: "é", \\ {[ \U0001f600', "x": {"a": [1, 2.50]}}
    chat = {"model": "m", "messages": [turn] * 5_000, "images": [picture]}
    for ascii_only in (True, False):
        body = json.dumps(chat, ensure_ascii=ascii_only).encode()
        assert read(body, streams=True, kind="api.ChatRequest").prefixes
        assert without_extras(body) == body
        assert with_model(body, "b") == body.replace(b'"model": "m"', b'"model": "b"')


@pytest.mark.parametrize("odd", [b"", b',"user":5', rb',"prompt":"\ud83d"'])
def test_what_is_no_utf_8_in_a_key_is_passed_on(odd: bytes) -> None:
    body = b'{"model":"m","\xff":"\xfe\\"","fallback_models":["a"]' + odd + b"}"
    found = read(body, streams=True, kind="api.ChatRequest")
    assert (found.model, found.fallbacks) == ("m", ("a",))
    assert without_extras(body) == body.replace(b',"fallback_models":["a"]', b"")
    assert staying(body) == b'{"keep_alive":-1,' + body[1:]
    assert members(body)[1].key == "\ufffd"


def test_a_refusal_that_is_no_utf_8_is_told() -> None:
    assert refused.words(b'{"detail":[{"msg":"\xff"}]}') == '[{"msg":"\ufffd"}]'
