"""The words of an error are found where each make of server puts them."""

import pytest

from herd.dialects import refused


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error":"too long"}', "too long"),
        (b'{"error":{"message":"too long","code":400,"type":"x","param":null}}', "too long"),
        (b'{"object":"error","message":"too long","code":400}', "too long"),
        (b'{"error":null,"message":"too long"}', "too long"),
        (b'{"detail":"Not Found"}', "Not Found"),
        (b'{"detail":[{"loc":["body"]}]}', '[{"loc":["body"]}]'),
        (b'{"error":{"message":null,"code":"too_long"}}', '{"message":null,"code":"too_long"}'),
        (b'{"error":{"message":["a"]}}', '{"message":["a"]}'),
        (b'{"error":["too long"]}', '["too long"]'),
        (b"too long: 9 \xe2\x89\xa5 8 tokens\n", "too long: 9 \u2265 8 tokens"),
        (b"404 page not found", "404 page not found"),
        (b"x" * 900, "x" * 500),
        (b'{"error":[' + b"1," * 900 + b"1]}", "[" + "1," * 249 + "1"),
        *[(nothing, "") for nothing in (b"", b"null", b"{}", b'{"error":{}}', b'{"error":')],
        (b"<html><h1>502</h1></html>", ""),
        (b"[1,2]", ""),
        (b'"x"', ""),
        (b"\x1f\x8b\x08\x00", ""),
    ],
)
def test_words(body: bytes, words: str) -> None:
    assert refused.words(body) == words
