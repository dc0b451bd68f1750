"""A disk that is slow: found by every Python that has this folder on its PYTHONPATH.

`CHAOS_SYNC_S` is how long each sync takes, `CHAOS_WRITE_S` each write to a file, in seconds. It
holds up what Python programs write, not what DuckDB does.
"""

import os
import stat
import time
from typing import Any

if _sync_s := float(os.environ.get("CHAOS_SYNC_S", "0")):
    _write_s = float(os.environ.get("CHAOS_WRITE_S", "0"))
    _write, _fsync = os.write, os.fsync

    def _slow_sync(fd: Any) -> None:
        time.sleep(_sync_s)
        _fsync(fd)

    def _slow_write(fd: int, data: Any, /) -> int:
        if stat.S_ISREG(os.fstat(fd).st_mode):
            time.sleep(_write_s)
        return _write(fd, data)

    os.write, os.fsync = _slow_write, _slow_sync
    if hasattr(os, "fdatasync"):
        os.fdatasync = _slow_sync
