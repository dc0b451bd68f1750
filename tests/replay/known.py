"""The known log and what its replay must come to, as they are committed."""

import gzip
from pathlib import Path

import msgspec

from events import encode
from tests.replay.digest import Digest, read
from tests.replay.story import Story

LOG = Path(__file__).with_name("known.ndjson.gz")
DECISIONS = Path(__file__).with_name("known.json")
LARGEST_BYTES = 370_000


def lines() -> list[bytes]:
    """Return the log's lines."""
    return read(LOG)


def digest() -> Digest:
    """Return what every replay must come to."""
    return msgspec.json.decode(DECISIONS.read_bytes(), type=Digest)


def told() -> list[bytes]:
    """Return the lines of the story as the present code tells it."""
    return [encode(record) for record in Story().tell()]


def keep(log: list[bytes], decisions: Digest) -> None:
    """Write both files."""
    LOG.write_bytes(gzip.compress(b"".join(log), 9, mtime=0))
    DECISIONS.write_bytes(msgspec.json.format(msgspec.json.encode(decisions), indent=1) + b"\n")
