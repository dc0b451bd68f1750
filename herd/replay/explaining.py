"""The process that explains: `python -m herd.replay.explaining DATA_DIR REQUEST_ID`.

A front begins it for the page of a request. It writes one JSON object: the fields of
`herd.replay.explain.Explanation`, or `{"error"}`.
"""

import contextlib
import sys

import msgspec

from herd import platform
from herd.errors import HerdError
from herd.replay.explain import explain
from herd.replay.source import Source


def main(directory: str, request_id: str) -> None:
    """Write what there is to say."""
    with contextlib.suppress(OSError):
        platform.lower_priority()
    sys.stdout.buffer.write(msgspec.json.encode(told(directory, request_id)))


def told(directory: str, request_id: str) -> object:
    """Return a request, explained."""
    try:
        with Source(directory) as source:
            return explain(source, request_id)
    except HerdError as error:
        return {"error": "; ".join(filter(None, (error.what, error.next_step)))}
    except msgspec.ValidationError as error:
        return {"error": f"the log holds a state that this version of herd does not read: {error}"}


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
