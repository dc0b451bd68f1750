"""A wall clock that is wrong: found by every Python that has this folder on its PYTHONPATH.

`CHAOS_CLOCK` names a file of eight bytes, the seconds by which the clock is off. It moves what
Python programs see, not what DuckDB and the system see.
"""

import mmap
import os
import struct
import time

if path := os.environ.get("CHAOS_CLOCK"):
    with open(path, "rb") as file:  # noqa: PTH123 (nothing is imported here that herd may not want)
        _shared = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)
    _unpack = struct.Struct("d").unpack_from
    _time, _time_ns = time.time, time.time_ns  # noqa: TID251 (this is the clock)

    def _wrong_s() -> float:
        return _time() + float(_unpack(_shared)[0])

    def _wrong_ns() -> int:
        return _time_ns() + int(_unpack(_shared)[0] * 1e9)

    time.time, time.time_ns = _wrong_s, _wrong_ns  # noqa: TID251 (this is the clock)
