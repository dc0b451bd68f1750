"""What asks for no word: to load a model, or to let it go."""

import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from herd.dialects import native_loads

CHAT, GENERATE = "/api/chat", "/api/generate"
EMBED, EMBEDDINGS = "/api/embed", "/api/embeddings"


@pytest.mark.parametrize(
    ("path", "body", "wish"),
    [
        (GENERATE, b'{"model":"m"}', "load"),
        (GENERATE, b'{"model":"m","prompt":"","keep_alive":"10m"}', "load"),
        (GENERATE, b'{"model":"m","keep_alive":-1}', "load"),
        (GENERATE, b'{"model":"m","keep_alive":null}', "load"),
        (GENERATE, b'{"model":"m","system":"s","options":{"num_ctx":2048}}', "load"),
        (GENERATE, b'{"model":"m","keep_alive":0}', "unload"),
        (GENERATE, b'{"model":"m","keep_alive":0.0,"stream":false}', "unload"),
        (GENERATE, b'{"MODEL":"m","Keep_Alive":"0"}', "unload"),
        (GENERATE, b'{"model":"m","keep_alive":"0s","prompt":null}', "unload"),
        (GENERATE, b'{"model":"m","keep_alive":"-0h00.0m"}', "unload"),
        (GENERATE, b'{"model":"m","keep_alive":"0.5s"}', "load"),
        (GENERATE, b'{"model":"m","keep_alive":0,"prompt":"why?"}', ""),
        (GENERATE, b'{"model":"m","keep_alive":0,"Prompt":"why?"}', ""),
        (GENERATE, b'{"model":"m","keep_alive":0,"images":["AAAA"]}', ""),
        (GENERATE, b'{"model":"m","prompt":"x","keep_alive":0,"prompt":""}', ""),
        (GENERATE, b'{"model":"m","keep_alive":[]}', ""),
        (GENERATE, b"{", ""),
        (GENERATE, b"[]", ""),
        (CHAT, b'{"model":"m"}', "load"),
        (CHAT, b'{"model":"m","messages":[]}', "load"),
        (CHAT, b'{"model":"m","messages":null,"keep_alive":0}', "unload"),
        (CHAT, b'{"model":"m","messages":[ ],"keep_alive":"0m"}', "unload"),
        (CHAT, b'{"model":"m","messages":[{"role":"user","content":"x"}],"keep_alive":0}', ""),
        (CHAT, b'{"model":"m","MESSAGES":[{"role":"user"}],"keep_alive":0}', ""),
        (CHAT, b'{"model":"m","prompt":"not its own","keep_alive":0}', "unload"),
        (CHAT, b'{"model":"m","keep_alive":0,"x":"' + b"y" * 4_096 + b'"}', ""),
        (EMBED, b'{"model":"m"}', "load"),
        (EMBED, b'{"model":"m","input":[ ]}', "load"),
        (EMBED, b'{"model":"m","Input":"","keep_alive":0}', "load"),
        (EMBED, b'{"model":"m","input":"x"}', ""),
        (EMBED, b'{"model":"m","input":["","x"]}', ""),
        (EMBED, b'{"model":"m","input":5}', ""),
        (EMBEDDINGS, b'{"model":"m","prompt":""}', "load"),
        (EMBEDDINGS, b'{"model":"m","prompt":"x"}', ""),
    ],
)
def test_what_a_body_wishes(path: str, body: bytes, wish: str) -> None:
    assert native_loads.wish(path, body) == wish


def test_the_answers_are_ollamas() -> None:
    chat = native_loads.done(CHAT, "M", "2026-11-26T00:00:00Z", "load")
    assert chat == (
        b'{"model":"M","created_at":"2026-11-26T00:00:00Z","message":{"role":"assistant",'
        b'"content":""},"done_reason":"load","done":true}'
    )
    assert native_loads.done(EMBED, "M", "", "load") == b'{"model":"M","embeddings":[]}'
    assert native_loads.done(EMBEDDINGS, "M", "", "load") == b'{"embedding":[]}'
    generate = native_loads.done(GENERATE, "M", "2026-11-26T00:00:00Z", "unload")
    assert generate == (
        b'{"model":"M","created_at":"2026-11-26T00:00:00Z","response":"",'
        b'"done_reason":"unload","done":true}'
    )


@given(st.binary(max_size=200))
def test_garbage_wishes_for_nothing(data: bytes) -> None:
    for path in (CHAT, GENERATE):
        try:
            msgspec.json.decode(data, type=dict[str, object])
        except (msgspec.MsgspecError, UnicodeDecodeError):
            assert native_loads.wish(path, data) == ""


def test_a_duration_of_many_noughts_is_read_in_one_pass() -> None:
    body = b'{"model":"m","keep_alive":"%b"}' % (b"0" * 4_000)
    began = time.process_time()
    for _ in range(10):
        assert native_loads.wish(CHAT, body) == "load"
    assert time.process_time() - began < 0.2, "it was seconds"
