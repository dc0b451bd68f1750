"""Blobs larger than a front may hold, sent to the node that takes them."""

import hashlib
import http.client
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlsplit

import msgspec
import psutil

from tests.e2e.conftest import StartHerd, StartNodes
from tests.e2e.herds import Herd
from tests.e2e.test_models import started
from tests.e2e.wire import ask

MIB = 1024 * 1024
SIZE_MIB = 192
MOST_MORE_BYTES = 32 * MIB


def pieces() -> Iterator[bytes]:
    for number in range(SIZE_MIB):
        yield bytes([number]) * MIB


def peak_bytes(herd: Herd) -> int:
    """The most memory that any process which serves clients has now."""
    found = msgspec.json.decode((herd.data_dir / "run" / "herd.json").read_bytes())["pids"]
    fronts = [pid for name, pid in found.items() if name.startswith(("front", "single"))]
    return max(psutil.Process(pid).memory_info().rss for pid in fronts)


def test_a_blob_goes_through_without_being_held(
    start_herd: StartHerd, start_nodes: StartNodes
) -> None:
    herd = start_herd(*started(start_nodes).flags(), wait_for=("ada", "bob"))
    digest = hashlib.sha256()
    for piece in pieces():
        digest.update(piece)
    path = f"/api/blobs/sha256:{digest.hexdigest()}"
    began_bytes, most_bytes = peak_bytes(herd), 0

    def watched() -> Iterator[bytes]:
        nonlocal most_bytes
        for number, piece in enumerate(pieces()):
            yield piece
            if number % 8 == 0:
                most_bytes = max(most_bytes, peak_bytes(herd))

    parts = urlsplit(herd.url)
    with closing(http.client.HTTPConnection(parts.hostname or "", parts.port)) as client:
        chunked = {"Transfer-Encoding": "chunked"}
        client.request("POST", path, watched(), chunked, encode_chunked=True)
        answer = client.getresponse()
        node = answer.getheader("X-Fleet-Node")
        assert (answer.status, answer.read()) == (201, b"")
    assert most_bytes - began_bytes < MOST_MORE_BYTES
    assert ask(herd.url, path, method="HEAD").node == node
    files = {"model.gguf": path.removeprefix("/api/blobs/")}
    made = ask(herd.url, "/api/create", {"model": "large", "files": files, "stream": False})
    assert (made.json, made.node) == ({"status": "success"}, node)
