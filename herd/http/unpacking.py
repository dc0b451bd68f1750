"""Reads what nodes compressed though nobody asked for it, where herd has to read it.

What only passes is passed as it is. Nothing is read of a coding that neither Python nor what herd
depends on knows (`br`), nor of two at once.
"""

import zlib
from collections.abc import Callable
from typing import Final

import zstandard

from herd.http.opening import WINDOW_BYTES

_GZIP: Final = zlib.MAX_WBITS | 16
_ZLIB: Final = zlib.MAX_WBITS
_RAW: Final = -zlib.MAX_WBITS
_HEADED: Final = 31
"""Two bytes that begin zlib's format are, as one number, a multiple of this (RFC 1950)."""
_DEFLATED: Final = 8

_opener = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES)


def unpacked(coding: bytes, body: bytes, most_bytes: int) -> bytes | None:
    """Return what a body holds, or its beginning; None if that cannot be read."""
    if not coding:
        return body
    unpack = _UNPACKED.get(coding.strip().lower())
    try:
        return None if unpack is None else unpack(body, most_bytes)
    except (zlib.error, zstandard.ZstdError):
        return None


def _gzipped(body: bytes, most_bytes: int) -> bytes:
    return zlib.decompressobj(_GZIP).decompress(body, most_bytes)


def _deflated(body: bytes, most_bytes: int) -> bytes:
    """Read it with zlib's head, as it should be, or without, as some send it."""
    headed = body[:1] and body[0] & 15 == _DEFLATED and int.from_bytes(body[:2]) % _HEADED == 0
    return zlib.decompressobj(_ZLIB if headed else _RAW).decompress(body, most_bytes)


def _zstd(body: bytes, most_bytes: int) -> bytes:
    with _opener.stream_reader(body, read_across_frames=True) as reader:
        return reader.read(most_bytes)


_UNPACKED: Final[dict[bytes, Callable[[bytes, int], bytes]]] = {
    b"gzip": _gzipped,
    b"x-gzip": _gzipped,
    b"deflate": _deflated,
    b"zstd": _zstd,
}
